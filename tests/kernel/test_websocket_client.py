"""Our WebSocket client: with the `websockets` library's server, over our own HTTP/1.1 and 2, and with
servers that lie or fall silent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve

from netlab.model.launch import Launch
from netlab.model.roles import ClientSpec, HttpVersion
from netlab.net.connection import Peer
from netlab.net.dial import dial
from netlab.net.exchange import Exchange
from netlab.net.http_server import serve_http
from netlab.net.stream import Stream
from netlab.net.upstream import Target, UpstreamError
from netlab.net.websocket import KeepAlive, WebSocket, WebSockets
from netlab.net.websocket_open import NotAcceptedError, accept, open_websocket
from netlab.proto.http import Headers, RequestHead
from netlab.proto.websocket import Message
from netlab.proto.websocket_handshake import accept_key
from tests.kernel.test_dns_roles import loopback_up
from tests.kit.roles_in_process import Running, context, until

PORT = 8000
HEAD = RequestHead("GET", "/chat", Headers((("Host", "h"),)), scheme="http")
QUICK = KeepAlive(interval=0.1, timeout=0.2, close=0.3)
Work = Callable[[Running], Awaitable[None]]


def run(directory: Path, work: Work) -> None:
    async def main() -> None:
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            launch = Launch(lab="test", node="n", role="r", spec=ClientSpec())
            running = context(launch, directory, tasks)
            try:
                await work(running)
            finally:
                await running.ctx.drain()

    loopback_up()
    asyncio.run(main())


async def opened(running: Running, version: HttpVersion = "1.1", *, compress: bool = True) -> WebSocket:
    connection = await dial(running.ctx, Target("127.0.0.1", PORT, versions=(version,)), 5)
    return await open_websocket(
        running.ctx, connection.tunnel, HEAD, subprotocols=("chat",), compress=compress
    )


@pytest.mark.parametrize("compress", [True, False])
def test_with_an_independent_server(tmp_path: Path, compress: bool) -> None:
    async def echo(connection: ServerConnection) -> None:
        assert await (await connection.ping())
        async for message in connection:
            await connection.send(message)

    async def work(running: Running) -> None:
        async with serve(echo, "127.0.0.1", PORT, subprotocols=["chat"], max_size=None):  # type: ignore[list-item]
            websocket = await opened(running, compress=compress)
            assert websocket.subprotocol == "chat"
            for content in ("", "Grüße " * 100, "x" * 1_000_000):
                assert await websocket.send(content)
                message = await websocket.receive()
                assert message is not None
                assert message.text == content
            assert await websocket.send(b"\x00\xff")
            assert await websocket.receive() == Message(b"\x00\xff", is_text=False)
            await websocket.close(1000, "done")
            assert (websocket.close_code, websocket.close_reason) == (1000, "done")
            assert not await websocket.send("late")
            (told,) = running.events("websocket-opened")
            assert ("permessage-deflate" in told["extensions"]) is compress, told

    run(tmp_path, work)


async def listening(running: Running, held: WebSockets | None = None) -> None:
    """An echo over our own server; sockets of `held` are kept alive."""

    async def handle(exchange: Exchange) -> None:
        websocket = await accept(running.ctx, exchange, subprotocols=("chat",))
        if websocket is None:
            return
        if held is not None:
            held.add(websocket)
        while (message := await websocket.receive()) is not None:
            await websocket.send(message)

    async def handle_stream(stream: Stream, peer: Peer) -> None:
        await serve_http(running.ctx, stream, peer, handle)

    await running.ctx.listen(PORT, handle_stream)


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_over_our_own_server(tmp_path: Path, version: HttpVersion) -> None:
    async def work(running: Running) -> None:
        await listening(running)
        first, second = await opened(running, version), await opened(running, version)
        big = "z" * 300_000  # more than a stream's window
        for websocket in (first, second):
            await websocket.send(big)
        for websocket in (second, first):
            message = await websocket.receive()
            assert message is not None
            assert message.text == big
        await asyncio.gather(*(first.send(f"message {number}" * 50) for number in range(50)))
        came = [await first.receive() for _ in range(50)]
        assert [message.text for message in came if message] == [f"message {n}" * 50 for n in range(50)]
        await first.close(4001, "enough")
        await second.close()
        await until(lambda: len(running.events("websocket-closed")) == 4, "both sides of both have ended")
        codes = sorted(event["code"] for event in running.events("websocket-closed"))
        assert codes == [1000, 1000, 4001, 4001], running.events("websocket-closed")

    run(tmp_path, work)


@contextlib.asynccontextmanager
async def answering(*, answer: Callable[[str], str], after: bytes = b"") -> AsyncIterator[None]:
    """A server whose whole answer to a handshake is made of its key; then it says nothing more."""
    left = asyncio.Event()

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):  # clients go by a reset, too
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            key = next(line.split(": ")[1] for line in head.split("\r\n") if "websocket-key" in line.lower())
            writer.write(answer(key).replace("\n", "\r\n").encode() + after)
            await reader.read()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        left.set()

    async with await asyncio.start_server(serve_one, "127.0.0.1", PORT):
        yield
        await left.wait()


def honest(key: str) -> str:
    return (
        "HTTP/1.1 101 Switching Protocols\nUpgrade: websocket\nConnection: Upgrade\n"
        f"Sec-WebSocket-Accept: {accept_key(key)}\n\n"
    )


@pytest.mark.parametrize(
    "answer",
    [
        lambda key: honest(key).replace(accept_key(key), accept_key("x")),
        lambda key: honest(key).replace("\n\n", "\nSec-WebSocket-Protocol: other\n\n"),
        lambda key: honest(key).replace("\n\n", "\nSec-WebSocket-Extensions: novelty\n\n"),
        lambda key: "HTTP/1.1 503 Later\nRetry-After: 7\nConnection: close\nContent-Length: 0\n\n",
    ],
)
def test_servers_that_do_not_accept(tmp_path: Path, answer: Callable[[str], str]) -> None:
    async def work(running: Running) -> None:
        async with answering(answer=answer):
            with pytest.raises(NotAcceptedError) as raised:
                await opened(running)
        if raised.value.response.status == 503:
            assert raised.value.response.headers.get("retry-after") == "7"

    run(tmp_path, work)


@pytest.mark.parametrize("answer", ["HTTP/1.1 101 Switching Protocols\n\n", "rubbish\n\n"])
def test_servers_that_break_http(tmp_path: Path, answer: str) -> None:
    async def work(running: Running) -> None:
        async with answering(answer=lambda _: answer):
            with pytest.raises(UpstreamError):
                await opened(running)

    run(tmp_path, work)


def test_a_masked_frame_of_a_server_fails(tmp_path: Path) -> None:
    async def work(running: Running) -> None:
        async with answering(answer=honest, after=b"\x81\x81abcdx"):
            websocket = await opened(running)
            websocket.timing = QUICK
            assert await websocket.receive() is None
            assert websocket.close_code == 1002

    run(tmp_path, work)


def test_a_server_that_never_answers_close_is_left(tmp_path: Path) -> None:
    async def work(running: Running) -> None:
        async with answering(answer=honest):
            websocket = await opened(running)
            websocket.timing = QUICK
            await websocket.close()
            (closed,) = running.events("websocket-closed")
            assert (closed["code"], closed["cause"]) == (1006, "the peer did not answer Close in time")

    run(tmp_path, work)


def test_a_peer_that_is_silent_is_pinged_and_left(tmp_path: Path) -> None:
    async def work(running: Running) -> None:
        await listening(running, WebSockets(running.ctx, QUICK))
        reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
        writer.write(
            b"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(2) == b"\x89\x00"  # a ping, to which nothing answers
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
        await until(lambda: running.events("websocket-closed"), "the WebSocket is given up")
        (closed,) = running.events("websocket-closed")
        assert closed["code"] == 1006
        assert "no answer to a ping" in closed["cause"]

    run(tmp_path, work)


def test_a_peer_that_answers_pings_is_kept(tmp_path: Path) -> None:
    async def work(running: Running) -> None:
        await listening(running, WebSockets(running.ctx, QUICK))
        websocket = await opened(running)
        reading = running.ctx.tasks.create_task(websocket.receive())
        _, pending = await asyncio.wait({reading}, timeout=1.0)  # several intervals and timeouts
        assert pending, running.events("websocket-closed")
        await websocket.send("still here")
        message = await reading
        assert message is not None
        assert message.text == "still here"
        await websocket.close()

    run(tmp_path, work)


def test_senders_do_not_mix_their_frames(tmp_path: Path) -> None:
    """Several tasks send large messages at once, over a stream whose window is smaller than one."""

    async def work(running: Running) -> None:
        await listening(running)
        websocket = await opened(running, "2", compress=False)
        texts = [letter * 200_000 for letter in "abcdef"]
        async with asyncio.TaskGroup() as tasks:
            for text in texts:
                tasks.create_task(websocket.send(text))
            came = [await websocket.receive() for _ in texts]
        assert sorted(message.text for message in came if message) == texts
        await websocket.close()

    run(tmp_path, work)
