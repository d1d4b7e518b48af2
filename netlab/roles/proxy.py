"""The reverse proxy: ends TLS, asks who may pass, says who the client is, and routes."""

from __future__ import annotations

from netlab.model.roles import ProxySpec, Route
from netlab.net.admission import Admission, Refusal
from netlab.net.context import RoleContext
from netlab.net.exchange import Exchange, Timeouts
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
from netlab.net.request_body import BodyTooLongError, RequestBody
from netlab.net.sockets import address_port
from netlab.net.upstream import Target, UpstreamError
from netlab.net.upstream_group import UpstreamGroup, change
from netlab.net.visit import Visit
from netlab.policy.forwarded import request_id, resolve
from netlab.policy.header_rules import apply
from netlab.policy.micro_cache import Kept
from netlab.policy.retry import IDEMPOTENT
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
        super().__init__(ctx, route, route.health, tls_name=route.tls_name)
        self.route = route
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

    def repeats(self, exchange: Exchange, failure: str) -> bool:
        """Whether the next may be tried after this failure of a request that was sent."""
        repeatable = exchange.request.method in IDEMPOTENT and not exchange.has_body and not exchange.protocol
        return repeatable and failure in self.route.next_upstream


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
        if visit.host not in self._names:
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
        """To the upstream whose turn it is. While nothing has been sent, the next may be tried: a request
        that no server saw can be repeated whatever its method; others where the route says so."""
        exchange = visit.exchange
        failure = UpstreamError(f"none of {', '.join(upstreams.names)} may be used", 503)
        order = upstreams.order(visit.chain.client, upstreams.bound(exchange.request))
        for upstream in order:
            repeats = upstream != order[-1] and upstreams.repeats(exchange, "http_5xx")
            try:
                with upstreams.busy(upstream):
                    status = await self._exchange(visit, head, upstreams, upstream, place, repeats)
            except BodyTooLongError as error:
                await self._refuse(visit, Refusal(413, str(error)))
                return
            except UpstreamError as error:
                self._ctx.emit("error", cause=str(error))
                upstreams.result(upstream, str(error))
                failure = error
                kind = "timeout" if error.status == 504 else "error"
                if exchange.begun or not (error.unsent or upstreams.repeats(exchange, kind)):
                    break
            else:
                upstreams.result(upstream, f"it answered {status}" if status >= 500 else "")
                if not (repeats and status >= 500):
                    return
        await self._refuse(visit, Refusal(failure.status, "the upstream does not answer"))

    async def _exchange(
        self,
        visit: Visit,
        head: RequestHead,
        upstreams: _Upstreams,
        upstream: str,
        place: Place,
        repeats: bool,
    ) -> int:
        """The status. One of 500 and more is not passed on where the request `repeats`."""
        route, exchange = upstreams.route, visit.exchange
        self._ctx.emit("upstream-chosen", upstream=upstream, traceparent=exchange.traceparent)
        tls = route.tls if route.tls_name else None
        target = Target(*address_port(upstream), tls, route.tls_name, (route.http,))
        if exchange.protocol:
            await pass_tunnel(self._ctx, self._pool, exchange, head, target)
            return 200
        async with self._pool.exchange(target, visit.body.outgoing(head)) as response:
            status = response.head.status
            if not (repeats and status >= 500):
                body = await response_body(exchange.request, response)
                came = relayed_head(response.head)
                place.offered(came, body)
                answer = self._answered(visit, upstreams.tied(came, exchange.request, upstream), route)
                await relay(exchange, response, answer, body)
            return status
