"""Whom an edge asks, and what it sends: a shield first where there is one, else the origin."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from netlab.model.roles import CdnSpec, TlsClient
from netlab.net.context import RoleContext
from netlab.net.exchange import Exchange
from netlab.net.http_gateway import forwarded_head
from netlab.net.http_tunnel import pass_tunnel
from netlab.net.pool import ConnectionPool
from netlab.net.replay import Replayable
from netlab.net.resilient import Call, Resilient
from netlab.net.sockets import address_port
from netlab.net.upstream import Outgoing, Response, Target, UpstreamError
from netlab.policy.cache import Miss, Revalidate
from netlab.policy.cdn_loop import with_loop
from netlab.policy.forwarded import resolve
from netlab.policy.retry import IDEMPOTENT
from netlab.policy.tracing import child
from netlab.proto.http import Headers, RequestHead

CONDITIONS = ("if-none-match", "if-modified-since", "if-match", "if-unmodified-since", "if-range", "range")
# What origins are known to obey and no cache key has: whoever sets them would decide what others get.
_UNKEYED = (
    "front-end-https",
    "x-envoy-original-path",
    "x-forwarded-path",
    "x-forwarded-prefix",
    "x-forwarded-server",
    "x-forwarded-ssl",
    "x-original-host",
    "x-original-uri",
    "x-url-scheme",
    "x-forwarded-port",
    "x-forwarded-scheme",
    "x-host",
    "x-original-url",
    "x-rewrite-url",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "request-timeout",
)
_SHIELD_CONNECT_S = 2.0  # for a connection to the shield, before the origin is asked instead
_SHIELD_AWAY_S = 2.0  # for how long it is then left alone


class Origin:
    """Asks for an edge. A shield that can't be reached is left alone for two seconds."""

    def __init__(self, ctx: RoleContext, spec: CdnSpec) -> None:
        self._ctx = ctx
        self._trusted = spec.trusted
        self._pool = ConnectionPool(ctx, spec.pool)
        self._resilient = Resilient(ctx, spec.resilience)
        self._name = spec.origin
        self._origin = _target(spec, spec.origin, spec.origin_name)
        self.configure(spec)

    def configure(self, spec: CdnSpec) -> None:
        """Take what may change while the edge runs."""
        self._shield = _target(spec, spec.shield, spec.names[0]) if spec.shield else None
        self._shield_back_at = 0.0

    async def close(self) -> None:
        await self._pool.close()

    def head(self, request: RequestHead, address: str, found: Revalidate | Miss | None = None) -> RequestHead:
        """What goes out for a request of the client at `address`."""
        added = (
            ("X-Forwarded-For", resolve(address, request.headers, self._trusted).forwarded_for),
            ("X-Forwarded-Proto", "https"),
            ("CDN-Loop", with_loop(request.headers, self._ctx.launch.node)),
            ("traceparent", child(request.headers.get("traceparent"), self._ctx.rng)),
        )
        head = forwarded_head(request, added, self._ctx.launch.node)
        headers = head.headers.without(*_UNKEYED)
        if isinstance(found, Revalidate):
            # Our own conditions replace the client's, which are answered from what we have then.
            headers = Headers((*headers.without(*CONDITIONS), *found.stored.validators))
            if self._shield is not None:  # what is stale there too is of no use
                headers = headers.plus("Cache-Control", "min-fresh=0")
        return head.with_headers(headers)

    @asynccontextmanager
    async def exchange(self, request: Outgoing) -> AsyncIterator[Response]:
        """Entered when the response's head is there. Raises UpstreamError."""
        body = Replayable(request.body) if request.body is not None else None
        call = Call(request.head, (self._name,), body)
        async with self._resilient.exchange(
            call, lambda attempt: self._sent(attempt.outgoing(request, body))
        ) as response:
            yield response

    @asynccontextmanager
    async def _sent(self, request: Outgoing) -> AsyncIterator[Response]:
        """One attempt."""
        async with AsyncExitStack() as stack:
            response = await self._from_shield(stack, request) if self._shield_is_there() else None
            if response is None:
                response = await stack.enter_async_context(self._pool.exchange(self._origin, request))
            yield response

    async def tunnel(self, exchange: Exchange) -> None:
        """A tunnel is for the origin alone: nothing of it can be cached. Raises UpstreamError."""
        head = self.head(exchange.request, exchange.peer.address)
        await pass_tunnel(self._ctx, self._pool, exchange, head, self._origin)

    async def purge_shield(self, request: RequestHead, address: str) -> int | None:
        """Pass a PURGE on to the shield, from which the edge would get the old response again; how many
        responses it dropped. None: there is no shield. Raises UpstreamError where it did not obey."""
        if self._shield is None:
            return None
        asked = Outgoing(self.head(request, address))
        async with self._pool.exchange(self._shield, asked) as response:
            said = await response.read()
        try:
            return int(json.loads(said)["purged"]) if response.head.status == 200 else _refused(response)
        except (ValueError, KeyError, TypeError) as error:
            raise UpstreamError(f"the shield's answer to a PURGE is none: {error!r}") from error

    def _shield_is_there(self) -> bool:
        return self._shield is not None and self._ctx.now() >= self._shield_back_at

    async def _from_shield(self, stack: AsyncExitStack, request: Outgoing) -> Response | None:
        """None where the origin is to be asked instead. Raises UpstreamError."""
        assert self._shield is not None
        try:
            lease = await self._pool.lease(self._shield, request.head, _SHIELD_CONNECT_S)
            return await stack.enter_async_context(self._pool.exchange(self._shield, request, lease=lease))
        except UpstreamError as error:
            again = request.body is None and request.head.method in IDEMPOTENT
            if not (error.unsent or again):
                raise
            self._shield_back_at = self._ctx.now() + _SHIELD_AWAY_S
            self._ctx.emit("shield-failed", shield=str(self._shield), cause=str(error))
            return None


def _refused(response: Response) -> int:
    raise UpstreamError(f"the shield answers {response.head.status} to a PURGE")


def _target(spec: CdnSpec, upstream: str, name: str) -> Target:
    connect_s = spec.resilience.timeouts.connect_ns / 1e9
    return Target(*address_port(upstream), TlsClient(), name, (spec.origin_http,), connect_s)
