"""The opening handshake of WebSocket: over HTTP/1.1 (RFC 6455 section 4), and over HTTP/2 and 3 by an
extended CONNECT (RFC 8441 section 5, RFC 9220), which has neither key nor accept."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from netlab.errors import RemoteProtocolError
from netlab.proto import websocket_deflate as deflate
from netlab.proto.http import NO_HEADERS, Headers, RequestHead, ResponseHead, members

PROTOCOL = "websocket"
VERSION = "13"
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
_EXTENSIONS = "Sec-WebSocket-Extensions"
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


@dataclass(frozen=True, slots=True)
class Accepted:
    """A handshake that ends well: what the response says, and what holds from then on."""

    headers: Headers = NO_HEADERS
    subprotocol: str = ""
    compression: deflate.Agreed | None = None

    @property
    def extensions(self) -> str:
        return self.compression.parameters() if self.compression else ""


@dataclass(frozen=True, slots=True)
class Refused:
    """What a server answers to a handshake that breaks the rules."""

    status: int
    cause: str
    headers: Headers = NO_HEADERS


def accept_key(key: str) -> str:
    """Sec-WebSocket-Accept for a key (RFC 6455 section 4.2.2)."""
    digest = hashlib.sha1(f"{key}{_GUID}".encode(), usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def answer(
    request: RequestHead,
    subprotocols: Iterable[str] = (),
    *,
    compress: bool = True,
    server_takeover: bool = True,
) -> Accepted | Refused:
    """A server's answer to a request (RFC 6455 section 4.2). Of `subprotocols` (the server's preference
    first) the first that the client names is taken."""
    refused = _broken(request)
    if refused is not None:
        return refused
    headers = NO_HEADERS
    if request.version == "1.1":
        headers = headers.plus("Sec-WebSocket-Accept", accept_key(request.headers.get("sec-websocket-key")))
    try:
        wanted = _named_subprotocols(request.headers)
        offered = deflate.parse_extensions(request.headers.get(_EXTENSIONS))
    except RemoteProtocolError as error:
        return Refused(400, str(error))
    chosen = next((name for name in subprotocols if name in wanted), "")
    if chosen:
        headers = headers.plus("Sec-WebSocket-Protocol", chosen)
    agreed = deflate.choose(offered, server_takeover=server_takeover) if compress else None
    if agreed is not None:
        headers = headers.plus(_EXTENSIONS, agreed.parameters())
    return Accepted(headers, chosen, agreed)


def _broken(request: RequestHead) -> Refused | None:
    """The rule of RFC 6455 section 4.2.1 that the request breaks."""
    version = Headers((("Sec-WebSocket-Version", VERSION),))
    if request.protocol != PROTOCOL:
        if request.version != "1.1":
            return Refused(400, "only an extended CONNECT opens a WebSocket here")
        upgrade = (("Upgrade", PROTOCOL), ("Connection", "Upgrade"))
        return Refused(426, "this resource is a WebSocket", Headers((*upgrade, *version)))
    if request.method != "GET":
        return Refused(405, "a WebSocket is opened by GET", Headers((("Allow", "GET"),)))
    said = request.headers.all("sec-websocket-version")
    if not said:
        return Refused(400, "Sec-WebSocket-Version is missing", version)
    if said != [VERSION]:
        return Refused(426, f"only version {VERSION} of WebSocket is spoken here", version)
    if request.version == "1.1" and not _is_key(request.headers.all("sec-websocket-key")):
        return Refused(400, "Sec-WebSocket-Key must be one base64 of 16 bytes")
    return None


def _is_key(values: list[str]) -> bool:
    try:
        return len(values) == 1 and len(base64.b64decode(values[0], validate=True)) == 16
    except ValueError:  # no base64, or not even ASCII
        return False


def _named_subprotocols(headers: Headers) -> list[str]:
    """Raises RemoteProtocolError (400) where one is no token or named twice (RFC 6455 section 4.1)."""
    names = members(headers.get("sec-websocket-protocol"))
    if len(set(names)) != len(names) or not all(_TOKEN.fullmatch(name) for name in names):
        raise RemoteProtocolError("malformed Sec-WebSocket-Protocol", 400)
    return names


def ask(
    headers: Headers, nonce: bytes, subprotocols: tuple[str, ...] = (), *, compress: bool = True
) -> Headers:
    """The fields of a client's handshake, added to `headers`. `nonce`: 16 random bytes; HTTP/2 and 3 drop
    the key that is made of it (`without_key`)."""
    headers = headers.plus("Sec-WebSocket-Version", VERSION)
    headers = headers.plus("Sec-WebSocket-Key", base64.b64encode(nonce).decode())
    if subprotocols:
        headers = headers.plus("Sec-WebSocket-Protocol", ", ".join(subprotocols))
    return headers.plus(_EXTENSIONS, deflate.offer()) if compress else headers


def without_key(headers: Headers) -> Headers:
    """For an extended CONNECT (RFC 8441 section 5)."""
    return headers.without("sec-websocket-key")


def concluded(request: RequestHead, response: ResponseHead) -> Accepted:
    """What a client concludes of the server's positive answer (RFC 6455 section 4.1). `request.version`
    is the version that was spoken. Raises RemoteProtocolError where it breaks the rules."""
    if request.version == "1.1":
        expected = accept_key(request.headers.get("sec-websocket-key"))
        if response.headers.get("sec-websocket-accept").strip() != expected:
            raise RemoteProtocolError("Sec-WebSocket-Accept is not what the key asks for")
    chosen = response.headers.all("sec-websocket-protocol")
    offered = members(request.headers.get("sec-websocket-protocol"))
    if len(chosen) > 1 or any(name not in offered for name in chosen):
        raise RemoteProtocolError("the server chose a subprotocol that was not offered")
    extensions = deflate.parse_extensions(response.headers.get(_EXTENSIONS))
    if extensions and not request.headers.has(_EXTENSIONS):
        raise RemoteProtocolError("the server accepted an extension that was not offered")
    return Accepted(response.headers, chosen[0] if chosen else "", deflate.conclude(extensions))
