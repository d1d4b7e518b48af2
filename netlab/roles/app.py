"""The application server: users from the database, as JSON with validators (guide 3.7); channels (guide
6.2 to 6.5); bodies to measure with, and to cache; orders, which are made once (guide 8.4)."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime

from netlab.model.roles import AppSpec
from netlab.net.answers import answer_json, refuse, to_json
from netlab.net.cached_bodies import answer_cached
from netlab.net.channel import Channels
from netlab.net.channel_http import ChannelResources
from netlab.net.context import RoleContext
from netlab.net.exchange import Exchange
from netlab.net.http_listen import listen_http
from netlab.net.orders import Orders
from netlab.net.postgres import Database, DatabaseGoneError, Row
from netlab.net.protected import Protected
from netlab.net.sample_bodies import SampleBodies
from netlab.net.sockets import address_port, allow_open_files
from netlab.policy.conditional import client_has
from netlab.proto.http import Headers, ResponseHead

_USER = re.compile(r"/user/([^/]+)")
_SQL = "SELECT id, name, email, status, created_at FROM users WHERE id = %s"
_ID_DIGITS = 18  # as many as fit a bigint whatever they are


async def serve(spec: AppSpec, ctx: RoleContext) -> None:
    """Serve until told to stop; ready when the database, if any, answers. Raises LabError where it does
    not."""
    allow_open_files()
    database = Database(ctx, *address_port(spec.database)) if spec.database else None
    channels = Channels(ctx, database)
    app = _App(spec, ctx, database, channels)

    try:
        if database is None or await database.open():
            await channels.start()
            tls = spec.tls if spec.names else None
            ctx.ready(await listen_http(ctx, spec.listen, spec.http, tls, app.handle))
        await ctx.stopped()
        await ctx.drain()  # who is being answered needs the database
    finally:
        await channels.close()
        if database is not None:
            await database.close()


class _App:
    def __init__(
        self, spec: AppSpec, ctx: RoleContext, database: Database | None, channels: Channels
    ) -> None:
        self._spec = spec
        self._ctx = ctx
        self._database = database
        self._channels = ChannelResources(ctx, channels)
        self._samples = SampleBodies(ctx)
        self._orders = Orders(ctx)
        self._protected = Protected(ctx, spec.shed, self._answer)

    async def handle(self, exchange: Exchange) -> None:
        """Route, then answer. Who listens to a channel stays, and is not counted as load."""
        path = exchange.request.path
        if path.startswith("/channels/"):
            await self._channels.handle(exchange)
        elif path == "/health":
            await self._answer(exchange)
        else:
            await self._protected.handle(exchange)

    async def _answer(self, exchange: Exchange) -> None:
        request = exchange.request
        if await self._samples.handle(exchange) or await answer_cached(exchange):
            return
        if await self._orders.handle(exchange):
            return
        user = _USER.fullmatch(request.path)
        if user is None and request.path != "/health":
            await refuse(exchange, 404, "no such resource")
        elif request.method not in {"GET", "HEAD"}:
            await refuse(exchange, 405, "only GET and HEAD", ("Allow", "GET, HEAD"))
        elif user is None:
            await answer_json(exchange, {"status": "ok"})
        else:
            await self._user(exchange, user[1])

    async def _user(self, exchange: Exchange, text: str) -> None:
        if not (text.isascii() and text.isdigit()):
            await refuse(exchange, 400, "an id is a number")
            return
        if not self._may_read(exchange):
            await refuse(exchange, 403, "not allowed")
            return
        try:
            rows = await self._rows(text, exchange.traceparent)
        except DatabaseGoneError as error:
            self._ctx.emit("error", cause=str(error))
            await refuse(exchange, 503, "the database is gone", ("Retry-After", "1"))
            return
        if rows:
            await _answer(exchange, _document(rows[0]), f"public, max-age={self._spec.max_age_s}")
        else:
            await refuse(exchange, 404, "no such user")

    def _may_read(self, exchange: Exchange) -> bool:
        """The proxy has verified the subject, and lets nobody else name one."""
        return not self._spec.allow or exchange.request.headers.get("x-auth-subject") in self._spec.allow

    async def _rows(self, text: str, traceparent: str) -> list[Row]:
        if len(text) > _ID_DIGITS or self._database is None:
            return []
        return await self._database.query(_SQL, (int(text),), traceparent)


def _document(row: Row) -> dict[str, object]:
    number, name, email, status, created = row
    return {
        "id": number,
        "name": name,
        "email": email,
        "status": status,
        "created_at": _timestamp(created) if isinstance(created, datetime) else created,
    }


def _timestamp(when: datetime) -> str:
    aware = when if when.tzinfo else when.replace(tzinfo=UTC)
    return aware.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def _answer(exchange: Exchange, document: dict[str, object], cache_control: str) -> None:
    body = to_json(document)
    etag = f'"{hashlib.sha256(body).hexdigest()[:40]}"'
    validators = Headers((("Cache-Control", cache_control), ("ETag", etag)))
    if client_has(exchange.request.headers, validators):
        await exchange.respond(ResponseHead(304, validators))
        return
    kind = ("Content-Type", "application/json")
    await exchange.respond(ResponseHead(200, Headers((kind, *validators))), body)
