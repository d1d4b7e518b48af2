"""The reverse proxy: ends TLS, checks the token, says who the client is, routes by path."""

from __future__ import annotations

import time

from netlab.model.roles import ProxySpec, Route, TlsClient
from netlab.model.roles.jwt import Jwt
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
from netlab.net.pool import IDEMPOTENT, ConnectionPool
from netlab.net.sockets import address_port
from netlab.net.upstream import Target, UpstreamError
from netlab.net.upstream_group import UpstreamGroup, change
from netlab.policy.forwarded import resolve
from netlab.policy.jwt import Refused, Verifier, lab_key
from netlab.policy.sticky import StickyCookie
from netlab.policy.tracing import child
from netlab.proto.http import RequestHead, ResponseHead


async def serve(spec: ProxySpec, ctx: RoleContext) -> None:
    """Serve until told to stop."""
    proxy = _Proxy(spec, ctx)
    port = await listen_http(
        ctx, spec.listen, spec.http, spec.tls, proxy.handle, proxy_protocol=spec.proxy_protocol
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
        self._verifier = Verifier(Jwt(), (lab_key(ctx.launch.jwt_public_pem),) if spec.jwt else ())
        self._pool = ConnectionPool(ctx, spec.pool)
        self._advertised = Advertised(spec.http, spec.hsts_s)
        # The longest path first, so that the first that fits is right.
        routes = sorted(spec.routes, key=lambda route: len(route.path), reverse=True)
        self._routes = [_Upstreams(route, ctx) for route in routes]
        for one in self._routes:
            one.start_checks()
        ctx.on_settings(lambda settings: change(ctx, self._routes, settings))

    async def close(self) -> None:
        await self._pool.close()

    async def _say(self, exchange: Exchange, status: int, text: str, *fields: tuple[str, str]) -> None:
        """An answer of the proxy's own."""
        head, body = plain_text(status, text, *fields)
        await exchange.respond(self._advertised.on(exchange, head), body)

    async def handle(self, exchange: Exchange) -> None:
        request = exchange.request
        if host_of(request) not in self._names:
            await self._say(exchange, 421, f"{request.authority} is not served here")
            return
        subject = ""
        if self._spec.jwt:
            verdict = self._verifier.check(request.headers, time.time())
            if isinstance(verdict, Refused):
                await self._refuse(exchange, verdict)
                return
            subject = verdict.subject
            self._ctx.emit("jwt-accepted", subject=subject, traceparent=exchange.traceparent)
        upstreams = self._route(request.path)
        if upstreams is None:
            await self._say(exchange, 404, f"no route for {request.path}")
            return
        await self._forward(exchange, self._head(exchange, subject), upstreams)

    async def _refuse(self, exchange: Exchange, verdict: Refused) -> None:
        self._ctx.emit("jwt-refused", cause=verdict.cause, traceparent=exchange.traceparent)
        await self._say(exchange, 401, verdict.cause, ("WWW-Authenticate", verdict.challenge))

    def _route(self, path: str) -> _Upstreams | None:
        return next((one for one in self._routes if path.startswith(one.route.path)), None)

    def _head(self, exchange: Exchange, subject: str) -> RequestHead:
        request = exchange.request
        chain = resolve(exchange.peer.address, request.headers, self._spec.trusted)
        added = [
            ("X-Forwarded-For", chain.forwarded_for),
            ("X-Real-IP", chain.client),
            ("X-Forwarded-Proto", "https"),
            ("X-Request-Id", f"{self._ctx.rng.getrandbits(128):032x}"),
            ("traceparent", child(exchange.traceparent, self._ctx.rng)),
        ]
        if subject:
            added.append(("X-Auth-Subject", subject))
        inside = request.with_headers(request.headers.without("x-auth-subject"))
        return forwarded_head(inside, added, self._ctx.launch.node)

    async def _forward(self, exchange: Exchange, head: RequestHead, upstreams: _Upstreams) -> None:
        """To the upstream whose turn it is. While nothing has been sent, the next may be tried: a request
        that no server saw can be repeated whatever its method; others where the route says so."""
        failure = UpstreamError(f"none of {', '.join(upstreams.names)} may be used", 503)
        client = resolve(exchange.peer.address, exchange.request.headers, self._spec.trusted).client
        order = upstreams.order(client, upstreams.bound(exchange.request))
        for upstream in order:
            repeats = upstream != order[-1] and upstreams.repeats(exchange, "http_5xx")
            try:
                with upstreams.busy(upstream):
                    status = await self._exchange(exchange, head, upstreams, upstream, repeats)
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
        await self._give_up(exchange, failure)

    async def _exchange(
        self, exchange: Exchange, head: RequestHead, upstreams: _Upstreams, upstream: str, repeats: bool
    ) -> int:
        """The status. One of 500 and more is not passed on where the request `repeats`."""
        route = upstreams.route
        self._ctx.emit("upstream-chosen", upstream=upstream, traceparent=exchange.traceparent)
        tls = TlsClient() if route.tls_name else None
        target = Target(*address_port(upstream), tls, route.tls_name, (route.http,))
        if exchange.protocol:
            await pass_tunnel(self._ctx, self._pool, exchange, head, target)
            return 200
        async with self._pool.exchange(target, outgoing(exchange, head)) as response:
            status = response.head.status
            if not (repeats and status >= 500):
                body = await response_body(exchange.request, response)
                answer = self._advertised.on(exchange, relayed_head(response.head))
                answer = upstreams.tied(answer, exchange.request, upstream)
                await relay(exchange, response, answer, body)
            return status

    async def _give_up(self, exchange: Exchange, failure: UpstreamError) -> None:
        if exchange.begun:
            exchange.abort()
        else:
            await self._say(exchange, failure.status, "the upstream does not answer")
