"""The CDN edge: TLS to the client, a shared cache, TLS to the origin."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

from netlab.model.roles import CdnSpec, TlsClient
from netlab.net.context import RoleContext
from netlab.net.exchange import Exchange
from netlab.net.http_gateway import (
    forwarded_head,
    host_of,
    outgoing,
    plain_text,
    relay,
    relayed_head,
    response_body,
)
from netlab.net.http_listen import Advertised, listen_http
from netlab.net.http_tunnel import pass_tunnel
from netlab.net.pool import ConnectionPool
from netlab.net.sockets import address_port
from netlab.net.upstream import Response, Target, UpstreamError
from netlab.policy.cache import Cache, Hit, Miss, Revalidate, answer, key_of
from netlab.policy.stored import Stored
from netlab.policy.tracing import child
from netlab.proto.http import Headers, RequestHead, ResponseHead

_LARGEST_SHARE = 8  # of the cache that one response may take: one part in so many
_CONDITIONS = ("if-none-match", "if-modified-since", "if-match", "if-unmodified-since", "if-range", "range")


async def serve(spec: CdnSpec, ctx: RoleContext) -> None:
    """Serve until told to stop."""
    edge = _Edge(spec, ctx)
    ctx.ready(await listen_http(ctx, spec.listen, spec.http, spec.tls, edge.handle))
    await ctx.stopped()
    await ctx.drain()
    await edge.close()


class _Edge:
    def __init__(self, spec: CdnSpec, ctx: RoleContext) -> None:
        self._ctx = ctx
        self._names = frozenset(name.lower() for name in spec.names)
        self._cache = Cache(spec.cache_bytes)
        self._largest = spec.cache_bytes // _LARGEST_SHARE
        self._pool = ConnectionPool(ctx, spec.pool)
        self._advertised = Advertised(spec.http, spec.hsts_s)
        self._origin = Target(*address_port(spec.origin), TlsClient(), spec.origin_name, (spec.origin_http,))

    async def close(self) -> None:
        await self._pool.close()

    async def _say(self, exchange: Exchange, status: int, text: str) -> None:
        """An answer of the edge's own."""
        head, body = plain_text(status, text)
        await exchange.respond(self._advertised.on(exchange, head), body)

    async def handle(self, exchange: Exchange) -> None:
        request = exchange.request
        if host_of(request) not in self._names:
            await self._say(exchange, 421, f"{request.authority} is not served here")
            return
        try:
            if exchange.protocol:
                await pass_tunnel(self._ctx, self._pool, exchange, self._head(exchange), self._origin)
            else:
                await self._answer(exchange)
        except UpstreamError as error:
            self._ctx.emit("error", cause=str(error))
            if exchange.begun:
                exchange.abort()
            else:
                await self._say(exchange, error.status, "the origin does not answer")

    async def _answer(self, exchange: Exchange) -> None:
        request = exchange.request
        found = self._cache.look_up(request, time.time())
        if isinstance(found, Hit):
            await self._hit(exchange, found.stored)
            return
        self._emit("cache-miss", exchange, cause=found.cause)
        if isinstance(found, Miss) and found.only_cached:
            await self._say(exchange, 504, "not in the cache")
            return
        await self._ask(exchange, found)

    def _emit(self, event: str, exchange: Exchange, **data: Any) -> None:
        key = "https://" + "".join(key_of(exchange.request))
        self._ctx.emit(event, key=key, traceparent=exchange.traceparent, **data)

    async def _hit(self, exchange: Exchange, entry: Stored) -> None:
        now = time.time()
        self._emit("cache-hit", exchange, age_s=int(entry.age(now)))
        await self._from_cache(exchange, entry, now, f"hit; ttl={int(entry.remaining(now))}")

    async def _from_cache(self, exchange: Exchange, entry: Stored, now: float, status: str) -> None:
        head, body = answer(exchange.request, entry, now)
        await exchange.respond(self._advertised.on(exchange, self._marked(head, status)), body)

    def _marked(self, head: ResponseHead, status: str) -> ResponseHead:
        """With Cache-Status (RFC 9211): after what caches nearer to the origin said."""
        before = head.headers.get("cache-status")
        own = f"{self._ctx.launch.node}; {status}"
        value = f"{before}, {own}" if before else own
        return head.with_headers(head.headers.having("Cache-Status", value))

    def _head(self, exchange: Exchange, found: Revalidate | Miss | None = None) -> RequestHead:
        added = (
            ("X-Forwarded-For", exchange.peer.address),
            ("X-Forwarded-Proto", "https"),
            ("traceparent", child(exchange.traceparent, self._ctx.rng)),
        )
        head = forwarded_head(exchange.request, added, self._ctx.launch.node)
        if not isinstance(found, Revalidate):
            return head
        # Our own conditions replace the client's, which are answered from what we have then.
        return head.with_headers(Headers((*head.headers.without(*_CONDITIONS), *found.stored.validators)))

    async def _ask(self, exchange: Exchange, found: Revalidate | Miss) -> None:
        asked_at = time.time()
        head = self._head(exchange, found)
        async with self._pool.exchange(self._origin, outgoing(exchange, head)) as response:
            if isinstance(found, Revalidate) and response.head.status == 304:
                await response.read()
                await self._refreshed(exchange, found, response.head, asked_at)
            else:
                await self._passed_on(exchange, found, response, asked_at)

    async def _refreshed(
        self, exchange: Exchange, found: Revalidate, head: ResponseHead, asked_at: float
    ) -> None:
        now = time.time()
        entry = self._cache.refresh(exchange.request, found.stored, head, asked_at, now)
        self._emit("cache-stored", exchange, lifetime_s=entry.lifetime_s)
        await self._from_cache(exchange, entry, now, f"fwd={found.cause}; fwd-status=304")

    async def _passed_on(
        self, exchange: Exchange, found: Revalidate | Miss, response: Response, asked_at: float
    ) -> None:
        status = f"fwd={found.cause}; fwd-status={response.head.status}"
        head = self._advertised.on(exchange, self._marked(relayed_head(response.head), status))
        copy = _Copy(self._largest, response.head)
        body = await response_body(exchange.request, response)
        if isinstance(body, bytes):
            copy.add(body)
            self._keep(exchange, response.head, copy, asked_at)
            await relay(exchange, response, head, body)
        else:
            await relay(exchange, response, head, copy.while_passing(body))
            self._keep(exchange, response.head, copy, asked_at)
        self._cache.invalidate(exchange.request, response.head.status)

    def _keep(self, exchange: Exchange, head: ResponseHead, copy: _Copy, asked_at: float) -> None:
        body = copy.whole()
        if body is None:
            return
        entry = self._cache.store(exchange.request, head, body, asked_at, time.time())
        if entry is not None:
            self._emit("cache-stored", exchange, lifetime_s=entry.lifetime_s)


class _Copy:
    """A body kept while it passes, until it is longer than could be stored."""

    def __init__(self, limit: int, head: ResponseHead) -> None:
        length = head.headers.get("content-length")
        known = int(length) if length.isdigit() else 0
        self._limit = limit if known <= limit else -1  # a long one is not begun
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, part: bytes) -> None:
        self._size += len(part)
        if self._size <= self._limit:
            self._parts.append(part)
        else:
            self._parts.clear()

    async def while_passing(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for part in body:
            self.add(part)
            yield part

    def whole(self) -> bytes | None:
        return b"".join(self._parts) if self._size <= self._limit else None
