"""The reverse proxy: ends TLS, asks who may pass, says who the client is, and routes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

from netlab.model.roles import ProxySpec, Route
from netlab.net.admission import Admission, Refusal
from netlab.net.context import RoleContext
from netlab.net.exchange import Exchange, Timeouts
from netlab.net.health_check import Way
from netlab.net.http_gateway import (
    forwarded_head,
    host_of,
    plain_text,
    relay,
    relayed_head,
    response_body,
)
from netlab.net.http_listen import Advertised, listen_http
from netlab.net.http_tunnel import pass_tunnel
from netlab.net.micro_cached import MicroCached, Place
from netlab.net.pool import ConnectionPool
from netlab.net.replay import Replayable
from netlab.net.request_body import BodyTooLongError, RequestBody
from netlab.net.resilient import Attempt, Call, Resilient
from netlab.net.sockets import address_port
from netlab.net.upstream import Response, Target, UpstreamError
from netlab.net.upstream_group import UpstreamGroup, change
from netlab.net.visit import Visit
from netlab.policy import deadline
from netlab.policy.forwarded import request_id, resolve
from netlab.policy.header_rules import apply
from netlab.policy.micro_cache import Kept
from netlab.policy.routing import Router, climbs
from netlab.policy.sticky import StickyCookie
from netlab.policy.tracing import child
from netlab.proto.http import RequestHead, ResponseHead


async def serve(spec: ProxySpec, ctx: RoleContext) -> None:
    """Serve until told to stop. Raises InputError where the spec makes no sense."""
    proxy = _Proxy(spec, ctx)
    waits = spec.timeouts
    port = await listen_http(
        ctx,
        spec.listen,
        spec.http,
        spec.tls,
        proxy.handle,
        proxy_from=spec.proxy_protocol_from,
        timeouts=Timeouts(waits.head_ns / 1e9, waits.body_ns / 1e9, waits.idle_ns / 1e9),
    )
    ctx.ready(port)
    await ctx.stopped()
    await ctx.drain()
    await proxy.close()


class _Upstreams(UpstreamGroup):
    """A route's upstreams: whose turn it is, and which of them a client belongs to."""

    def __init__(self, route: Route, ctx: RoleContext) -> None:
        name = route.tls_name or (route.health.tls_name if route.health is not None else "")
        super().__init__(ctx, route, route.health, Way(name, route.tls))
        self.route = route
        self.resilient = Resilient(ctx, route.resilience)
        self.cache = MicroCached(ctx, route.micro_cache_ns / 1e9)
        sticky, secret = route.sticky, ctx.launch.seed.to_bytes(8, "big")
        self._sticky = (
            StickyCookie(sticky.cookie, sticky.max_age_s, route.path, secret, self.names) if sticky else None
        )

    def bound(self, request: RequestHead) -> str:
        """To whom the client's cookie says that it belongs; "" to nobody."""
        return self._sticky.upstream_of(request.headers.all("cookie")) if self._sticky else ""

    def tied(self, head: ResponseHead, request: RequestHead, upstream: str) -> ResponseHead:
        """The answer of that upstream, with a cookie where the client does not belong to it yet."""
        if self._sticky is None or self.bound(request) == upstream:
            return head
        return head.with_headers(head.headers.plus("Set-Cookie", self._sticky.set_cookie(upstream)))


class _Proxy:
    def __init__(self, spec: ProxySpec, ctx: RoleContext) -> None:
        self._spec = spec
        self._ctx = ctx
        self._names = frozenset(name.lower() for name in spec.names)
        self._pool = ConnectionPool(ctx, spec.pool)
        self._advertised = Advertised(spec.http, spec.hsts_s)
        self._admission = Admission(ctx, spec, self._pool)
        self._router = Router(spec.routes)
        self._routes = [_Upstreams(route, ctx) for route in spec.routes]
        for one in self._routes:
            one.start_checks()
        self._admission.start()
        ctx.on_settings(lambda settings: change(ctx, self._routes, settings))

    async def close(self) -> None:
        await self._pool.close()

    async def handle(self, exchange: Exchange) -> None:
        visit = self._visit(exchange)
        number = self._route(visit)
        refusal = number if isinstance(number, Refusal) else await self._admission.check(visit, number)
        if isinstance(number, Refusal) or refusal is not None:
            assert refusal is not None
            await self._refuse(visit, refusal)
            return
        upstreams = self._routes[number]
        async with upstreams.cache.place(exchange.request) as place:
            if place.kept is not None:
                await self._repeat(visit, upstreams, place, place.kept)
            else:
                await self._forward(visit, self._head(visit, upstreams.route), upstreams, place)

    # What is known of a request, and whether it may pass.

    def _visit(self, exchange: Exchange) -> Visit:
        request, peer, trusted = exchange.request, exchange.peer.address, self._spec.trusted
        made = f"{self._ctx.rng.getrandbits(128):032x}"
        named = request_id(peer, request.headers, trusted, made)
        return Visit(
            exchange,
            RequestBody(exchange, self._spec.limits.body_bytes),
            resolve(peer, request.headers, trusted, proto=request.scheme, host=request.authority),
            host_of(request),
            named,
            fields=[("X-Request-Id", named)],
        )

    def _route(self, visit: Visit) -> int | Refusal:
        """The route's number."""
        request = visit.exchange.request
        if self._names.isdisjoint((visit.host, f"*.{visit.host.partition('.')[2]}")):
            return Refusal(421, f"{request.authority} is not served here")
        if (refusal := self._admission.head(request)) is not None:
            return refusal
        if climbs(request.path):
            return Refusal(400, "a path has no segments `.` and `..`")
        number = self._router.choose(request, visit.host, visit.chain.client)
        return Refusal(404, f"no route for {request.path}") if number is None else number

    async def _refuse(self, visit: Visit, refusal: Refusal) -> None:
        """An answer of the proxy's own, or none any more where one has begun."""
        exchange = visit.exchange
        self._ctx.emit(
            "request-refused", status=refusal.status, cause=refusal.text, traceparent=exchange.traceparent
        )
        if exchange.begun:
            exchange.abort()
            return
        head, body = plain_text(refusal.status, refusal.text, *refusal.fields)
        await exchange.respond(self._answered(visit, head), body)

    # What goes on, and what comes back.

    def _head(self, visit: Visit, route: Route) -> RequestHead:
        request, chain = visit.exchange.request, visit.chain
        node = self._ctx.launch.node
        added = [
            ("X-Forwarded-For", chain.forwarded_for),
            ("X-Real-IP", chain.client),
            ("X-Forwarded-Proto", chain.proto),
            ("X-Forwarded-Host", chain.host),
            ("Forwarded", chain.forwarded(node, request.scheme, request.authority)),
            ("X-Request-Id", visit.request_id),
            ("traceparent", child(visit.exchange.traceparent, self._ctx.rng)),
        ]
        if visit.subject:
            added.append(("X-Auth-Subject", visit.subject))
        inside = request.with_headers(request.headers.without("x-auth-subject"))
        head = forwarded_head(inside, added, node)
        return head.with_headers(apply(route.request_headers, head.headers, visit.variables))

    def _answered(self, visit: Visit, head: ResponseHead, route: Route | None = None) -> ResponseHead:
        """An answer with what the proxy has to say on it."""
        headers = head.headers
        for name, value in visit.fields:
            headers = headers.having(name, value)
        if route is not None:
            headers = apply(route.response_headers, headers, visit.variables)
        return self._advertised.on(visit.exchange, head.with_headers(headers))

    async def _repeat(self, visit: Visit, upstreams: _Upstreams, place: Place, kept: Kept) -> None:
        """The answer that another got."""
        self._ctx.emit("cache-hit", age_s=place.age_s, traceparent=visit.exchange.traceparent)
        head = self._answered(visit, kept.head, upstreams.route)
        head = head.with_headers(head.headers.having("Age", str(place.age_s)))
        await visit.exchange.respond(head, kept.body)

    async def _forward(self, visit: Visit, head: RequestHead, upstreams: _Upstreams, place: Place) -> None:
        """To the upstream whose turn it is, and on to others as the route says."""
        exchange = visit.exchange
        order = upstreams.order(visit.chain.client, upstreams.bound(exchange.request))
        if not order:
            await self._refuse(visit, Refusal(503, "no upstream may be used"))
            return
        try:
            if exchange.protocol:
                await self._tunnel(visit, head, upstreams, order)
            else:
                await self._exchange(visit, head, upstreams, order, place)
        except BodyTooLongError as error:
            await self._refuse(visit, Refusal(413, str(error)))
        except UpstreamError as error:
            await self._refuse(visit, Refusal(error.status, "the upstream does not answer"))

    async def _tunnel(
        self, visit: Visit, head: RequestHead, upstreams: _Upstreams, order: Sequence[str]
    ) -> None:
        """The next is tried while no upstream has seen the request."""
        for upstream in order:
            try:
                with self._asking(visit, upstreams, upstream) as target:
                    await pass_tunnel(self._ctx, self._pool, visit.exchange, head, target)
                    upstreams.result(upstream, "")
            except UpstreamError as error:
                if visit.exchange.begun or not error.unsent or upstream == order[-1]:
                    raise
            else:
                return

    async def _exchange(
        self, visit: Visit, head: RequestHead, upstreams: _Upstreams, order: Sequence[str], place: Place
    ) -> None:
        route, exchange = upstreams.route, visit.exchange
        request = visit.body.outgoing(head)
        body = Replayable(request.body) if request.body is not None else None

        @asynccontextmanager
        async def send(attempt: Attempt) -> AsyncIterator[Response]:
            sent = attempt.outgoing(request, body)
            with self._asking(visit, upstreams, attempt.upstream) as target:
                async with self._pool.exchange(target, sent) as response:
                    yield response
                status = response.head.status
                upstreams.result(attempt.upstream, f"it answered {status}" if status >= 500 else "")

        until = deadline.until(exchange.request.headers, self._ctx.now())
        call = Call(head, order, body, route.next_upstream, until)
        async with upstreams.resilient.exchange(call, send) as response:
            passed = await response_body(exchange.request, response)
            came = relayed_head(response.head)
            place.offered(came, passed)
            tied = upstreams.tied(came, exchange.request, response.upstream)
            await relay(exchange, response, self._answered(visit, tied, route), passed)

    @contextmanager
    def _asking(self, visit: Visit, upstreams: _Upstreams, upstream: str) -> Iterator[Target]:
        """One attempt at an upstream, which has failed where an UpstreamError leaves it."""
        route = upstreams.route
        self._ctx.emit("upstream-chosen", upstream=upstream, traceparent=visit.exchange.traceparent)
        tls, connect_s = route.tls if route.tls_name else None, upstreams.resilient.connect_s
        try:
            with upstreams.busy(upstream):
                yield Target(*address_port(upstream), tls, route.tls_name, (route.http,), connect_s)
        except UpstreamError as error:
            self._ctx.emit("error", cause=str(error))
            upstreams.result(upstream, str(error))
            raise
