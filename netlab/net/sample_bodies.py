"""Resources for measuring: bodies of any size out and in, slow ones, small ones, an echo.

GET /bytes/N streams N bytes; POST /sink counts and hashes what comes; POST /echo sends it back; GET
/objects/N?size=S is a small object (&max_age=SECONDS makes it cacheable); GET /slow?ms=N waits.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from urllib.parse import parse_qs

from netlab.net.answers import answer_json, refuse
from netlab.net.context import RoleContext
from netlab.net.exchange import Exchange
from netlab.net.websocket import WebSocket, WebSockets
from netlab.net.websocket_open import accept
from netlab.proto.http import Headers, ResponseHead, end_to_end

MAX_BYTES = 1 << 40
MAX_OBJECT = 1 << 20
MAX_SLOW_MS = 60_000
_BLOCK = hashlib.shake_256(b"netlab").digest(1 << 16)  # what deflate can't make smaller
_PATH = re.compile(r"/(bytes|objects)/([0-9]{1,13})|/(sink|echo|slow)")


class SampleBodies:
    """Answers what is asked at these paths; `handle` says False at any other."""

    def __init__(self, ctx: RoleContext) -> None:
        self._ctx = ctx
        self._sockets = WebSockets(ctx)

    async def handle(self, exchange: Exchange) -> bool:
        found = _PATH.fullmatch(exchange.request.path)
        if found is None:
            return False
        kind = found[1] or found[3]
        if kind == "echo" and exchange.protocol:
            await self._echo_websocket(exchange)
            return True
        allowed = ("POST", "PUT") if kind in ("sink", "echo") else ("GET", "HEAD")
        if exchange.request.method not in allowed:
            await refuse(exchange, 405, f"only {' and '.join(allowed)}", ("Allow", ", ".join(allowed)))
        elif kind == "bytes":
            await _bytes(exchange, int(found[2]))
        elif kind == "objects":
            await _object(exchange, int(found[2]))
        elif kind == "sink":
            await _sink(exchange)
        elif kind == "echo":
            await _echo(exchange)
        else:
            await _slow(exchange)
        return True

    async def _echo_websocket(self, exchange: Exchange) -> None:
        websocket = await accept(self._ctx, exchange)
        if websocket is None:
            return
        self._sockets.add(websocket)
        try:
            await _echo_messages(websocket)
        finally:
            self._sockets.discard(websocket)


async def _echo_messages(websocket: WebSocket) -> None:
    while (message := await websocket.receive()) is not None:
        await websocket.send(message)


async def _bytes(exchange: Exchange, size: int) -> None:
    if size > MAX_BYTES:
        await refuse(exchange, 400, f"at most {MAX_BYTES} bytes")
        return
    fields = (("Content-Type", "application/octet-stream"), ("Cache-Control", "no-store"))
    headers = Headers((*fields, ("Content-Length", str(size))))
    await exchange.respond(ResponseHead(200, headers), _blocks(size) if size else b"")


async def _blocks(size: int) -> AsyncIterator[bytes]:
    """The same bytes each time, in constant memory."""
    while size > 0:
        yield _BLOCK if size >= len(_BLOCK) else _BLOCK[:size]
        size -= len(_BLOCK)


async def _object(exchange: Exchange, number: int) -> None:
    try:
        size, max_age = (
            number_of(exchange, "size", 1024, MAX_OBJECT),
            number_of(exchange, "max_age", 0, 31_536_000),
        )
    except ValueError as error:
        await refuse(exchange, 400, str(error))
        return
    cached = f"public, max-age={max_age}" if max_age else "no-store"
    content = hashlib.shake_256(str(number).encode()).digest(size)
    fields = (("Content-Type", "application/octet-stream"), ("Cache-Control", cached))
    await exchange.respond(ResponseHead(200, Headers(fields)), content)


async def _sink(exchange: Exchange) -> None:
    digest, size = hashlib.sha256(), 0
    async for part in exchange.body():
        digest.update(part)
        size += len(part)
    await answer_json(exchange, {"bytes": size, "sha256": digest.hexdigest()})


async def _echo(exchange: Exchange) -> None:
    """The body back as it comes: neither side's is held in memory."""
    parts = exchange.body()
    first = await anext(parts, b"")  # asked for before the response begins, lest 100 (Continue) be left out
    asked = end_to_end(exchange.request.headers)
    kind = asked.get("content-type") or "application/octet-stream"
    headers = Headers((("Content-Type", kind), ("Cache-Control", "no-store")))
    if length := asked.get("content-length"):
        headers = headers.plus("Content-Length", length)
    await exchange.respond(ResponseHead(200, headers), _chained(first, parts))


async def _chained(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if first:
        yield first
    async for part in rest:
        yield part


async def _slow(exchange: Exchange) -> None:
    try:
        delay_ms = number_of(exchange, "ms", 1000, MAX_SLOW_MS)
    except ValueError as error:
        await refuse(exchange, 400, str(error))
        return
    await asyncio.sleep(delay_ms / 1000)
    await answer_json(exchange, {"slept_ms": delay_ms})


def number_of(exchange: Exchange, name: str, default: int, most: int) -> int:
    """A parameter of the query. Raises ValueError."""
    query = parse_qs(exchange.request.target.partition("?")[2], keep_blank_values=True, max_num_fields=8)
    text = query.get(name, [str(default)])[-1]
    if not (text.isascii() and text.isdigit()) or len(text) > 12 or int(text) > most:
        raise ValueError(f"{name} is a number up to {most}")
    return int(text)
