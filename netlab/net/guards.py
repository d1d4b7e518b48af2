"""What keeps one upstream's trouble from whoever asks others: a circuit breaker and a bulkhead for each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from netlab.model.roles import Breaker, Bulkhead
from netlab.net.context import RoleContext
from netlab.net.upstream import UpstreamError
from netlab.policy.breaker import Circuit
from netlab.policy.bulkhead import Compartment

Said = Callable[[int], None]  # takes the status of the upstream's answer


class RefusedHereError(UpstreamError):
    """No request was sent, as the breaker is open or the bulkhead full."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause, 503, unsent=True)


class Guards:
    """Of one caller, by upstream. None: there is no such guard."""

    def __init__(self, ctx: RoleContext, breaker: Breaker | None, bulkhead: Bulkhead | None) -> None:
        self.any = breaker is not None or bulkhead is not None
        self._ctx = ctx
        self._breaker = breaker
        self._bulkhead = bulkhead
        self._circuits: dict[str, Circuit] = {}
        self._compartments: dict[str, Compartment] = {}
        self._places: dict[object, asyncio.Future[None]] = {}

    @asynccontextmanager
    async def passing(self, upstream: str, traceparent: str) -> AsyncIterator[Said]:
        """While this lasts one request is under way. An UpstreamError that leaves it is a failure of the
        upstream. Raises RefusedHereError."""
        with self._permit(upstream, traceparent) as said:
            async with self._place(upstream, traceparent):
                yield said

    # The circuit breaker.

    @contextmanager
    def _permit(self, upstream: str, traceparent: str) -> Iterator[Said]:
        if self._breaker is None:
            yield lambda _: None
            return
        circuit = self._circuits.setdefault(upstream, Circuit(self._breaker))
        permit = circuit.ask(self._ctx.now())
        self._say_changes(upstream, circuit)
        if permit is None:
            self._ctx.emit("breaker-refused", upstream=upstream, traceparent=traceparent)
            left_s = circuit.left_s(self._ctx.now())
            raise RefusedHereError(f"{upstream}: the circuit breaker is {circuit.state}, for {left_s:.3g} s")
        told = False

        def said(status: int, cause: str = "") -> None:
            nonlocal told
            told = True
            if status >= 500:
                circuit.failure(permit, self._ctx.now(), cause or f"it answered {status}")
            else:
                circuit.success(permit, self._ctx.now())
            self._say_changes(upstream, circuit)

        try:
            yield said
        except UpstreamError as error:
            if not told and not isinstance(error, RefusedHereError):
                said(error.status, str(error))
            raise
        finally:
            if not told:
                circuit.forget(permit)

    def _say_changes(self, upstream: str, circuit: Circuit) -> None:
        for change in circuit.changes():
            self._ctx.emit("breaker-changed", upstream=upstream, state=change.state, cause=change.cause)

    # The bulkhead.

    @asynccontextmanager
    async def _place(self, upstream: str, traceparent: str) -> AsyncIterator[None]:
        bulkhead = self._bulkhead
        if bulkhead is None:
            yield
            return
        limit = bulkhead.of.get(upstream, bulkhead.limit)
        compartment = self._compartments.setdefault(upstream, Compartment(limit, bulkhead.queue))
        if not await self._enter(compartment, bulkhead.wait_ns / 1e9):
            self._ctx.emit("bulkhead-full", upstream=upstream, limit=limit, traceparent=traceparent)
            raise RefusedHereError(f"{upstream}: {limit} requests are under way, as many as may")
        try:
            yield
        finally:
            self._leave(compartment)

    async def _enter(self, compartment: Compartment, wait_s: float) -> bool:
        ticket = object()
        answer = compartment.ask(ticket)
        if answer != "wait":
            return answer == "enter"
        future = self._places[ticket] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(wait_s):
                await future
        except BaseException as error:
            compartment.withdraw(ticket)
            if self._places.pop(ticket, None) is None:  # it was let in, in the moment in which it gave up
                self._leave(compartment)
            if isinstance(error, TimeoutError):
                return False
            raise
        return True

    def _leave(self, compartment: Compartment) -> None:
        if (ticket := compartment.leave()) is not None:
            future = self._places.pop(ticket)
            if not future.done():  # or whoever waited is being cancelled, and gives the place on
                future.set_result(None)
