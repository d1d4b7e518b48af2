"""A TCP connection as bytes in and bytes out, with back-pressure both ways."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Protocol

from netlab.model.event import Flow

READ_SIZE = 65_536
CLOSE_TIMEOUT_S = 2.0


class TlsError(OSError):
    """TLS failed: its text says why. `check`: which check of the certificate, where one has failed."""

    def __init__(self, cause: str, check: str = "") -> None:
        super().__init__(cause)
        self.check = check


@dataclass(frozen=True, slots=True)
class TlsInfo:
    """What a finished handshake agreed on. `server_name` is the SNI, empty if there was none. `peer` is whom
    the peer's certificate names, empty where it showed none. `ocsp`: a good status came with it."""

    version: str
    cipher: str
    alpn: str
    server_name: str
    resumed: bool
    peer: str = ""
    ocsp: bool = False


class Stream(Protocol):
    """Bytes in order. `flow` has our own end first. Reads and writes raise OSError (also TlsError)."""

    @property
    def flow(self) -> Flow: ...

    @property
    def tls(self) -> TlsInfo | None: ...

    async def read(self, size: int = READ_SIZE) -> bytes:
        """At most `size` bytes, as soon as there are any; b"" at the end."""
        ...

    async def write(self, data: bytes) -> None:
        """Returns when the peer's slowness allows more."""
        ...

    def feed(self, data: bytes) -> bool:
        """Write without waiting; False, and nothing is written, where the peer is behind already."""
        ...

    def interrupt(self) -> None:
        """A read that waits raises TimeoutError; so does every later one."""
        ...

    async def close(self) -> None: ...

    def abort(self) -> None:
        """Close at once, by a reset."""
        ...


class TcpStream:
    """A Stream over asyncio's own reader and writer. `unread` pushes bytes back in front."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flow: Flow) -> None:
        self._reader = reader
        self._writer = writer
        self._unread = b""
        self.flow = flow
        self.tls: TlsInfo | None = None

    def unread(self, data: bytes) -> None:
        self._unread = data + self._unread

    async def peek(self) -> bytes:
        """What the next read will give, at least its first bytes; b"" at the end."""
        if not self._unread:
            self._unread = await self._reader.read(READ_SIZE)
        return self._unread

    async def read(self, size: int = READ_SIZE) -> bytes:
        if self._unread:
            data, self._unread = self._unread[:size], self._unread[size:]
            return data
        return await self._reader.read(size)

    def interrupt(self) -> None:
        self._reader.set_exception(TimeoutError("nothing came in time"))

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def feed(self, data: bytes) -> bool:
        if not self.ready:
            return False
        self._writer.transport.write(data)
        return True

    @property
    def ready(self) -> bool:
        """Nothing that was written waits for the peer."""
        transport = self._writer.transport
        return not transport.is_closing() and not transport.get_write_buffer_size()

    async def write_eof(self) -> None:
        """Half-close: we send no more, and go on reading."""
        await self._writer.drain()
        with contextlib.suppress(OSError):  # ENOTCONN: the peer has reset the connection already
            self._writer.write_eof()

    async def close(self) -> None:
        """What was written goes out first, unless the peer takes longer than CLOSE_TIMEOUT_S."""
        self._writer.close()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._writer.wait_closed()
        except TimeoutError:
            self.abort()
        except OSError:
            return  # the peer's reset closed it first

    def abort(self) -> None:
        self._writer.transport.abort()
