"""HTTP/2's server and client loops against each other and against slow or odd peers, on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from netlab.model.launch import Launch
from netlab.model.roles import ClientSpec
from netlab.net.connection import Peer
from netlab.net.exchange import Exchange, Handler, Timeouts
from netlab.net.http2_client import Http2Connection, OnPush
from netlab.net.http2_server import serve_http2
from netlab.net.stream import Stream
from netlab.net.upstream import Outgoing, Response, Target, UpstreamError
from netlab.proto.http import Headers, RequestHead, ResponseHead
from netlab.proto.http2 import Limits
from tests.kernel.test_dns_roles import loopback_up
from tests.kit.roles_in_process import Running, context, until

PORT = 8000
TARGET = Target("127.0.0.1", PORT, versions=("2",))
HOST = Headers((("Host", "a.example"),))
Work = Callable[[Running], Coroutine[Any, Any, None]]


async def echo(exchange: Exchange) -> None:
    """The request's body, as it comes, and its trailers; for GET its target."""
    request = exchange.request
    if request.protocol:
        tunnel = await exchange.tunnel()
        while data := await tunnel.read():
            await tunnel.write(data.upper())
        await tunnel.close()
    elif request.method == "POST":
        await exchange.respond(ResponseHead(200), exchange.body(), lambda: exchange.trailers)
    elif request.target == "/hints":
        await exchange.inform(ResponseHead(103, Headers((("link", "</style.css>"),))))
        pushed = await exchange.push(
            RequestHead("GET", "/style.css", HOST), ResponseHead(200), b"pushed" * 100
        )
        await exchange.respond(ResponseHead(200), str(pushed).encode())
    elif request.target == "/abort":
        exchange.abort()
    elif request.target == "/forever":
        await exchange.respond(ResponseHead(200), forever())
    elif request.target == "/wait":
        await asyncio.Event().wait()
    else:
        await exchange.respond(ResponseHead(200), request.target.encode())


async def forever() -> AsyncIterator[bytes]:
    while True:
        yield bytes(10_000)


def serving(
    directory: Path,
    work: Work,
    *,
    handler: Handler = echo,
    timeouts: Timeouts | None = None,
    limits: Limits | None = None,
) -> None:
    """Run `work` beside a server; nothing of theirs is left."""

    async def main() -> None:
        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            launch = Launch(lab="test", node="n", role="r", spec=ClientSpec())
            server = context(launch, directory, tasks)

            async def handle(stream: Stream, peer: Peer) -> None:
                await serve_http2(server.ctx, stream, peer, handler, timeouts, limits)

            await server.ctx.listen(PORT, handle)
            try:
                await work(server)
            finally:
                await server.ctx.drain()
        assert len(asyncio.all_tasks()) == 1, asyncio.all_tasks()

    loopback_up()
    asyncio.run(main())


async def connected(server: Running, on_push: OnPush | None = None, ping_s: float = 0) -> Http2Connection:
    stream = await server.ctx.connect("127.0.0.1", PORT)
    return await Http2Connection.start(server.ctx, stream, TARGET, on_push=on_push, ping_s=ping_s)


def get(path: str = "/", method: str = "GET", **more: Any) -> Outgoing:
    return Outgoing(RequestHead(method, path, HOST), **more)


async def fetched(connection: Http2Connection, request: Outgoing) -> tuple[ResponseHead, bytes]:
    async with connection.exchange(request) as response:
        return response.head, await response.read()


def test_many_requests_at_once_on_one_connection(tmp_path: Path) -> None:
    async def work(server: Running) -> None:
        connection = await connected(server)
        answers = await asyncio.gather(*(fetched(connection, get(f"/{n}")) for n in range(90)))
        assert [body for _, body in answers] == [f"/{n}".encode() for n in range(90)]
        assert (connection.state.active, connection.state.requests) == (0, 90)
        assert connection.state.capacity == 100
        await connection.close()
        received = server.events("request-received")
        assert {event["stream"] for event in received} == set(range(1, 181, 2))
        assert received[0]["version"] == "2"
        assert received[0]["headers"]["host"] == "a.example"
        kinds = ("request-sent", "response-sent", "response-received")
        assert [len(server.events(kind)) for kind in kinds] == [90] * 3

    serving(tmp_path, work)


def test_long_bodies_both_ways_at_once_with_trailers(tmp_path: Path) -> None:
    part = bytes(range(256)) * 400

    async def body() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield part

    async def work(server: Running) -> None:
        connection = await connected(server)
        request = get(method="POST", body=body(), trailers=lambda: Headers((("x-sum", "1"),)))
        async with connection.exchange(request) as response:
            assert await response.read() == part * 50
            assert response.trailers == (("x-sum", "1"),)
        assert server.events("response-received")[0]["bytes"] == len(part) * 50
        await connection.close()

    serving(tmp_path, work)


def test_a_reader_that_waits_holds_the_sender_back(tmp_path: Path) -> None:
    sent = 0

    async def counted(exchange: Exchange) -> None:
        async def body() -> AsyncIterator[bytes]:
            nonlocal sent
            while True:
                yield bytes(10_000)
                sent += 10_000

        await exchange.respond(ResponseHead(200), body())

    async def work(server: Running) -> None:
        connection = await connected(server)
        async with connection.exchange(get()):
            await until(lambda: sent > 200_000, "the window is filled")
            before = -1
            while before != sent:
                before = sent
                await connection.ping()
            assert sent <= 256 * 1024 + 10_000, "no more than the stream's window"
        await connection.close()

    serving(tmp_path, work, handler=counted)


def test_hints_and_pushes_where_they_are_wanted(tmp_path: Path) -> None:
    pushes: list[tuple[str, bytes]] = []

    async def on_push(request: RequestHead, response: Response) -> None:
        pushes.append((request.target, await response.read()))

    async def work(server: Running) -> None:
        for wanted in (None, on_push):
            connection = await connected(server, wanted)
            async with connection.exchange(get("/hints")) as response:
                assert [head.status for head in response.informational] == [103]
                assert await response.read() == str(wanted is not None).encode()
            if wanted:
                await until(lambda: pushes, "the push has come")
            await connection.close()
        assert pushes == [("/style.css", b"pushed" * 100)]

    serving(tmp_path, work)


def test_a_tunnel_by_extended_connect(tmp_path: Path) -> None:
    async def work(server: Running) -> None:
        connection = await connected(server)
        head = RequestHead("GET", "/chat", HOST, protocol="websocket")
        answer, tunnel = await connection.tunnel(head)
        assert answer.status == 200
        assert tunnel is not None
        await tunnel.write(b"hello")
        assert await tunnel.read() == b"HELLO"
        await tunnel.close()
        assert await tunnel.read() == b""
        await until(lambda: connection.state.active == 0, "the stream is over")
        received = server.events("request-received")[0]
        assert (received["method"], received["target"]) == ("GET", "/chat")
        await connection.close()

    serving(tmp_path, work)


def test_a_tunnel_takes_several_writers_at_once(tmp_path: Path) -> None:
    async def work(server: Running) -> None:
        connection = await connected(server)
        _, tunnel = await connection.tunnel(RequestHead("GET", "/chat", HOST, protocol="websocket"))
        assert tunnel is not None
        parts = [bytes((65 + n,)) * 300_000 for n in range(4)]
        async with asyncio.TaskGroup() as tasks:
            for part in parts:
                tasks.create_task(tunnel.write(part))
            came = b""
            while len(came) < sum(map(len, parts)):
                came += await tunnel.read()
        assert came == b"".join(parts)
        tunnel.abort()
        await until(lambda: connection.state.active == 0, "the stream is over")
        await connection.close()

    serving(tmp_path, work)


@pytest.mark.parametrize("path", ["/abort", "/wait"])
def test_a_request_without_an_answer(tmp_path: Path, path: str) -> None:
    async def work(server: Running) -> None:
        connection = await connected(server)
        with pytest.raises(UpstreamError) as caught:
            await fetched(connection, get(path, timeout_s=0.2))
        assert caught.value.status == (502 if path == "/abort" else 504), caught.value
        assert (await fetched(connection, get("/next")))[1] == b"/next"
        await connection.close()

    serving(tmp_path, work)


def test_leaving_a_response_gives_its_stream_up(tmp_path: Path) -> None:
    async def work(server: Running) -> None:
        connection = await connected(server)
        async with connection.exchange(get("/forever")) as response:
            async for _ in response.body():
                break
        assert (await fetched(connection, get("/next")))[1] == b"/next"
        await connection.close()

    serving(tmp_path, work)


def test_a_role_that_stops_finishes_what_is_active(tmp_path: Path) -> None:
    go = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        await go.wait()
        await exchange.respond(ResponseHead(200), b"done")

    async def work(server: Running) -> None:
        connection, idle = await connected(server), await connected(server)
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(fetched(connection, get()))
            await until(lambda: server.events("request-received"), "the server has it")
            server.ctx.stop()
            await until(lambda: connection.state.closed and idle.state.closed, "GOAWAY has come")
            assert "GOAWAY (NO_ERROR)" in connection.state.cause
            with pytest.raises(UpstreamError) as caught:
                await fetched(connection, get())
            assert caught.value.unsent
            go.set()
        assert asked.result()[1] == b"done"
        await until(lambda: len(server.events("connection-closed")) == 4, "both ends of both are closed")

    serving(tmp_path, work, handler=slow)


def test_more_requests_than_the_server_takes(tmp_path: Path) -> None:
    async def work(server: Running) -> None:
        connection = await connected(server)
        await fetched(connection, get())
        assert connection.state.capacity == 2
        async with connection.exchange(get("/forever")), connection.exchange(get("/forever")):
            with pytest.raises(UpstreamError) as caught:
                await fetched(connection, get())
            assert caught.value.unsent
        await connection.close()

    serving(tmp_path, work, limits=Limits(streams=2))


def test_a_connection_that_breaks_fails_what_is_on_it(tmp_path: Path) -> None:
    async def work(server: Running) -> None:
        connection = await connected(server, ping_s=5)
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(failing(connection)) for _ in range(3)]
            await until(lambda: len(server.events("request-received")) == 3, "the server has them")
            connection.abort()
        assert [task.result().status for task in asked] == [502] * 3
        assert connection.state.closed

    async def failing(connection: Http2Connection) -> UpstreamError:
        with pytest.raises(UpstreamError) as caught:
            await fetched(connection, get("/wait"))
        return caught.value

    serving(tmp_path, work)


def test_a_body_that_can_not_be_read_fails_its_request_as_it_did(tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"some"
        raise LookupError("no more")

    async def work(server: Running) -> None:
        connection = await connected(server)
        with pytest.raises(LookupError, match="no more"):
            await fetched(connection, get(method="POST", body=broken()))
        assert (await fetched(connection, get("/next")))[1] == b"/next"
        await connection.close()

    serving(tmp_path, work)
