"""What stands at an edge before its cache: rate limits, the check for bots, the user's functions."""

from __future__ import annotations

from collections.abc import AsyncIterator

from netlab.model.roles import CdnSpec
from netlab.model.roles.cdn import Bots
from netlab.model.roles.limits import RateLimit
from netlab.net.context import RoleContext
from netlab.net.edge_functions import EdgeFunctions, FunctionFailedError
from netlab.net.exchange import Body, Exchange, Trailers, Tunnel
from netlab.net.http_gateway import plain_text
from netlab.policy.bot_check import bot_score
from netlab.policy.rate_limit import Limiter, Limits
from netlab.proto.http import NO_HEADERS, Headers, RequestHead, ResponseHead


class Gate:
    """`admit` gives the exchange to go on with, or None where it has been answered."""

    def __init__(self, ctx: RoleContext, spec: CdnSpec) -> None:
        self._ctx = ctx
        self._limits = Limits(spec.rate_limits) if spec.rate_limits else None
        self._bots = _BotCheck(ctx, spec.bots) if spec.bots else None
        self._functions = EdgeFunctions(ctx, spec.functions)

    async def admit(self, exchange: Exchange) -> Exchange | None:
        fields: tuple[tuple[str, str], ...] = ()
        client, request = exchange.peer.address, exchange.request
        if self._limits is not None:
            verdict = self._limits.check(client, request.headers, self._ctx.now())
            fields = verdict.fields
            if not verdict.allowed:
                self._ctx.emit("rate-limited", limit=verdict.refused_by, client=client)
                await exchange.respond(*plain_text(429, "too many requests", *fields))
                return None
        if self._bots is not None and self._bots.refuses(client, request.headers):
            await exchange.respond(*plain_text(403, "this looks like a program", *fields))
            return None
        if not self._functions:
            return _Gated(exchange, request, fields, None) if fields else exchange
        return await self._by_functions(exchange, fields)

    async def _by_functions(self, exchange: Exchange, fields: tuple[tuple[str, str], ...]) -> Exchange | None:
        try:
            found = self._functions.request(exchange.request, exchange.peer.address)
        except FunctionFailedError:
            await exchange.respond(*plain_text(500, "the edge failed", *fields))
            return None
        if isinstance(found, tuple):
            head, body = found
            gated = _Gated(exchange, exchange.request, fields, self._functions)
            await gated.respond(head, body)
            return None
        return _Gated(exchange, found, fields, self._functions)


class _BotCheck:
    def __init__(self, ctx: RoleContext, spec: Bots) -> None:
        self._ctx = ctx
        self._spec = spec
        rapid = RateLimit.model_validate(
            {"algorithm": "sliding-window", "quota": spec.rapid, "window": "10s"}
        )
        self._rapid = Limiter(rapid)

    def refuses(self, client: str, headers: Headers) -> bool:
        rapid = not self._rapid.take(client, self._ctx.now()).allowed
        score = bot_score(headers, rapid=rapid, allow=self._spec.allow, deny=self._spec.deny)
        if score.points < self._spec.refuse_at:
            return False
        self._ctx.emit("bot-refused", client=client, score=score.points, signs=list(score.signs))
        return True


class _Gated(Exchange):
    """The client's exchange, with the request that functions have made of it; whatever answers, the
    functions see the head, and `fields` go with it."""

    def __init__(
        self,
        inner: Exchange,
        request: RequestHead,
        fields: tuple[tuple[str, str], ...],
        functions: EdgeFunctions | None,
    ) -> None:
        self._inner = inner
        self._fields = fields
        self._functions = functions
        self.request = request
        self.peer = inner.peer
        self.flow = inner.flow

    @property
    def begun(self) -> bool:
        return self._inner.begun

    @begun.setter
    def begun(self, value: bool) -> None:
        self._inner.begun = value

    @property
    def has_body(self) -> bool:
        return self._inner.has_body

    def body(self) -> AsyncIterator[bytes]:
        return self._body()

    async def _body(self) -> AsyncIterator[bytes]:
        async for part in self._inner.body():
            yield part
        self.trailers = self._inner.trailers

    async def respond(self, head: ResponseHead, body: Body = b"", trailers: Trailers | None = None) -> None:
        if self._functions is not None:
            try:
                head = self._functions.response(self.request, self.peer.address, head)
            except FunctionFailedError:
                head, body = plain_text(500, "the edge failed")
                trailers = None
        if self._fields:
            head = head.with_headers(Headers((*head.headers, *self._fields)))
        await self._inner.respond(head, body, trailers)

    async def inform(self, head: ResponseHead) -> None:
        await self._inner.inform(head)

    async def push(self, request: RequestHead, head: ResponseHead, body: bytes) -> bool:
        return await self._inner.push(request, head, body)

    async def tunnel(self, headers: Headers = NO_HEADERS) -> Tunnel:
        return await self._inner.tunnel(headers)

    def abort(self) -> None:
        self._inner.abort()
