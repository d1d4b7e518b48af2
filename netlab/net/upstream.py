"""The client's side of HTTP, whatever the version: whom to ask, a connection to it, its response.

`net.http1_client`, `net.http2_client` and `net.http3_client` implement `ClientConnection`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from netlab.model.event import Flow
from netlab.model.roles import HttpVersion, TlsClient
from netlab.net.exchange import Trailers, Tunnel
from netlab.net.stream import TlsError, TlsInfo
from netlab.proto.http import NO_HEADERS, Headers, RequestHead, ResponseHead


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to ask, and how. Equal targets may share connections.

    `tls` None: plain TCP. `server_name` is the SNI and what the certificate must carry. `versions`: those
    that may be spoken; over TLS over TCP, ALPN chooses among "2" and "1.1"; without TLS, "2" alone means
    prior knowledge (RFC 9113 section 3.3); "3" means QUIC. `connect_s` bounds how long opening one takes.
    """

    address: str
    port: int
    tls: TlsClient | None = None
    server_name: str = ""
    versions: tuple[HttpVersion, ...] = ("1.1",)
    connect_s: float = 5.0

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


class UpstreamError(Exception):
    """A request had no (whole) response. `status` is what a gateway answers: 502 or 504 (RFC 9110
    sections 15.6.3 and 15.6.5). `unsent`: the other side did not act on it (no byte reached it, or it said
    so by GOAWAY or REFUSED_STREAM), so it may be repeated whatever its method. `check`: which one of its
    certificate failed (as in net.stream.TlsError)."""

    def __init__(self, cause: str, status: int = 502, *, unsent: bool = False, check: str = "") -> None:
        super().__init__(cause)
        self.status = status
        self.unsent = unsent
        self.check = check


def failed(target: Target, error: Exception, *, unsent: bool = False) -> UpstreamError:
    """The UpstreamError that `error` means."""
    if isinstance(error, TimeoutError):
        return UpstreamError(f"{target} did not answer in time", 504, unsent=unsent)
    check = error.check if isinstance(error, TlsError) else ""
    return UpstreamError(f"{target}: {error}", unsent=unsent, check=check)


class Response(ABC):
    """A response whose head has come; its body comes as it is asked for."""

    head: ResponseHead
    flow: Flow
    informational: tuple[ResponseHead, ...] = ()  # those that came before `head`
    trailers: Headers = NO_HEADERS  # known when `body` has ended
    reused: bool = False  # others have gone on its connection before; the pool says so
    upstream: str = ""  # who gave it, by the name that net.resilient knows

    @abstractmethod
    def body(self) -> AsyncIterator[bytes]:
        """The sender is held back by a reader that is slow. Raises UpstreamError where it ends early."""

    async def read(self) -> bytes:
        """The whole body."""
        return b"".join([part async for part in self.body()])


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request to send. `timeout_s` bounds the wait for the response's head, and for each next part of
    its body. `trailers` go after the body."""

    head: RequestHead
    body: AsyncIterator[bytes] | None = None
    trailers: Trailers | None = None
    timeout_s: float = 30.0


@dataclass(slots=True)
class ConnectionState:
    """What a pool must know of a connection. `requests`: begun on it so far. `watch` is called when
    `capacity` or `closed` gets another value; it must neither wait nor raise. Who ends a connection may
    say why here before, for its last event."""

    active: int = 0
    requests: int = 0
    capacity: int = 1  # how many may be active at once; HTTP/1.1: 1
    closed: bool = False  # it takes no more requests, and may be ended when none is active
    cause: str = field(default="")  # why it is closed; to be set before `closed`
    watch: Callable[[], None] | None = field(default=None, repr=False)

    def __setattr__(self, name: str, value: object) -> None:
        news = name in ("capacity", "closed") and getattr(self, name, value) != value
        object.__setattr__(self, name, value)
        if news and self.watch is not None:
            self.watch()


class ClientConnection(ABC):
    """An open connection. It keeps `state` up to date; who uses it reads it only."""

    target: Target
    version: HttpVersion
    flow: Flow
    tls: TlsInfo | None
    state: ConnectionState

    @abstractmethod
    def exchange(self, request: Outgoing) -> AbstractAsyncContextManager[Response]:
        """Send the request, and enter when the final response's head is there.

        Leaving before the body's end gives up the stream (2, 3) or the connection (1.1). Several may be
        open at once, up to `state.capacity`. Raises UpstreamError.
        """

    @abstractmethod
    async def tunnel(self, head: RequestHead, timeout_s: float = 30.0) -> tuple[ResponseHead, Tunnel | None]:
        """Ask for `head.protocol` instead of HTTP: the tunnel, or None where the answer was another.

        `head` is a GET as in HTTP/1.1 with its own fields only: Upgrade, Connection, or :protocol of an
        extended CONNECT are the version's. Raises UpstreamError, also where the peer allows no extended
        CONNECT.
        """

    @abstractmethod
    async def close(self) -> None:
        """End it in order: what is active is given up."""

    @abstractmethod
    def abort(self) -> None: ...
