"""What an application answers: JSON, refusals; and a request's body, read up to a limit."""

from __future__ import annotations

import json

from netlab.net.exchange import Exchange
from netlab.proto.http import Headers, ResponseHead

_encode = json.JSONEncoder(
    separators=(",", ":"), ensure_ascii=False
).encode  # made once, as it is slow to make


async def answer_json(
    exchange: Exchange, document: object, *fields: tuple[str, str], status: int = 200
) -> None:
    """`document`, which nobody may store unless `fields` say so."""
    headers = Headers((("Content-Type", "application/json"), *fields))
    if not headers.has("cache-control"):
        headers = headers.plus("Cache-Control", "no-store")
    await exchange.respond(ResponseHead(status, headers), to_json(document))


async def refuse(exchange: Exchange, status: int, cause: str, *fields: tuple[str, str]) -> None:
    """An error, with its cause in JSON."""
    await answer_json(exchange, {"error": cause}, *fields, status=status)


def to_json(document: object) -> bytes:
    return _encode(document).encode()


async def read_body(exchange: Exchange, limit: int) -> bytes | None:
    """The request's body; None where it has more than `limit` bytes."""
    parts, size = [], 0
    async for part in exchange.body():
        size += len(part)
        if size > limit:
            return None
        parts.append(part)
    return b"".join(parts)
