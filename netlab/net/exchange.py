"""The server's side of HTTP, whatever the version: one request, its response, and what may become of them.

`net.http1_server`, `net.http2_server` and `net.http3_server` implement `Exchange`; roles know nothing else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from netlab.model.event import Flow
from netlab.net.connection import Peer
from netlab.proto.http import NO_HEADERS, Headers, RequestHead, ResponseHead

Body = bytes | AsyncIterator[bytes]
Handler = Callable[["Exchange"], Awaitable[None]]
Trailers = Callable[[], Headers]  # called when the body has ended: whoever relays them knows them only then


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. `head`: for a whole request head from its first byte (against slowloris); `body`: for
    any next part of a body; `idle`: between requests."""

    head: float = 10.0
    body: float = 30.0
    idle: float = 60.0


class Tunnel(Protocol):
    """Bytes both ways in place of HTTP messages: a connection after 101 (Switching Protocols), or a stream
    after an extended CONNECT (RFC 8441, RFC 9220). Reads and writes raise OSError, RemoteProtocolError."""

    @property
    def flow(self) -> Flow: ...

    async def read(self) -> bytes:
        """Some bytes, as soon as there are any; b"" at the end."""
        ...

    async def write(self, data: bytes) -> None:
        """Returns when the peer's slowness allows more."""
        ...

    async def close(self) -> None:
        """Say that no more bytes come, once those written are out."""
        ...

    def abort(self) -> None: ...


class Exchange(ABC):
    """One request and its response."""

    request: RequestHead
    peer: Peer
    flow: Flow
    begun: bool = False  # a response has begun, so no other can be given
    trailers: Headers = NO_HEADERS  # of the request; known when `body` has ended

    @property
    def traceparent(self) -> str:
        return self.request.headers.get("traceparent")

    @property
    def protocol(self) -> str:
        """What the client wants instead of HTTP, in lower case ("websocket"): by Upgrade in HTTP/1.1, by
        :protocol of an extended CONNECT in HTTP/2 and 3. Empty: nothing."""
        return self.request.protocol

    @property
    def has_body(self) -> bool:
        """Whether a body comes, as far as the head says (RFC 9112 section 6.3). In HTTP/2 and 3 a request
        without Content-Length has one if its stream did not end with its head."""
        headers = self.request.headers
        return headers.has("transfer-encoding") or headers.get("content-length", "0") != "0"

    @abstractmethod
    def body(self) -> AsyncIterator[bytes]:
        """The request's body as it comes; the peer's sending is held back by a reader that is slow.

        Sends 100 (Continue) first where the client waits for it. Raises RemoteProtocolError, OSError.
        """

    @abstractmethod
    async def respond(self, head: ResponseHead, body: Body = b"", trailers: Trailers | None = None) -> None:
        """Send the response. A body of bytes gets its Content-Length; Date is added if missing."""

    @abstractmethod
    async def inform(self, head: ResponseHead) -> None:
        """Send an informational response: a 1xx, but not 101."""

    async def push(self, request: RequestHead, head: ResponseHead, body: bytes) -> bool:
        """Push a response to `request` before the client asks (RFC 9113 section 8.4); before `respond`.

        False where the version has no push, or the client does not allow it.
        """
        del request, head, body
        return False

    @abstractmethod
    async def tunnel(self, headers: Headers = NO_HEADERS) -> Tunnel:
        """Accept what `protocol` asks for: 101 or 200 by the version, with `headers`; bytes from then on.

        The version's own fields (Upgrade, Connection) are added here. Raises LocalProtocolError where the
        client did not ask.
        """

    @abstractmethod
    def abort(self) -> None:
        """The response can't be finished, and the client must see that: the stream (2, 3) or the
        connection (1.1) is cut."""
