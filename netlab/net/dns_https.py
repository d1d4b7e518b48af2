"""DNS over HTTPS as a server (RFC 8484): GET with ?dns=, and POST."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs, urlsplit

from netlab.errors import RemoteProtocolError
from netlab.model.event import Flow
from netlab.net.dns_ways import DOH_PATH, DOH_TYPE
from netlab.net.exchange import Exchange
from netlab.net.http_gateway import plain_text
from netlab.proto.dns import decode
from netlab.proto.http import Headers, ResponseHead

_LONGEST = 65_535  # bytes of a message


class DnsOverHttps:
    """`respond`: message and flow ─► the response; None where nothing is to be said."""

    def __init__(self, respond: Callable[[bytes, Flow], Awaitable[bytes | None]]) -> None:
        self._respond = respond

    async def handle(self, exchange: Exchange) -> None:
        request = exchange.request
        if request.path != DOH_PATH:
            await exchange.respond(*plain_text(404, f"DNS is at {DOH_PATH}"))
        elif request.method == "POST":
            await self._posted(exchange)
        elif request.method in ("GET", "HEAD"):
            await self._answer(exchange, _parameter(request.target))
        else:
            allowed = ("Allow", "GET, HEAD, POST")
            await exchange.respond(*plain_text(405, f"{request.method} is not for this", allowed))

    async def _posted(self, exchange: Exchange) -> None:
        kind = exchange.request.headers.get("content-type")
        if kind != DOH_TYPE:
            await exchange.respond(*plain_text(415, f"a body of {DOH_TYPE}, not of {kind or 'no type'}"))
            return
        data = bytearray()
        async for part in exchange.body():
            data += part
            if len(data) > _LONGEST:
                await exchange.respond(*plain_text(413, f"no DNS message has more than {_LONGEST} bytes"))
                return
        await self._answer(exchange, bytes(data))

    async def _answer(self, exchange: Exchange, message: bytes | None) -> None:
        wire = await self._respond(message, exchange.flow) if message else None
        if wire is None:
            await exchange.respond(*plain_text(400, "this is no DNS query"))
            return
        headers = Headers((("Content-Type", DOH_TYPE), ("Cache-Control", f"max-age={_freshness_s(wire)}")))
        await exchange.respond(ResponseHead(200, headers), wire)


def _parameter(target: str) -> bytes | None:
    """The message in ?dns=, base64url without padding; None where there is none."""
    text = parse_qs(urlsplit(target).query).get("dns", [""])[0]
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return None


def _freshness_s(wire: bytes) -> int:
    """The smallest TTL of the answer, or how long a negative one holds (RFC 8484 section 5.1)."""
    try:
        response = decode(wire)
    except RemoteProtocolError:
        return 0
    return min((one.ttl for one in response.answers or response.authority), default=0)
