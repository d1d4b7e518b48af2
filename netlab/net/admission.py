"""What a proxy asks of a request before it passes it on: limits, a token, and what a firewall says."""

from __future__ import annotations

import time
from dataclasses import dataclass

from netlab.model.roles import ProxySpec, Route
from netlab.model.roles.jwt import Jwt
from netlab.net.context import RoleContext
from netlab.net.jwks import TokenCheck
from netlab.net.pool import ConnectionPool
from netlab.net.request_body import BodyTooLongError
from netlab.net.visit import Visit
from netlab.net.waf_file import shipped_rules
from netlab.policy.jwt import Refused
from netlab.policy.rate_limit import Limits
from netlab.policy.waf import Firewall
from netlab.proto.http import RequestHead


@dataclass(frozen=True, slots=True)
class Refusal:
    """The answer of a proxy that passes a request on to nobody."""

    status: int
    text: str
    fields: tuple[tuple[str, str], ...] = ()


class Admission:
    """Asks all of that, in the order in which it costs: what is too long, what is too often, who asks, what
    is asked. Raises InputError where the spec makes no sense."""

    def __init__(self, ctx: RoleContext, spec: ProxySpec, pool: ConnectionPool) -> None:
        self._ctx = ctx
        self._spec = spec
        for_all = Limits(spec.rate_limits)
        self._limits = [Limits(route.rate_limits, for_all) for route in spec.routes]
        self._wall = Firewall(spec.waf, shipped_rules()) if spec.waf is not None else None
        self._tokens: TokenCheck | None = None
        if any(self._needs_token(route) for route in spec.routes):
            settings = spec.jwt if isinstance(spec.jwt, Jwt) else Jwt()
            self._tokens = TokenCheck(ctx, settings, pool)

    def start(self) -> None:
        """What goes on beside requests, until the role ends."""
        if self._tokens is not None:
            self._tokens.start()

    def head(self, request: RequestHead) -> Refusal | None:
        """Whether a request's head is too long to be looked at."""
        limits = self._spec.limits
        if len(request.headers) > limits.fields:
            return Refusal(431, f"more than {limits.fields} header fields")
        size = len(request.target) + sum(len(name) + len(value) + 4 for name, value in request.headers)
        if size > limits.head_bytes:
            return Refusal(431, f"a head of more than {limits.head_bytes} bytes")
        return None

    async def check(self, visit: Visit, number: int) -> Refusal | None:
        """Whether a request may go the route of this number; what its answer will carry goes to
        `visit.fields`, who asks to `visit.subject`. Raises RemoteProtocolError and OSError where its body
        breaks off."""
        route = self._spec.routes[number]
        try:
            visit.body.check()
            return (
                self._too_many(visit, self._limits[number])
                or await self._unknown(visit, route)
                or await self._dangerous(visit, route)
            )
        except BodyTooLongError as error:
            return Refusal(413, str(error))

    def _too_many(self, visit: Visit, limits: Limits) -> Refusal | None:
        verdict = limits.check(visit.chain.client, visit.exchange.request.headers, self._ctx.now())
        if verdict.allowed:
            visit.fields += verdict.fields
            return None
        self._ctx.emit(
            "rate-limited",
            limit=verdict.refused_by,
            client=visit.chain.client,
            traceparent=visit.exchange.traceparent,
        )
        return Refusal(429, f"too many requests: the limit `{verdict.refused_by}` is reached", verdict.fields)

    def _needs_token(self, route: Route) -> bool:
        return bool(self._spec.jwt) if route.jwt is None else route.jwt

    async def _unknown(self, visit: Visit, route: Route) -> Refusal | None:
        if self._tokens is None or not self._needs_token(route):
            return None
        verdict = await self._tokens.check(visit.exchange.request.headers, time.time())
        traceparent = visit.exchange.traceparent
        if isinstance(verdict, Refused):
            self._ctx.emit("jwt-refused", cause=verdict.cause, traceparent=traceparent)
            return Refusal(401, verdict.cause, (("WWW-Authenticate", verdict.challenge),))
        visit.subject = verdict.subject
        self._ctx.emit("jwt-accepted", subject=visit.subject, traceparent=traceparent)
        return None

    async def _dangerous(self, visit: Visit, route: Route) -> Refusal | None:
        if self._wall is None or not route.waf:
            return None
        request = visit.exchange.request
        judged = self._wall.judge(request, await visit.body.beginning(self._wall.reads(request)))
        if not judged.reached:
            return None
        self._ctx.emit(
            "waf-matched",
            score=judged.score,
            blocked=judged.blocked,
            rules=[f"{match.rule} in {match.part}" for match in judged.matches],
            traceparent=visit.exchange.traceparent,
        )
        return Refusal(403, "this request looks like an attack") if judged.blocked else None
