"""The server's and client's HTTP loops against each other and against slow or odd peers, on loopback."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from netlab.errors import NetlabError
from netlab.model.launch import Launch
from netlab.model.roles import ClientSpec
from netlab.net.connection import Peer
from netlab.net.exchange import Exchange, Timeouts
from netlab.net.http_client import fetch
from netlab.net.http_server import serve_http
from netlab.net.stream import Stream
from netlab.net.upstream import Target, UpstreamError
from netlab.proto.http import Headers, RequestHead, ResponseHead
from tests.kernel.test_dns_roles import loopback_up
from tests.kit.roles_in_process import Running, context, until

HELLO = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
POST = Headers((("Host", "h"), ("Transfer-Encoding", "chunked")))
PORT = 8000
Work = Callable[[Running], Coroutine[Any, Any, None]]


async def echo(exchange: Exchange) -> None:
    """The request's body, as it comes; for GET its target."""
    if exchange.request.headers.has("expect"):
        await exchange.respond(ResponseHead(200), b"".join([part async for part in exchange.body()]))
    elif exchange.request.method == "POST":
        await exchange.respond(ResponseHead(200), exchange.body())
    else:
        await exchange.respond(ResponseHead(200), exchange.request.target.encode())


def serving(directory: Path, work: Work, timeouts: Timeouts | None = None) -> None:
    """Run `work` beside a server."""

    async def main() -> None:
        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            launch = Launch(lab="test", node="n", role="r", spec=ClientSpec())
            server = context(launch, directory, tasks)

            async def handle(stream: Stream, peer: Peer) -> None:
                await serve_http(server.ctx, stream, peer, echo, timeouts)

            await server.ctx.listen(PORT, handle)
            try:
                await work(server)
            finally:
                await server.ctx.drain()

    loopback_up()
    asyncio.run(main())


async def talk(*parts: bytes) -> bytes:
    """What the server says to `parts` until it closes; it closes by itself, or the test fails."""
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


def test_requests_follow_each_other_on_one_connection(tmp_path: Path) -> None:
    async def work(server: Running) -> None:
        last = HELLO.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n").replace(b"/ ", b"/last ")
        answer = await talk(HELLO * 2 + last)
        assert answer.count(b"HTTP/1.1 200") == 3, answer
        assert answer.endswith(b"/last"), answer

    serving(tmp_path, work)


@pytest.mark.parametrize(
    ("timeouts", "parts", "starts"),
    [
        (Timeouts(head=0.1), (b"GET / HT",), b"HTTP/1.1 408"),
        (Timeouts(body=0.1), (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n",), b"HTTP/1.1 200"),
        (Timeouts(idle=0.1), (b"",), b""),
        (Timeouts(idle=0.1), (HELLO,), b"HTTP/1.1 200"),
    ],
    ids=["slowloris", "slow-body", "nothing", "idle"],
)
def test_a_slow_peer_is_not_waited_for(
    tmp_path: Path, timeouts: Timeouts, parts: tuple[bytes, ...], starts: bytes
) -> None:
    async def work(server: Running) -> None:
        try:
            answer = await talk(*parts)
        except ConnectionResetError:
            answer = b"HTTP/1.1 200"  # it had begun, and was cut
        assert answer.startswith(starts), server.events()
        await until(lambda: server.events("connection-closed"), "the connection is closed")

    serving(tmp_path, work, timeouts)


def test_a_client_that_waits_for_100_gets_it(tmp_path: Path) -> None:
    async def work(server: Running) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        async with asyncio.timeout(10):
            assert b"100 Continue" in await reader.readuntil(b"\r\n\r\n")
            writer.write(b"hi")
            assert b"HTTP/1.1 200" in await reader.readuntil(b"hi")
        writer.close()
        await writer.wait_closed()

    serving(tmp_path, work)


def test_long_bodies_stream_both_ways(tmp_path: Path) -> None:
    part = bytes(range(256)) * 256

    async def work(server: Running) -> None:
        head = RequestHead("POST", "/", POST)
        async with fetch(server.ctx, Target("127.0.0.1", PORT), head, few()) as response:
            assert response.head.status == 200
            assert await response.read() == part * 2
        assert server.events("response-received")[0]["bytes"] == len(part) * 2

    async def few() -> AsyncIterator[bytes]:
        yield part
        yield part

    serving(tmp_path, work)


def test_a_role_that_stops_ends_idle_connections_at_once(tmp_path: Path) -> None:
    async def work(server: Running) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
        await until(lambda: server.events("connection-opened"), "the server has it")
        server.ctx.stop()
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()

    serving(tmp_path, work)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"", 502),
        (b"nonsense\r\n\r\n", 502),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", 502),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, 502),
        (None, 504),
    ],
    ids=["closed", "nonsense", "cut", "long-head", "silent"],
)
def test_an_upstream_that_fails(tmp_path: Path, answer: bytes | None, status: int) -> None:
    ended = asyncio.Event()

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        if answer is None:
            with contextlib.suppress(ConnectionError):
                await reader.read()  # until the client has had enough
        else:
            writer.write(answer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        ended.set()

    async def work(server: Running) -> None:
        listener = await asyncio.start_server(upstream, "127.0.0.1", 9000)
        head = RequestHead("GET", "/", Headers((("Host", "h"),)))
        with pytest.raises(UpstreamError) as caught:
            async with fetch(server.ctx, Target("127.0.0.1", 9000), head, timeout_s=0.5) as response:
                await response.read()
        assert (caught.value.status, caught.value.unsent) == (status, False), caught.value
        listener.close()
        await ended.wait()

    serving(tmp_path, work)


def test_an_upstream_that_is_not_there(tmp_path: Path) -> None:
    async def work(server: Running) -> None:
        head = RequestHead("GET", "/", Headers((("Host", "h"),)))
        with pytest.raises(UpstreamError) as caught:
            async with fetch(server.ctx, Target("127.0.0.1", 1), head):
                pass
        assert caught.value.unsent
        with pytest.raises(NetlabError):
            server.ctx.emit("no-such-event")

    serving(tmp_path, work)
