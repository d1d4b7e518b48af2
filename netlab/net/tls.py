"""TLS: contexts that leave their secrets in the key log, and a Stream inside TLS.

The TLS engine runs on memory buffers above a TcpStream, not inside the event loop, so that a TCP
connection and the handshake are separate events, and so that bytes before TLS (a PROXY header) are easy.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import tempfile
from weakref import WeakKeyDictionary

from netlab.errors import LocalProtocolError
from netlab.model.event import Flow
from netlab.model.launch import Identity
from netlab.net.stream import CLOSE_TIMEOUT_S, READ_SIZE, TcpStream, TlsInfo

# The name that a client asked for. The ssl module tells it to a callback only.
_asked: WeakKeyDictionary[ssl.SSLObject, str] = WeakKeyDictionary()


def _context(protocol: int, alpn: tuple[str, ...], keylog: str) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(list(alpn))
    if keylog:
        context.keylog_filename = keylog
    return context


def _remember_name(connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
    if name and isinstance(connection, ssl.SSLObject):
        _asked[connection] = name


def server_context(
    identity: Identity, alpn: tuple[str, ...] = ("http/1.1",), keylog: str = ""
) -> ssl.SSLContext:
    """TLS 1.3 with the certificate chain of `identity`; secrets go to the file `keylog` (NSS format)."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, alpn, keylog)
    context.sni_callback = _remember_name
    # OpenSSL reads a chain from a file only; it exists for this call alone, and only we can read it.
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(identity.key_pem + identity.chain_pem)
        file.flush()
        context.load_cert_chain(file.name)
    return context


def client_context(trust_pem: str, alpn: tuple[str, ...] = ("http/1.1",), keylog: str = "") -> ssl.SSLContext:
    """TLS 1.3 that believes only certificates under `trust_pem`, and checks chain and name."""
    if not trust_pem:
        raise LocalProtocolError("a TLS client needs the lab's root certificate, and has none")
    context = _context(ssl.PROTOCOL_TLS_CLIENT, alpn, keylog)
    context.load_verify_locations(cadata=trust_pem)
    return context


def keylog_path() -> str:
    """The key log file that the process contract gives; empty if none."""
    return os.environ.get("SSLKEYLOGFILE", "")


class TlsStream:
    """A Stream inside TLS. Made by `TlsStream.handshake`."""

    def __init__(self, inner: TcpStream, context: ssl.SSLContext, server_name: str | None) -> None:
        self._inner = inner
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._engine = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_name is None, server_hostname=server_name
        )
        self._server_name = server_name
        self.flow: Flow = inner.flow
        self.tls: TlsInfo | None = None

    @classmethod
    async def handshake(
        cls, inner: TcpStream, context: ssl.SSLContext, server_name: str | None = None
    ) -> TlsStream:
        """Server side where `server_name` is None; else the name is sent as SNI and checked.

        Raises ssl.SSLError, ConnectionError where the peer went away.
        """
        stream = cls(inner, context, server_name)
        await stream._do_handshake()
        stream.tls = stream._agreed()
        return stream

    async def _do_handshake(self) -> None:
        while True:
            try:
                self._engine.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            except ssl.SSLError:
                # The alert goes out, so that the peer knows why; it may be gone already.
                with contextlib.suppress(OSError):
                    await self._flush()
                raise
            if self._incoming.eof:
                raise ConnectionResetError("the peer closed the connection during the TLS handshake")
        await self._flush()

    def _agreed(self) -> TlsInfo:
        cipher = self._engine.cipher()
        return TlsInfo(
            version=self._engine.version() or "",
            cipher=cipher[0] if cipher else "",
            alpn=self._engine.selected_alpn_protocol() or "",
            server_name=self._server_name or _asked.get(self._engine, ""),
            resumed=bool(self._engine.session_reused),
        )

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self._inner.write(self._outgoing.read())

    async def _fill(self) -> None:
        data = await self._inner.read(READ_SIZE)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    async def read(self, size: int = READ_SIZE) -> bytes:
        while True:
            try:
                return self._engine.read(size)
            except ssl.SSLWantReadError:
                await self._flush()  # answers to key updates
                await self._fill()
            except ssl.SSLZeroReturnError:  # close_notify; without it the stream was cut, and that raises
                return b""

    async def write(self, data: bytes) -> None:
        if data:
            self._engine.write(data)
            await self._flush()

    async def close(self) -> None:
        self._say_goodbye()
        with contextlib.suppress(OSError):  # the peer may be gone; what matters is our end
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._flush()
        await self._inner.close()

    def _say_goodbye(self) -> None:
        """close_notify; `unwrap` raises as long as the peer has not sent its own, which we don't wait for."""
        with contextlib.suppress(ssl.SSLError):
            self._engine.unwrap()

    def abort(self) -> None:
        self._inner.abort()
