"""A connection after 101 (Switching Protocols): bytes both ways, on either side."""

from __future__ import annotations

from netlab.model.event import Flow
from netlab.net.stream import Stream, TcpStream, TlsError


class Http1Tunnel:
    """A `Tunnel` (net.exchange) over the whole connection. `early`: bytes that came right behind the head."""

    def __init__(self, stream: Stream, early: bytes) -> None:
        self._stream = stream
        self._early = early
        self._ended = False  # the peer sends no more
        self._closing = False  # nor do we

    @property
    def flow(self) -> Flow:
        return self._stream.flow

    async def read(self) -> bytes:
        """Some bytes, as soon as there are any; b"" at the end. Raises OSError."""
        if self._early:
            early, self._early = self._early, b""
            return early
        if self._ended:
            return b""
        try:
            data = await self._stream.read()
        except TlsError:
            if not self._closing:
                raise
            data = b""  # we have ended TLS, so its peer has nothing more to say
        if not data:
            self._ended = True
            if self._closing:
                await self._stream.close()
        return data

    async def write(self, data: bytes) -> None:
        """Returns when the peer's slowness allows more. Raises OSError."""
        await self._stream.write(data)

    def feed(self, data: bytes) -> bool:
        """Write without waiting; False, and nothing is written, where that can't be done now."""
        return isinstance(self._stream, TcpStream) and not self._closing and self._stream.feed(data)

    async def close(self) -> None:
        """Half-closes, so that what the peer still sends can be read; the connection itself is closed
        when both sides have ended. TLS is closed at once: after close_notify its peers send nothing."""
        if self._closing:
            return
        self._closing = True
        if isinstance(self._stream, TcpStream) and not self._ended:
            await self._stream.write_eof()
        else:
            self._ended = True
            await self._stream.close()

    def abort(self) -> None:
        self._stream.abort()
