"""A Stream inside TLS, by OpenSSL on memory buffers above a TcpStream.

Not inside the event loop, so that a TCP connection and the handshake are separate events, and so that bytes
before TLS (a PROXY header) are easy. Why pyOpenSSL: docs/decisions/0004-one-tls-engine.md.
"""

from __future__ import annotations

import asyncio
import contextlib
from ipaddress import ip_address

from cryptography import x509
from OpenSSL import SSL

from netlab.model.event import Flow
from netlab.net import openssl
from netlab.net.stream import CLOSE_TIMEOUT_S, READ_SIZE, TcpStream, TlsError, TlsInfo
from netlab.net.tls_context import ClientContext, KeyLog, ServerContext, keylog_path
from netlab.pki.chain import UNREADABLE

__all__ = ["ClientContext", "KeyLog", "ServerContext", "TlsContext", "TlsError", "TlsStream", "keylog_path"]

TlsContext = ServerContext | ClientContext
_BATCH = 4 * openssl.RECORD  # encrypted before the socket takes it
_ADDED = 64  # bytes by which a record is longer than what is in it, at most
_UNEXPECTED_MESSAGE = bytes.fromhex("15 0303 0002 02 0a")  # a fatal alert (RFC 8446 section 6)
_EMPTY_REASON = "record layer failure"  # OpenSSL adds it to what the layer says


class TlsStream:
    """A Stream inside TLS. Made by `TlsStream.handshake`."""

    def __init__(self, inner: TcpStream, context: TlsContext, server_name: str | None) -> None:
        self._inner = inner
        self._context = context
        self._name = server_name or ""
        self._key = (inner.flow.remote, inner.flow.remote_port, self._name)
        self._reader = context.reader
        self._peer = context.peer_check(self._name)
        if isinstance(context, ClientContext):
            self._ssl = context.connection(self._peer, self._key, _sni(self._name))
        else:
            self._ssl = context.connection(self._peer)
        self._failure: TlsError | None = None
        self._ended = False
        self._sent = False  # anything at all
        self._fed = 0  # bytes that the socket gave last
        self._kept = False
        self._refused = False
        self.flow: Flow = inner.flow
        self.tls: TlsInfo | None = None

    @classmethod
    async def handshake(
        cls, inner: TcpStream, context: TlsContext, server_name: str | None = None
    ) -> TlsStream:
        """With a ClientContext `server_name` goes out as SNI (an address doesn't) and is checked.

        Raises TlsError, or ConnectionError where the peer went away.
        """
        stream = cls(inner, context, server_name)
        await stream._do_handshake()
        stream.tls = stream._agreed()
        return stream

    @property
    def peer_chain(self) -> tuple[x509.Certificate, ...]:
        """What the peer showed, its own certificate first; empty where it showed none."""
        return tuple(self._ssl.get_peer_cert_chain(as_cryptography=True) or self._leaf())

    @property
    def trusted_chain(self) -> tuple[x509.Certificate, ...]:
        """From the peer's certificate to the root; empty where none was checked, as in a resumed session."""
        return self._peer.trusted

    def _leaf(self) -> tuple[x509.Certificate, ...]:
        try:
            leaf = self._ssl.get_peer_certificate(as_cryptography=True)
        except UNREADABLE:  # nobody has judged it, or it would not have come so far
            return ()
        return () if leaf is None else (leaf,)

    async def _do_handshake(self) -> None:
        while True:
            try:
                self._ssl.do_handshake()
            except SSL.WantReadError:
                await self._flush()
                if not await self._fill():
                    raise ConnectionResetError(
                        "the peer closed the connection during the TLS handshake"
                    ) from None
            except (SSL.Error, TlsError) as error:
                with contextlib.suppress(OSError):  # it may be gone already
                    await self._alert()
                raise self._failed(error) from error
            else:
                break
        await self._flush()

    async def _alert(self) -> None:
        """Tell the peer why. Where OpenSSL keeps silent, as what came was never TLS, the alert is ours."""
        await self._flush()
        if not self._sent:
            await self._inner.write(_UNEXPECTED_MESSAGE)

    def _failed(self, error: Exception) -> TlsError:
        if self._peer.rejected is not None:
            return TlsError(self._peer.rejected.cause, self._peer.rejected.check)
        if isinstance(error, TlsError):
            return error
        if isinstance(error, SSL.SysCallError):
            return TlsError("the peer closed the connection without ending TLS (close_notify)")
        return TlsError(_words(error))

    def _agreed(self) -> TlsInfo:
        asked = (self._ssl.get_servername() or b"").decode("ascii", "replace")
        return TlsInfo(
            version=self._ssl.get_protocol_version_name(),
            cipher=self._ssl.get_cipher_name() or "",
            alpn=self._ssl.get_alpn_proto_negotiated().decode("ascii", "replace"),
            server_name=_sni(self._name) or asked,
            resumed=openssl.resumed(self._ssl),
            peer=self._peer.name_of(self._leaf()),
            ocsp=self._peer.stapled,
        )

    def _keep_session(self) -> None:
        if isinstance(self._context, ClientContext) and not self._refused:
            self._context.keep(self._key, self._ssl)

    async def _flush(self) -> None:
        """Send what OpenSSL has to send."""
        while data := self._reader.outgoing(self._ssl):
            self._sent = True
            await self._inner.write(data)

    async def _fill(self) -> bool:
        """Give OpenSSL what has come; False at the end of the connection."""
        data = await self._inner.read(READ_SIZE)
        self._fed = len(data)
        if data:
            openssl.received(self._ssl, data)
        else:
            self._ssl.bio_shutdown()
        return bool(data)

    async def read(self, size: int = READ_SIZE) -> bytes:
        while True:
            data = self._decrypted(size)
            if data or self._ended:
                return data
            if self._failure is not None:
                with contextlib.suppress(OSError):  # the alert; the peer may be gone already
                    await self._flush()
                raise self._failure
            if openssl.unsent(self._ssl):  # answers to what was no data
                await self._flush()
            await self._fill()

    def interrupt(self) -> None:
        self._inner.interrupt()

    def _decrypted(self, size: int) -> bytes:
        """What is there, at most `size` bytes. What ends the stream counts after the bytes before it."""
        part = self._record(size)
        if not self._kept and part:
            self._kept = True
            self._keep_session()  # with the tickets that came before the first data
        if len(part) + _ADDED >= self._fed or not part:
            return part  # all that the last read of the socket brought, most often
        parts = [part]
        while part and (size := size - len(part)) > 0:
            part = self._record(size)
            parts.append(part)
        return b"".join(parts)

    def _record(self, size: int) -> bytes:
        """Of one record; empty where there is none, or the stream has ended or failed."""
        if self._failure is None and not self._ended:
            try:
                return self._reader.read(self._ssl, size)
            except SSL.ZeroReturnError:  # close_notify; without it the stream was cut, and that raises
                self._ended = True
            except SSL.Error as error:
                self._failure = self._failed(error)
        return b""

    async def write(self, data: bytes) -> None:
        if self._failure is not None:
            raise self._failure
        if len(data) <= _BATCH:
            self._encrypt(data)
            await self._flush()
            return
        view = memoryview(data)
        for start in range(0, len(view), _BATCH):
            self._encrypt(view[start : start + _BATCH])
            await self._flush()

    def feed(self, data: bytes) -> bool:
        """Write without waiting; False, and nothing is written, where the peer is behind already. Raises
        TlsError."""
        if self._failure is not None:
            raise self._failure
        if len(data) > _BATCH or openssl.unsent(self._ssl) or not self._inner.ready:
            return False
        self._encrypt(data)
        return self._inner.feed(self._reader.outgoing(self._ssl))

    def _encrypt(self, data: bytes | memoryview) -> None:
        if not data:
            return
        try:
            if isinstance(data, bytes):
                openssl.write(self._ssl, data)
            else:
                self._ssl.send(data)
        except SSL.Error as error:
            self._failure = self._failed(error)
            raise self._failure from error

    async def refuse(self) -> None:
        """Close a connection whose peer is not believed after all; no session of it may be resumed."""
        if isinstance(self._context, ClientContext):
            self._context.forget(self._key)
        self._refused = True
        await self.close()

    async def close(self) -> None:
        self._say_goodbye()
        with contextlib.suppress(OSError):  # the peer may be gone; what matters is our end
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._flush()
        await self._inner.close()

    def _say_goodbye(self) -> None:
        """close_notify; we don't wait for the peer's own. After a failure there is nothing to say."""
        if self._failure is None and self.tls is not None:
            self._keep_session()
            with contextlib.suppress(SSL.Error):
                self._ssl.shutdown()

    def abort(self) -> None:
        # A reset is no reason to forget the session (RFC 5246 section 7.2.1), but OpenSSL would.
        self._ssl.set_shutdown(SSL.SENT_SHUTDOWN | SSL.RECEIVED_SHUTDOWN)
        self._inner.abort()


def _sni(name: str) -> str:
    """`name` as it may be sent: addresses may not (RFC 6066 section 3)."""
    try:
        ip_address(name)
    except ValueError:
        if not name.isascii():
            raise TlsError(f"{name} is no name for TLS: it must be in ASCII (A-labels)", "name") from None
        return name.removesuffix(".")
    return ""


def _words(error: Exception) -> str:
    """OpenSSL's reasons; an alert is the peer's word."""
    reasons = [one[-1] for one in error.args[0]] if error.args and isinstance(error.args[0], list) else []
    found = (
        "; ".join(one for one in dict.fromkeys(reasons) if one != _EMPTY_REASON) or str(error) or "TLS failed"
    )
    _, alert, name = found.partition(" alert ")
    return f"the peer refuses: alert {name}" if alert else found
