"""The HTTP/2 server against peers that are slow, greedy, rude or gone, by raw frames on loopback."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import DataFrame, Frame, GoAwayFrame, HeadersFrame, RstStreamFrame, SettingsFrame

from netlab.net.exchange import Exchange, Timeouts
from netlab.proto.http import ResponseHead
from netlab.proto.http2 import Limits
from tests.kernel.test_http2_loops import PORT, serving
from tests.kit.http2_peer import GET, POST, PREFACE, Encoding, data, opening, raw, settings
from tests.kit.roles_in_process import Running, until

Stop = Callable[[list[Frame]], object]


class RawClient:
    """A connection that sends what it is told to, and keeps the frames that come."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.encoding = Encoding()
        self.frames: list[Frame] = []
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, *first: bytes) -> RawClient:
        client = cls(*await asyncio.open_connection("127.0.0.1", PORT))
        return await client.send(*(first or (opening(),)))

    async def send(self, *parts: bytes) -> RawClient:
        self._writer.write(b"".join(parts))
        await self._writer.drain()
        return self

    async def get(self, stream: int = 1, *fields: tuple[str, str]) -> RawClient:
        return await self.send(self.encoding.headers(stream, [*GET, *fields]))

    async def post(self, stream: int = 1, *fields: tuple[str, str]) -> RawClient:
        return await self.send(self.encoding.headers(stream, [*POST, *fields], ends=False))

    async def until(self, stop: Stop) -> list[Frame]:
        """All frames so far, when `stop` holds of them, or the server closes."""
        async with asyncio.timeout(10):
            while not stop(self.frames):
                try:
                    head = await self._reader.readexactly(9)
                except (asyncio.IncompleteReadError, ConnectionResetError):
                    return self.frames
                frame, size = Frame.parse_frame_header(memoryview(head))
                frame.parse_body(memoryview(await self._reader.readexactly(size)))
                self.frames.append(frame)
        return self.frames

    async def closed(self) -> list[Frame]:
        return await self.until(lambda _: False)

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


Work = Callable[[Running, RawClient], Coroutine[Any, Any, None]]


def talking(directory: Path, work: Work, *first: bytes, **options: Any) -> None:
    """Run `work` with a server and a client that has sent `first`."""

    async def main(server: Running) -> None:
        client = await RawClient.open(*first)
        try:
            await work(server, client)
        finally:
            await client.close()

    serving(directory, main, **options)


def resets(frames: list[Frame]) -> list[tuple[int, int]]:
    return [(frame.stream_id, frame.error_code) for frame in frames if isinstance(frame, RstStreamFrame)]


def goaways(frames: list[Frame]) -> list[int]:
    return [frame.error_code for frame in frames if isinstance(frame, GoAwayFrame)]


def ended(frames: list[Frame]) -> list[int]:
    """Streams whose response is whole, in order."""
    return [frame.stream_id for frame in frames if "END_STREAM" in frame.flags]


@pytest.mark.parametrize(
    ("first", "codes"),
    [
        ((b"GET / HTTP/1.1\r\n\r\n",), [ErrorCodes.PROTOCOL_ERROR]),
        ((PREFACE,), [ErrorCodes.ENHANCE_YOUR_CALM]),
        ((PREFACE[:10],), [ErrorCodes.ENHANCE_YOUR_CALM]),
        ((opening(), raw(1, 1, 1, b"\x82")), [ErrorCodes.ENHANCE_YOUR_CALM]),
        ((opening(), raw(1, 5, 1, b"\x82", length=100)), [ErrorCodes.ENHANCE_YOUR_CALM]),
        ((opening(),), [ErrorCodes.NO_ERROR]),
        ((opening(), raw(6, 0, 0, bytes(8)) * 1000), [ErrorCodes.ENHANCE_YOUR_CALM]),
    ],
    ids=["HTTP/1.1", "no SETTINGS", "half a preface", "no END_HEADERS", "half a frame", "idle", "PING flood"],
)
def test_who_does_not_go_on_is_told_and_left(
    tmp_path: Path, first: tuple[bytes, ...], codes: list[int]
) -> None:
    async def work(server: Running, client: RawClient) -> None:
        frames = await client.closed()
        assert goaways(frames) == codes, frames
        await until(lambda: server.events("connection-closed"), "the connection is closed")

    talking(tmp_path, work, *first, timeouts=Timeouts(head=0.2, idle=0.3))


def test_a_body_that_does_not_come(tmp_path: Path) -> None:
    async def wants_all(exchange: Exchange) -> None:
        await exchange.respond(ResponseHead(200), b"".join([part async for part in exchange.body()]))

    async def work(server: Running, client: RawClient) -> None:
        await client.post(1, ("content-length", "5"))
        frames = await client.until(resets)
        head = next(frame for frame in frames if isinstance(frame, HeadersFrame))
        assert client.encoding.status(head) == "408"
        assert resets(frames) == [(1, ErrorCodes.NO_ERROR)], "and the rest of the body is not wanted"

    talking(tmp_path, work, handler=wants_all, timeouts=Timeouts(body=0.2))


def test_a_window_that_stays_shut_costs_its_stream(tmp_path: Path) -> None:
    async def work(server: Running, client: RawClient) -> None:
        await client.get()
        assert resets(await client.until(resets)) == [(1, ErrorCodes.CANCEL)]
        await client.send(settings(INITIAL_WINDOW_SIZE=100))
        await client.get(3)
        assert ended(await client.until(ended)) == [3], "the connection goes on"

    talking(tmp_path, work, PREFACE + settings(INITIAL_WINDOW_SIZE=0), timeouts=Timeouts(body=0.2))


def test_a_body_of_another_length_that_nobody_reads(tmp_path: Path) -> None:
    async def work(server: Running, client: RawClient) -> None:
        await client.send(client.encoding.headers(1, [*GET, ("content-length", "1")], ends=False))
        await client.until(ended)
        await client.send(data(1, b"four"))
        assert resets(await client.until(resets)) == [(1, ErrorCodes.PROTOCOL_ERROR)]

    talking(tmp_path, work)


def test_a_long_body_that_nobody_wants(tmp_path: Path) -> None:
    async def ignores(exchange: Exchange) -> None:
        await exchange.respond(ResponseHead(403), b"no")

    async def work(server: Running, client: RawClient) -> None:
        await client.post()
        await client.until(ended)
        for _ in range(20):
            await client.send(data(1, bytes(16_000), ends=False))
        assert resets(await client.until(resets)) == [(1, ErrorCodes.NO_ERROR)]
        await client.get(3)
        assert ended(await client.until(lambda frames: 3 in ended(frames))) == [1, 3]

    talking(tmp_path, work, handler=ignores)


def test_who_gives_a_request_up_ends_its_handler(tmp_path: Path) -> None:
    ends: list[str] = []

    async def waits(exchange: Exchange) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ends.append(exchange.request.target)

    async def work(server: Running, client: RawClient) -> None:
        await client.get()
        await until(lambda: server.events("request-received"), "the request is there")
        await client.send(raw(3, 0, 1, b"\0\0\0\x08"))
        await until(lambda: ends, "its handler has ended")
        await client.get(3)
        await until(lambda: len(server.events("request-received")) == 2, "the next is there")
        await client.close()
        await until(lambda: len(ends) == 2, "the end of the connection ends it, too")

    talking(tmp_path, work, handler=waits)


def test_rapid_reset_leaves_nothing_behind(tmp_path: Path) -> None:
    async def work(server: Running, client: RawClient) -> None:
        streams = range(1, 1001, 2)
        await client.send(*[client.encoding.headers(s, GET) + raw(3, 0, s, bytes(4)) for s in streams])
        assert goaways(await client.closed()) == [ErrorCodes.ENHANCE_YOUR_CALM]
        await until(lambda: server.events("connection-closed"), "the connection is closed")

    talking(tmp_path, work)


def test_an_urgent_response_overtakes(tmp_path: Path) -> None:
    """RFC 9218: both are large and wait for the window of the connection."""

    async def big(exchange: Exchange) -> None:
        await exchange.respond(ResponseHead(200), bytes(200_000))

    async def work(server: Running, client: RawClient) -> None:
        await client.get(1, ("priority", "u=6"))
        await client.get(3, ("priority", "u=1"))
        await client.until(lambda frames: sum(map(size, frames)) == 65_535)
        await client.send(raw(8, 0, 0, (400_000).to_bytes(4, "big")))
        assert ended(await client.until(lambda frames: len(ended(frames)) == 2)) == [3, 1]

    def size(frame: Frame) -> int:
        return len(frame.data) if isinstance(frame, DataFrame) else 0

    talking(tmp_path, work, PREFACE + settings(INITIAL_WINDOW_SIZE=300_000), handler=big)


def test_more_streams_at_once_than_allowed(tmp_path: Path) -> None:
    async def waits(exchange: Exchange) -> None:
        await asyncio.Event().wait()

    async def work(server: Running, client: RawClient) -> None:
        for stream in (1, 3, 5):
            await client.get(stream)
        frames = await client.until(resets)
        assert resets(frames) == [(5, ErrorCodes.REFUSED_STREAM)]
        first = next(frame for frame in frames if isinstance(frame, SettingsFrame))
        assert first.settings[SettingsFrame.MAX_CONCURRENT_STREAMS] == 2

    talking(tmp_path, work, handler=waits, limits=Limits(streams=2))


def test_who_reads_nothing_is_not_waited_for(tmp_path: Path) -> None:
    async def work(server: Running, client: RawClient) -> None:
        await client.send(client.encoding.headers(1, [*GET[:2], (":path", "/forever"), GET[3]]))
        await until(lambda: server.events("connection-closed"), "the server gives up")

    first = PREFACE + settings(INITIAL_WINDOW_SIZE=2**31 - 1) + raw(8, 0, 0, b"\x7f\0\0\0")
    talking(tmp_path, work, first, timeouts=Timeouts(body=0.3))
