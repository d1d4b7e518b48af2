"""An OCSP responder (RFC 6960 appendix A, RFC 5019) and its authority's revocation list, over HTTP."""

from __future__ import annotations

import binascii
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote_to_bytes

from netlab.errors import LocalProtocolError
from netlab.model.roles import OcspSpec
from netlab.net import sockets
from netlab.net.connection import Peer
from netlab.net.context import RoleContext
from netlab.net.exchange import Exchange
from netlab.net.http_gateway import plain_text
from netlab.net.http_server import serve_http
from netlab.net.stream import Stream
from netlab.pki.certificate import CRL_PATH, Validity
from netlab.pki.status import Responder
from netlab.proto.http import Headers, ResponseHead

_LIFETIME = timedelta(hours=1)
_LONGEST = 16_384  # bytes of a request
_REQUEST, _RESPONSE, _LIST = (
    "application/ocsp-request",
    "application/ocsp-response",
    "application/pkix-crl",
)


async def serve(spec: OcspSpec, ctx: RoleContext, hosts: tuple[str, ...] = sockets.EVERYWHERE) -> None:
    """Until the role is stopped. Raises LabError where the port is taken."""
    answer = ctx.http_faults.before(_Endpoint(ctx).handle)

    async def handle(stream: Stream, peer: Peer) -> None:
        await serve_http(ctx, stream, peer, answer)

    ctx.ready(await ctx.listen(spec.listen, handle, hosts=hosts))
    await ctx.stopped()


class _Endpoint:
    def __init__(self, ctx: RoleContext) -> None:
        if ctx.launch.responder is None:
            raise LocalProtocolError(f"role {ctx.launch.role} answers for certificates and got none")
        self._ctx = ctx
        self._responder = Responder(ctx.launch.responder)
        self._list = b64decode(ctx.launch.responder.crl_der_base64)

    async def handle(self, exchange: Exchange) -> None:
        request = exchange.request
        if request.method == "POST":
            await self._posted(exchange)
        elif request.method not in ("GET", "HEAD"):
            allowed = ("Allow", "GET, HEAD, POST")
            await exchange.respond(*plain_text(405, f"{request.method} is not for this", allowed))
        elif request.path == CRL_PATH:
            await exchange.respond(_head(_LIST), self._list)
        else:
            await self._asked(exchange, request.target)

    async def _posted(self, exchange: Exchange) -> None:
        kind = exchange.request.headers.get("content-type").partition(";")[0].strip().lower()
        if kind != _REQUEST:
            await exchange.respond(*plain_text(415, f"an OCSP request is {_REQUEST}"))
            return
        data = b""
        async for part in exchange.body():
            data += part
            if len(data) > _LONGEST:
                await exchange.respond(*plain_text(413, f"an OCSP request has at most {_LONGEST} bytes"))
                return
        await self._answer(exchange, data)

    async def _asked(self, exchange: Exchange, target: str) -> None:
        """GET: base64, percent-encoded, is all of the target. Base64 has slashes of its own."""
        try:
            data = b64decode(unquote_to_bytes(target.lstrip("/")), validate=True)
        except (binascii.Error, ValueError):
            data = b""
        if not data:
            await exchange.respond(*plain_text(404, "no OCSP request, and no revocation list"))
            return
        await self._answer(exchange, data)

    async def _answer(self, exchange: Exchange, request: bytes) -> None:
        now = datetime.fromtimestamp(self._ctx.now_ns() // 1_000_000_000, UTC)
        response = self._responder.respond(request, Validity(now, now + _LIFETIME))
        await exchange.respond(_head(_RESPONSE), response)


def _head(kind: str) -> ResponseHead:
    caching = f"max-age={int(_LIFETIME.total_seconds())}, public, no-transform, must-revalidate"
    return ResponseHead(200, Headers((("Content-Type", kind), ("Cache-Control", caching))))
