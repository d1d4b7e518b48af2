"""A tunnel over TLS: what its reader gets when our side has ended it."""

from __future__ import annotations

import asyncio

import pytest

from netlab.model.event import Flow
from netlab.net.http1_tunnel import Http1Tunnel
from netlab.net.stream import READ_SIZE, TlsError, TlsInfo


class _Closing:
    """A Stream inside TLS whose reads fail once it is closed, as OpenSSL's do without close_notify."""

    flow = Flow("tcp", "10.0.0.1", 1, "10.0.0.2", 2)
    tls: TlsInfo | None = None

    def __init__(self) -> None:
        self.closed = asyncio.Event()

    async def read(self, size: int = READ_SIZE) -> bytes:
        await self.closed.wait()
        raise TlsError(f"no close_notify before {size} bytes")

    async def write(self, data: bytes) -> None:
        raise AssertionError(f"nobody writes {data!r} here")

    def feed(self, data: bytes) -> bool:
        raise AssertionError(data)

    def interrupt(self) -> None:
        raise AssertionError("nobody waits for this")

    async def close(self) -> None:
        self.closed.set()

    def abort(self) -> None:
        self.closed.set()


def test_reads_after_close_end() -> None:
    async def read_after_close() -> bytes:
        tunnel = Http1Tunnel(_Closing(), b"")
        await tunnel.close()
        return await tunnel.read()

    assert asyncio.run(read_after_close()) == b""


def test_a_read_that_waits_while_we_close_ends() -> None:
    async def close_beside_a_read() -> tuple[bytes, bytes]:
        tunnel = Http1Tunnel(_Closing(), b"early")
        early = await tunnel.read()
        async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(tunnel.read())
            await asyncio.sleep(0)
            await tunnel.close()
        return early, reading.result()

    assert asyncio.run(close_beside_a_read()) == (b"early", b"")


def test_a_cut_that_is_not_ours_is_an_error() -> None:
    async def read_cut() -> bytes:
        stream = _Closing()
        stream.abort()
        return await Http1Tunnel(stream, b"").read()

    with pytest.raises(TlsError, match="close_notify"):
        asyncio.run(read_cut())
