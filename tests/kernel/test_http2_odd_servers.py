"""The HTTP/2 client against servers that refuse, break off, go away or break the protocol, on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import GoAwayFrame, RstStreamFrame

from netlab.model.launch import Launch
from netlab.model.roles import ClientSpec
from netlab.net.http2_client import Http2Connection
from netlab.net.upstream import UpstreamError
from netlab.proto.http import RequestHead
from tests.kernel.test_dns_roles import loopback_up
from tests.kernel.test_http2_loops import HOST, PORT, connected, fetched, get
from tests.kit.http2_peer import Encoding, data, raw, settings
from tests.kit.roles_in_process import Running, context, until

Work = Callable[[Http2Connection, Running], Coroutine[Any, Any, None]]
OK = [(":status", "200")]


def answering(
    directory: Path, work: Work, *answers: bytes, first: bytes | None = None, ping_s: float = 0
) -> None:
    """Run `work` with a client of a server that says one of `answers` each time that it hears of requests;
    after the last it closes, unless that is empty."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(settings() if first is None else first)
        try:
            for answer in answers:
                await heard_of_headers(reader)
                writer.write(answer)
            if answers[-1]:
                writer.write_eof()
            await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def main() -> None:
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            running = context(Launch(lab="test", node="n", role="r", spec=ClientSpec()), directory, tasks)
            server = await asyncio.start_server(serve, "127.0.0.1", PORT)
            connection = await connected(running, ping_s=ping_s)
            try:
                await work(connection, running)
            finally:
                await connection.close()
                server.close()
                await server.wait_closed()
        assert running.events("connection-closed")

    loopback_up()
    asyncio.run(main())


async def heard_of_headers(reader: asyncio.StreamReader) -> None:
    """Returns after the next HEADERS."""
    while True:
        head = await reader.readexactly(9)
        if head.startswith(b"PRI"):
            await reader.readexactly(15)
            continue
        await reader.readexactly(int.from_bytes(head[:3], "big"))
        if head[3] == 1:
            return


def rst(stream: int, code: int) -> bytes:
    return RstStreamFrame(stream, error_code=code).serialize()


def goaway(last: int, code: int = 0) -> bytes:
    return GoAwayFrame(0, last_stream_id=last, error_code=code).serialize()


def head(stream: int = 1, *, ends: bool = False, fields: list[tuple[str, str]] | None = None) -> bytes:
    return Encoding().headers(stream, fields or OK, ends=ends)


@pytest.mark.parametrize(
    ("answer", "unsent", "cause"),
    [
        (rst(1, ErrorCodes.REFUSED_STREAM), True, "REFUSED_STREAM"),
        (rst(1, ErrorCodes.INTERNAL_ERROR), False, "INTERNAL_ERROR"),
        (rst(1, 0x1234), False, "0x1234"),
        (goaway(0), True, "GOAWAY"),
        (goaway(1) + head(ends=True), False, ""),
        (raw(0x77), False, "the server closed it"),
        (b"\0", False, "within a frame"),
        (head() + rst(1, ErrorCodes.CANCEL), False, "CANCEL"),
        (head() + data(1, b"some", ends=False), False, "the server closed it"),
        (head(fields=[*OK, ("content-length", "9")]) + data(1, b"some"), False, "PROTOCOL_ERROR"),
        (head(fields=[("x", "y")]), False, "PROTOCOL_ERROR"),
        (raw(0, 0, 0, b"x"), False, "PROTOCOL_ERROR"),
        (raw(1, 5, 1, b"\x80"), False, "COMPRESSION_ERROR"),
        (b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", False, "FRAME_SIZE_ERROR"),
        (head(ends=True), False, ""),
        (head() + data(1, b"all") + rst(1, ErrorCodes.NO_ERROR), False, ""),
    ],
    ids=[
        "refused", "reset", "reset by an unknown code", "gone away before it", "gone away after it", "closed",
        "cut",
        "reset within the body", "closed within the body", "a short body", "no status", "DATA on stream 0",
        "rubbish in a block", "HTTP/1.1", "fine", "fine, and stop sending",
    ],
)  # fmt: skip
def test_what_becomes_of_a_request(tmp_path: Path, answer: bytes, unsent: bool, cause: str) -> None:
    async def work(connection: Http2Connection, _: Running) -> None:
        if not cause:
            assert (await fetched(connection, get()))[0].status == 200
            return
        with pytest.raises(UpstreamError) as caught:
            await fetched(connection, get())
        assert cause in str(caught.value)
        assert (caught.value.unsent, caught.value.status) == (unsent, 502)

    answering(tmp_path, work, answer)


def test_goaway_lets_the_streams_below_it_end(tmp_path: Path) -> None:
    async def work(connection: Http2Connection, _: Running) -> None:
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(fetched(connection, get("/1")))
            second = tasks.create_task(failing(connection))
        assert first.result()[1] == b"done"
        assert second.result().unsent
        assert connection.state.closed
        assert "GOAWAY" in connection.state.cause

    async def failing(connection: Http2Connection) -> UpstreamError:
        with pytest.raises(UpstreamError) as caught:
            await fetched(connection, get("/2"))
        return caught.value

    answering(tmp_path, work, b"", goaway(1) + head() + data(1, b"done"))


def test_a_server_that_is_silent(tmp_path: Path) -> None:
    async def work(connection: Http2Connection, running: Running) -> None:
        with pytest.raises(UpstreamError) as caught:
            await fetched(connection, get(timeout_s=5))
        assert caught.value.status == 502
        assert "PING" in str(caught.value)
        await until(lambda: running.events("connection-closed"), "the connection is given up")

    answering(tmp_path, work, b"", b"", ping_s=0.1)


def test_a_server_without_extended_connect(tmp_path: Path) -> None:
    async def work(connection: Http2Connection, _: Running) -> None:
        with pytest.raises(UpstreamError, match="extended CONNECT"):
            await connection.tunnel(RequestHead("GET", "/", HOST, protocol="websocket"))

    answering(tmp_path, work, b"")


def test_a_tunnel_that_is_refused(tmp_path: Path) -> None:
    async def work(connection: Http2Connection, _: Running) -> None:
        answer, tunnel = await connection.tunnel(RequestHead("GET", "/", HOST, protocol="websocket"))
        assert (answer.status, tunnel) == (403, None)
        assert connection.state.active == 0

    first = settings(ENABLE_CONNECT_PROTOCOL=1)
    answering(tmp_path, work, head(ends=True, fields=[(":status", "403")]), b"", first=first)


def test_capacity_is_what_the_server_says(tmp_path: Path) -> None:
    async def work(connection: Http2Connection, _: Running) -> None:
        await until(lambda: connection.state.capacity == 7, "SETTINGS have come")

    answering(tmp_path, work, b"", first=settings(MAX_CONCURRENT_STREAMS=7))
