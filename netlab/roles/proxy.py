"""The reverse proxy: ends TLS, checks the token, says who the client is, routes by path."""

from __future__ import annotations

import time

from netlab.model.roles import ProxySpec, Route
from netlab.net.connection import Peer
from netlab.net.context import RoleContext
from netlab.net.exchange import Exchange
from netlab.net.http_client import fetch
from netlab.net.http_gateway import (
    forwarded_head,
    host_of,
    plain_text,
    relayed_head,
    request_body,
    response_body,
)
from netlab.net.http_server import serve_http
from netlab.net.sockets import address_port
from netlab.net.stream import Stream
from netlab.net.upstream import Target, UpstreamError
from netlab.policy.balance import RoundRobin
from netlab.policy.forwarded import resolve
from netlab.policy.jwt import Refused, Verifier
from netlab.policy.tracing import child
from netlab.proto.http import RequestHead


async def serve(spec: ProxySpec, ctx: RoleContext) -> None:
    """Serve until told to stop."""
    proxy = _Proxy(spec, ctx)

    async def handle(stream: Stream, peer: Peer) -> None:
        await serve_http(ctx, stream, peer, proxy.handle)

    port = await ctx.listen(
        spec.listen, handle, tls=ctx.tls_server(spec.tls), proxy_protocol=spec.proxy_protocol
    )
    ctx.ready(port)
    await ctx.stopped()


class _Proxy:
    def __init__(self, spec: ProxySpec, ctx: RoleContext) -> None:
        self._spec = spec
        self._ctx = ctx
        self._names = frozenset(name.lower() for name in spec.names)
        self._verifier = Verifier(ctx.launch.jwt_public_pem)
        # The longest path first, so that the first that fits is right.
        routes = sorted(spec.routes, key=lambda route: len(route.path), reverse=True)
        self._routes = [(route, RoundRobin(route.upstreams)) for route in routes]

    async def handle(self, exchange: Exchange) -> None:
        request = exchange.request
        if host_of(request) not in self._names:
            await exchange.respond(*plain_text(421, f"{request.authority} is not served here"))
            return
        subject = ""
        if self._spec.jwt:
            verdict = self._verifier.check(request.headers, time.time())
            if isinstance(verdict, Refused):
                await self._refuse(exchange, verdict)
                return
            subject = verdict.subject
            self._ctx.emit("jwt-accepted", subject=subject, traceparent=exchange.traceparent)
        turns = self._route(request.path)
        if turns is None:
            await exchange.respond(*plain_text(404, f"no route for {request.path}"))
            return
        await self._forward(exchange, self._head(exchange, subject), turns)

    async def _refuse(self, exchange: Exchange, verdict: Refused) -> None:
        self._ctx.emit("jwt-refused", cause=verdict.cause, traceparent=exchange.traceparent)
        challenge = ("WWW-Authenticate", verdict.challenge)
        await exchange.respond(*plain_text(401, verdict.cause, challenge))

    def _route(self, path: str) -> tuple[Route, RoundRobin] | None:
        return next((pair for pair in self._routes if path.startswith(pair[0].path)), None)

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

    async def _forward(self, exchange: Exchange, head: RequestHead, route: tuple[Route, RoundRobin]) -> None:
        """To the upstream whose turn it is. While nothing has been sent, the next may be tried: a request
        that no server saw can be repeated whatever its method."""
        upstreams, turns = route[0].upstreams, route[1].order(route[0].upstreams)
        failure = UpstreamError(f"none of {', '.join(upstreams)} answers")
        for upstream in turns:
            try:
                await self._exchange(exchange, head, upstream)
            except UpstreamError as error:
                self._ctx.emit("error", cause=str(error))
                failure = error
                if exchange.begun or not error.unsent:
                    break
            else:
                return
        await _give_up(exchange, failure)

    async def _exchange(self, exchange: Exchange, head: RequestHead, upstream: str) -> None:
        self._ctx.emit("upstream-chosen", upstream=upstream, traceparent=exchange.traceparent)
        target = Target(*address_port(upstream))
        async with fetch(self._ctx, target, head, request_body(exchange)) as response:
            body = await response_body(exchange.request, response)
            await exchange.respond(relayed_head(response.head), body)


async def _give_up(exchange: Exchange, failure: UpstreamError) -> None:
    if exchange.begun:
        exchange.abort()
    else:
        await exchange.respond(*plain_text(failure.status, "the upstream does not answer"))
