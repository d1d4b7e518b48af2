"""The HTTP/1.1 client connection against scripted servers: kept, early, cut, silent, switching."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from netlab.errors import RemoteProtocolError
from netlab.model.launch import Launch
from netlab.model.roles import ClientSpec
from netlab.net.http1_client import Http1Connection
from netlab.net.upstream import Outgoing, Target, UpstreamError
from netlab.proto.http import Headers, RequestHead
from tests.kernel.test_dns_roles import loopback_up
from tests.kit.roles_in_process import Running, context, until

TARGET = Target("127.0.0.1", 9000)
HOST = Headers((("Host", "h"),))
GET = Outgoing(RequestHead("GET", "/", HOST), timeout_s=5)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Work = Callable[[Running, Http1Connection], Awaitable[None]]


def against(directory: Path, script: Script, work: Work) -> None:
    """Run `work` with a connection to a server that follows `script`, and then closes."""
    ended: list[BaseException | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        failure = None
        try:
            await script(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, AssertionError) as error:
            failure = error
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        ended.append(failure)

    async def main() -> None:
        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            launch = Launch(lab="test", node="c", role="r", spec=ClientSpec())
            running = context(launch, directory, tasks)
            listener = await asyncio.start_server(serve, "127.0.0.1", TARGET.port)
            stream = await running.ctx.connect(TARGET.address, TARGET.port)
            connection = Http1Connection(running.ctx, stream, TARGET)
            await work(running, connection)
            await connection.close()
            assert len(running.events("connection-closed")) == 1, running.events()
            await until(lambda: ended, "the server's script ends")
            assert not isinstance(ended[0], AssertionError), ended
            listener.close()

    loopback_up()
    asyncio.run(main())


async def head(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


def answering(*answers: bytes) -> Script:
    """One answer to each request without a body, then the end."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await head(reader)
            writer.write(answer)
            await writer.drain()

    return script


async def asked(connection: Http1Connection, request: Outgoing = GET) -> tuple[int, bytes]:
    async with connection.exchange(request) as response:
        return response.head.status, await response.read()


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def test_requests_follow_each_other(tmp_path: Path) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nSum: 2\r\n\r\n"
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"

    async def work(running: Running, connection: Http1Connection) -> None:
        assert await asked(connection) == (200, b"hi")
        async with connection.exchange(GET) as response:
            assert await response.read() == b"hi"
            assert response.trailers == (("Sum", "2"),)
            assert [one.status for one in response.informational] == [103]
            assert connection.state.active == 1
        async with connection.exchange(Outgoing(RequestHead("HEAD", "/", HOST))) as response:
            assert response.head.status == 200  # and nobody asks for its body
        assert (connection.state.requests, connection.state.active) == (3, 0)
        assert not connection.state.closed
        assert await asked(connection) == (204, b"")
        assert [one["bytes"] for one in running.events("response-received")] == [2, 2, 0, 0]
        assert len(running.events("request-sent")) == 4

    only_head = OK.removesuffix(b"hi")
    empty = b"HTTP/1.1 204 No Content\r\n\r\n"

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answering(OK, early + chunked, only_head, empty)(reader, writer)
        await reader.read()

    against(tmp_path, script, work)


@pytest.mark.parametrize(
    ("answer", "body", "cause"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nhi", b"hi", "done"),
        (OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n"), b"hi", "done"),
        (OK.replace(b"HTTP/1.1", b"HTTP/1.0"), b"hi", "done"),
        (OK + b"more", b"hi", "bytes that nobody asked for"),
    ],
    ids=["until close", "says close", "1.0", "bytes behind"],
)
def test_a_connection_that_can_t_go_on(tmp_path: Path, answer: bytes, body: bytes, cause: str) -> None:
    async def work(_: Running, connection: Http1Connection) -> None:
        assert await asked(connection) == (200, body)
        assert (connection.state.closed, connection.state.cause) == (True, cause)
        with pytest.raises(UpstreamError) as caught:
            await asked(connection)
        assert caught.value.unsent

    against(tmp_path, answering(answer), work)


@pytest.mark.parametrize("last", [b"", b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"])
def test_a_server_that_ends_an_idle_connection(tmp_path: Path, last: bytes) -> None:
    async def work(running: Running, connection: Http1Connection) -> None:
        told: list[bool] = []
        connection.state.watch = lambda: told.append(connection.state.closed)
        assert await asked(connection) == (200, b"hi")
        await until(lambda: running.events("connection-closed"), "it is noticed though nobody asks")
        assert told == [True]
        with pytest.raises(UpstreamError) as caught:
            await asked(connection)
        assert caught.value.unsent, "it never left"

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answering(OK)(reader, writer)
        if last:
            await asyncio.sleep(0.05)  # so that it is no part of the answer's segment
            writer.write(last)

    against(tmp_path, script, work)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nlonger",
        b"HTTP/1.1 200 O",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
        b"SSH-2.0-OpenSSH_9\r\n\r\n",
    ],
)
def test_an_answer_that_is_none(tmp_path: Path, answer: bytes) -> None:
    async def work(_: Running, connection: Http1Connection) -> None:
        with pytest.raises(UpstreamError) as caught:
            await asked(connection)
        assert (caught.value.status, caught.value.unsent) == (502, False), caught.value
        assert connection.state.closed

    against(tmp_path, answering(answer), work)


def test_a_silent_server(tmp_path: Path) -> None:
    async def work(_: Running, connection: Http1Connection) -> None:
        with pytest.raises(UpstreamError) as caught:
            await asked(connection, Outgoing(GET.head, timeout_s=0.2))
        assert caught.value.status == 504
        assert (connection.state.closed, connection.state.active) == (True, 0)

    async def script(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    against(tmp_path, script, work)


def test_a_body_goes_out_while_the_answer_comes_in(tmp_path: Path) -> None:
    """The server answers each part before it gets the next: neither side waits for the other's end."""
    turn = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"a"
        await turn.wait()
        yield b"b"

    async def work(_: Running, connection: Http1Connection) -> None:
        request = Outgoing(
            RequestHead("POST", "/", HOST), body(), lambda: Headers((("T", "1"),)), timeout_s=5
        )
        async with connection.exchange(request) as response:
            got = b""
            async for part in response.body():
                got += part
                turn.set()
        assert got == b"AB"
        assert not connection.state.closed

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert b"Transfer-Encoding: chunked" in await head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        assert await reader.readexactly(6) == b"1\r\na\r\n"
        writer.write(b"A")
        assert await reader.readexactly(6) == b"1\r\nb\r\n"
        assert await head(reader) == b"0\r\nT: 1\r\n\r\n"
        writer.write(b"B")
        await reader.read()

    against(tmp_path, script, work)


def test_an_early_answer_ends_the_upload(tmp_path: Path) -> None:
    ended = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(65_536)
        finally:
            ended.set()

    async def work(_: Running, connection: Http1Connection) -> None:
        request = Outgoing(RequestHead("POST", "/", HOST), endless(), timeout_s=5)
        assert await asked(connection, request) == (200, b"hi")
        assert connection.state.closed, "what is left of the request would be the next one's beginning"

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answering(OK)(reader, writer)
        await reader.read()

    against(tmp_path, script, work)


def test_what_the_body_s_source_raises_reaches_who_asked(tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"a"
        raise RemoteProtocolError("the client broke off", 400)

    async def work(_: Running, connection: Http1Connection) -> None:
        with pytest.raises(RemoteProtocolError, match="the client broke off"):
            await asked(connection, Outgoing(RequestHead("POST", "/", HOST), broken(), timeout_s=5))
        assert connection.state.closed

    async def script(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    against(tmp_path, script, work)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 100 Continue\r\n\r\n", b""])
def test_expect_waits_for_100_but_not_for_ever(tmp_path: Path, answer: bytes) -> None:
    async def work(_: Running, connection: Http1Connection) -> None:
        fields = Headers((*HOST, ("Expect", "100-continue"), ("Content-Length", "2")))
        request = Outgoing(RequestHead("POST", "/", fields), pieces(b"hi"), timeout_s=5)
        assert await asked(connection, request) == (200, b"hi")

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                raise AssertionError(f"not before 100: {await reader.read(1)!r}")
        writer.write(answer)
        assert await reader.readexactly(2) == b"hi"
        writer.write(OK)

    against(tmp_path, script, work)


def test_a_tunnel(tmp_path: Path) -> None:
    async def work(running: Running, connection: Http1Connection) -> None:
        asking = RequestHead("GET", "/", HOST, protocol="websocket")
        answer, tunnel = await connection.tunnel(asking)
        assert (answer.status, tunnel) == (426, None)
        answer, tunnel = await connection.tunnel(asking)
        assert answer.status == 101
        assert tunnel is not None
        assert connection.state.closed, "it takes no more requests"
        assert await tunnel.read() == b"early"
        await tunnel.write(b"there")
        await tunnel.close()
        assert await tunnel.read() == b"THERE"
        assert await tunnel.read() == b""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked_ = await head(reader)
        assert b"\r\nUpgrade: websocket\r\n" in asked_, asked_
        writer.write(b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno")
        await head(reader)
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\n\r\nearly")
        writer.write((await reader.read()).upper())

    against(tmp_path, script, work)


def test_a_switch_to_something_else_is_refused(tmp_path: Path) -> None:
    async def work(_: Running, connection: Http1Connection) -> None:
        with pytest.raises(UpstreamError, match="it switched to other"):
            await connection.tunnel(RequestHead("GET", "/", HOST, protocol="websocket"))
        assert connection.state.closed

    against(tmp_path, answering(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\n\r\n"), work)


def test_giving_up_within_a_response_ends_the_connection(tmp_path: Path) -> None:
    async def work(running: Running, connection: Http1Connection) -> None:
        async with connection.exchange(GET) as response:
            assert response.head.status == 200
        assert connection.state.closed
        assert running.events("connection-closed")

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answering(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\nhi")(reader, writer)
        assert await reader.read() == b""

    against(tmp_path, script, work)
