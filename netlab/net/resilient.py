"""What surrounds the exchange with an upstream: deadline, retries, hedging, circuit breaker, bulkhead.

`policy` decides (backoff, retry, breaker, bulkhead, deadline); this waits, counts, and tells. Whoever has
requests for upstreams has one `Resilient`: the client, a route of the proxy, the CDN.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from netlab.model.roles import Hedge, Resilience
from netlab.model.roles.resilience import RetryOn
from netlab.net.context import RoleContext
from netlab.net.guards import Guards, RefusedHereError
from netlab.net.held import Held
from netlab.net.replay import Replayable
from netlab.net.upstream import Outgoing, Response, UpstreamError
from netlab.policy import deadline
from netlab.policy.reconnect import retry_after
from netlab.policy.retry import IDEMPOTENT, Failure, GiveUp, Retries, of_status, repeatable
from netlab.policy.tracing import child
from netlab.proto.http import RequestHead, ResponseHead


@dataclass(frozen=True, slots=True)
class Call:
    """A request. `upstreams`: whom to ask, in the order of preference; attempts after the last begin anew.

    `body`: of a request whose body comes but once, what is kept of it. `failover`: the failures after which
    the next upstream is tried at once, if the request has no body and may be repeated; one that no server
    saw always goes on. `until`: its deadline, in seconds of the role's clock, where its sender has one.
    """

    head: RequestHead
    upstreams: Sequence[str]
    body: Replayable | None = None
    failover: Sequence[RetryOn] = ()
    until: float | None = None

    @property
    def traceparent(self) -> str:
        return self.head.headers.get("traceparent")

    def fails_over(self, failure: Failure) -> bool:
        """Whether the next upstream is tried after this, if there is one."""
        if failure.unsent:
            return True
        return failure.kind in self.failover and self.body is None and self.head.method in IDEMPOTENT


@dataclass(frozen=True, slots=True)
class Attempt:
    """Send `head` to `upstream`; wait `read_s` for its answer's head, and for each next part of its body."""

    number: int
    upstream: str
    head: RequestHead
    read_s: float

    def outgoing(self, request: Outgoing, body: Replayable | None) -> Outgoing:
        """The request as it goes this time; `body`: what is kept of its body."""
        parts = body.parts() if body is not None else None
        return replace(request, head=self.head, body=parts, timeout_s=self.read_s)


Send = Callable[[Attempt], AbstractAsyncContextManager[Response]]


class Resilient:
    """Of one caller. It remembers how its upstreams did."""

    def __init__(self, ctx: RoleContext, spec: Resilience) -> None:
        self.spec = spec
        self.connect_s = spec.timeouts.connect_ns / 1e9
        self._ctx = ctx
        self._read_s = spec.timeouts.read_ns / 1e9
        self._total_s = spec.timeouts.total_ns / 1e9
        self._retries = Retries(spec.retry, ctx.rng) if spec.retry is not None else None
        self._guards = Guards(ctx, spec.breaker, spec.bulkhead)

    @asynccontextmanager
    async def exchange(self, call: Call, send: Send) -> AsyncIterator[Response]:
        """The response that counts; its head is there on entry. The deadline bounds its body, too.

        Raises UpstreamError: what the last attempt did, 503 where none was made, 504 after the deadline.
        """
        now = self._ctx.now()
        until = deadline.earlier(call.until, now + self._total_s if self._total_s else None)
        if until is not None and until <= now:
            raise self._too_late(call, "it came too late")
        timer = asyncio.timeout(None if until is None else until - now)
        try:
            async with timer, AsyncExitStack() as stack:
                yield await self._persist(stack, call, until, send)
        except TimeoutError as error:
            if not timer.expired():
                raise
            took_s = self._ctx.now() - now
            raise self._too_late(call, f"no whole response in {took_s:.3g} s") from error

    def _too_late(self, call: Call, cause: str) -> UpstreamError:
        self._ctx.emit("deadline-exceeded", cause=cause, traceparent=call.traceparent)
        return UpstreamError(cause, 504)

    # Attempt after attempt.

    async def _persist(self, stack: AsyncExitStack, call: Call, until: float | None, send: Send) -> Response:
        if self._retries is not None:
            self._retries.request()
        number = 0
        while True:
            number += 1
            error: UpstreamError | None = None
            failure: Failure | None
            async with AsyncExitStack() as attempt:
                try:
                    response = await self._round(attempt, call, number, until, send)
                except UpstreamError as raised:
                    error, failure = raised, _of_error(raised)
                else:
                    failure = self._of_answer(call.head, response.head)
                wait_s = self._again(call, number, until, failure)
                if error is None and wait_s is None:
                    await stack.enter_async_context(attempt.pop_all())
                    return response
            if wait_s is None:
                assert error is not None
                raise error
            await asyncio.sleep(wait_s)

    def _again(self, call: Call, number: int, until: float | None, failure: Failure | None) -> float | None:
        """Seconds until the next attempt; None: there is none."""
        if failure is None or (call.body is not None and not call.body.repeatable):
            return None
        if number < len(call.upstreams) and call.fails_over(failure):
            wait_s = 0.0
        elif self._retries is None or failure.kind is None:
            return None
        else:
            left_s = None if until is None else until - self._ctx.now()
            decision = self._retries.decide(call.head, failure, number, left_s)
            if isinstance(decision, GiveUp):
                return None
            wait_s = decision.after_s
        self._ctx.emit(
            "request-retried",
            attempt=number + 1,
            cause=failure.cause,
            after_ms=round(wait_s * 1000, 3),
            traceparent=call.traceparent,
        )
        return wait_s

    def _of_answer(self, asked: RequestHead, answer: ResponseHead) -> Failure | None:
        if answer.status < 400:
            return None
        text = answer.headers.get("retry-after")
        now = datetime.fromtimestamp(self._ctx.now_ns() / 1e9, UTC)
        return of_status(asked, answer.status, retry_after(text, now) if text else None)

    def _attempt(self, call: Call, number: int, until: float | None) -> Attempt:
        """The first has the request's own traceparent; others are steps of the same trace."""
        headers = call.head.headers
        if number > 1 and call.traceparent:
            headers = headers.having("traceparent", child(call.traceparent, self._ctx.rng))
        left_s = None if until is None else until - self._ctx.now()
        if left_s is not None and (self.spec.deadline or call.until is not None):
            headers = deadline.saying(headers, left_s)
        return Attempt(number, _turn(call, number), call.head.with_headers(headers), self._read_s)

    # One attempt, and those beside it.

    async def _round(
        self, stack: AsyncExitStack, call: Call, number: int, until: float | None, send: Send
    ) -> Response:
        def open_one(which: int) -> AbstractAsyncContextManager[Response]:
            return self._opened(self._attempt(call, which, until), send)

        hedge = self.spec.hedge
        if hedge is None or call.body is not None or not repeatable(call.head) or number > 1:
            return await stack.enter_async_context(open_one(number))
        return await self._hedged(stack, call, hedge, open_one)

    async def _hedged(
        self,
        stack: AsyncExitStack,
        call: Call,
        hedge: Hedge,
        open_one: Callable[[int], AbstractAsyncContextManager[Response]],
    ) -> Response:
        """The first good answer of several; else what failed last."""
        held = [Held(self._ctx, open_one(1))]
        stack.push_async_callback(_close_all, held)
        more = hedge.most
        while True:
            waiting = {one.answer for one in held if not one.answer.done()}
            if waiting:
                timeout_s = hedge.after_ns / 1e9 if more else None
                await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            good = next((one for one in held if one.good), None)
            if good is not None or all(one.answer.done() for one in held):
                winner = good or held[-1]
                await _close_all([one for one in held if one is not winner])
                return winner.answer.result()
            if any(one.answer.done() for one in held):
                more = 0  # one failed: more of the same would not help
            elif more and (self._retries is None or self._retries.spend()):
                more -= 1
                number = len(held) + 1
                upstream = _turn(call, number)
                self._ctx.emit("hedged", attempt=number, upstream=upstream, traceparent=call.traceparent)
                held.append(Held(self._ctx, open_one(number)))
            else:
                more = 0

    def _opened(self, attempt: Attempt, send: Send) -> AbstractAsyncContextManager[Response]:
        return self._guarded(attempt, send) if self._guards.any else _named(attempt, send)

    @asynccontextmanager
    async def _guarded(self, attempt: Attempt, send: Send) -> AsyncIterator[Response]:
        traceparent = attempt.head.headers.get("traceparent")
        async with (
            self._guards.passing(attempt.upstream, traceparent) as said,
            _named(attempt, send) as response,
        ):
            said(response.head.status)
            yield response


@asynccontextmanager
async def _named(attempt: Attempt, send: Send) -> AsyncIterator[Response]:
    async with send(attempt) as response:
        response.upstream = attempt.upstream
        yield response


def _of_error(error: UpstreamError) -> Failure:
    if isinstance(error, RefusedHereError):
        return Failure(None, str(error), unsent=True)
    return Failure("timeout" if error.status == 504 else "error", str(error), unsent=error.unsent)


def _turn(call: Call, number: int) -> str:
    return call.upstreams[(number - 1) % len(call.upstreams)]


async def _close_all(held: list[Held]) -> None:
    for one in held:
        await one.close()
