"""The client: asks URLs in order, some at a time, over connections that it keeps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from netlab.errors import NetlabError
from netlab.model.roles import ClientSpec, Lookup, Request, Subscription
from netlab.net.agent import Asked, UserAgent
from netlab.net.context import RoleContext
from netlab.net.http1_server import as_mapping
from netlab.net.pool import ConnectionPool
from netlab.net.resilient import Attempt, Call, Resilient
from netlab.net.stub import Stub
from netlab.net.subscriber import Manner, Subscriber
from netlab.net.upstream import Response, UpstreamError
from netlab.policy.tracing import new_traceparent
from netlab.proto.dns import Question
from netlab.proto.http import Headers, RequestHead
from netlab.proto.url import Url, parse_url

_PART = 64 * 1024  # of a body that is made while it is sent
_ALPN = ("h2", "http/1.1")


async def serve(spec: ClientSpec, ctx: RoleContext) -> None:
    """Exit status 0 where each request had a whole response, of whatever status."""
    ctx.ready()
    if not spec.requests and not spec.subscriptions and not spec.lookups:
        await ctx.stopped()
        return
    client = _Client(spec, ctx)
    try:
        answered = await client.ask_all()
    finally:
        await client.close()
    ctx.exit_status = 0 if answered else 1


class _Client:
    def __init__(self, spec: ClientSpec, ctx: RoleContext) -> None:
        self._spec = spec
        self._ctx = ctx
        self._pool = ConnectionPool(ctx, spec.pool)
        # One resolver for all requests: the second knows the name already.
        self._stub = Stub(ctx, settings=spec.dns)
        self._agent = UserAgent(ctx, self._pool, self._stub, https_records=spec.https_records)
        self._resilient = Resilient(ctx, spec.resilience)
        self._failed = False
        self._due = 0.0
        if ctx.launch.trust_pem:
            # Made before the first click, as a browser has read its trust store by then.
            ctx.tls_client(spec.tls, _ALPN)

    async def close(self) -> None:
        await self._pool.close()
        await self._stub.close()

    async def ask_all(self) -> bool:
        """Look names up; then start the requests in their order, `parallel` at a time, and the
        subscriptions beside them. True where all had a response, and as many messages as they wanted."""
        for lookup in self._spec.lookups:
            await self._look_up(lookup)
        gate = asyncio.Semaphore(self._spec.parallel)
        async with asyncio.TaskGroup() as group:
            for subscription in self._spec.subscriptions:
                group.create_task(self._subscribe(subscription))
            for request in self._spec.requests:
                await gate.acquire()
                await self._next_turn()
                group.create_task(self._ask(request)).add_done_callback(lambda _: gate.release())
        return not self._failed

    async def _look_up(self, lookup: Lookup) -> None:
        await asyncio.sleep(lookup.after_ns / 1e9)
        try:
            await self._stub.ask(Question(lookup.name, lookup.type))
        except NetlabError as error:
            self._fail(lookup.name, str(error))

    async def _next_turn(self) -> None:
        """Requests begin in step with the clock, however long each takes to start."""
        now = self._ctx.now()
        await asyncio.sleep(max(0.0, self._due - now))
        self._due = max(self._due, now) + self._spec.interval_ns / 1e9

    async def _subscribe(self, subscription: Subscription) -> None:
        manner = Manner(self._own_headers, self._spec.tls)
        if not await Subscriber(self._ctx, subscription, self._agent, manner).run():
            self._failed = True

    async def _ask(self, request: Request) -> None:
        name = request.name or request.url
        traceparent = request.traceparent or new_traceparent(self._ctx.rng)
        self._ctx.emit("request-start", name=name, url=request.url, traceparent=traceparent)
        started = self._ctx.now()
        asked: Asked | None = None
        try:
            asked = self._asked(request, traceparent)
            async with asyncio.timeout(request.timeout_ns / 1e9):
                await self._exchange(name, request, asked, started)
        except TimeoutError:
            stage = asked.progress.stage if asked is not None else ""
            self._fail(name, f"no response in {request.timeout_ns / 1e9:g} s: it was {stage}")
        except (NetlabError, OSError, UpstreamError) as error:
            self._fail(name, str(error), getattr(error, "check", ""))

    def _fail(self, name: str, cause: str, check: str = "") -> None:
        self._failed = True
        self._ctx.emit("request-failed", name=name, cause=cause, check=check)

    def _asked(self, request: Request, traceparent: str) -> Asked:
        url = self._agent.secured(parse_url(request.url))
        return Asked(
            url,
            self._head(request, url, traceparent),
            request.tls or self._spec.tls,
            _body(request),
            request.http,
            request.fresh,
            request.timeout_ns / 1e9,
            self._resilient.connect_s,
        )

    def _head(self, request: Request, url: Url, traceparent: str) -> RequestHead:
        headers = self._own_headers(url.authority, traceparent)
        if size := _size(request):
            headers = headers.plus("Content-Length", str(size))
        for field, value in request.headers.items():
            headers = headers.having(field, value)
        return RequestHead(request.method, url.target, headers, scheme=url.scheme)

    def _own_headers(self, authority: str, traceparent: str) -> Headers:
        """What every request of this client has."""
        headers = Headers(
            (("Host", authority), ("User-Agent", self._spec.user_agent), ("Accept", "application/json"))
        )
        if self._ctx.launch.bearer_token:
            headers = headers.plus("Authorization", f"Bearer {self._ctx.launch.bearer_token}")
        return headers.plus("traceparent", traceparent)

    async def _exchange(self, name: str, request: Request, asked: Asked, started: float) -> None:
        def send(attempt: Attempt) -> AbstractAsyncContextManager[Response]:
            trying = replace(asked, head=attempt.head, read_s=attempt.read_s)
            return self._agent.exchange(trying)

        call = Call(asked.head, (f"{asked.url.host}:{asked.url.port}",))
        async with self._resilient.exchange(call, send) as response:
            head_s = self._ctx.now() - started
            size = await self._count(response, request.read_rate_bps)
        head = response.head
        self._ctx.emit(
            "request-done",
            response.flow,
            name=name,
            status=head.status,
            version=head.version,
            reused=response.reused,
            bytes=size,
            headers=as_mapping(head.headers),
            trailers=as_mapping(response.trailers),
            informational=[
                {"status": one.status, "headers": as_mapping(one.headers)} for one in response.informational
            ],
            head_ms=round(head_s * 1000, 3),
            total_ms=round((self._ctx.now() - started) * 1000, 3),
        )

    async def _count(self, response: Response, rate_bps: int | None) -> int:
        """The body's bytes, which are read no faster than `rate_bps`, and not kept."""
        size, started = 0, self._ctx.now()
        async for part in response.body():
            size += len(part)
            if rate_bps is not None:
                due = started + size * 8 / rate_bps
                await asyncio.sleep(max(0.0, due - self._ctx.now()))
        return size


def _size(request: Request) -> int:
    return request.upload_bytes or len(request.body.encode())


def _body(request: Request) -> Callable[[], AsyncIterator[bytes]] | None:
    """What makes the request's body; None where it has none."""
    if request.upload_bytes:
        return lambda: _made(request.upload_bytes)
    return (lambda: _whole(request.body.encode())) if request.body else None


async def _whole(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def _made(size: int) -> AsyncIterator[bytes]:
    part = bytes(range(256)) * (_PART // 256)
    for start in range(0, size, _PART):
        yield part[: size - start]
