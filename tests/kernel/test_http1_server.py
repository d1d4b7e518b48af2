"""The HTTP/1.1 server against raw sockets: what RFC 9112 wants of it, and peers that send rubbish."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from netlab.errors import LocalProtocolError
from netlab.net.exchange import Exchange, Timeouts
from netlab.proto.http import Headers, ResponseHead
from tests.kit.http_serving import PORT, serving, talk
from tests.kit.roles_in_process import Running, until
from tests.unit.proto.test_proto_http1_bad_heads import BAD
from tests.unit.proto.test_proto_http1_bodies import BAD_CHUNKS, CHUNKED

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n"


async def answer(exchange: Exchange) -> None:
    """By path; the default is the request's body, or its target."""
    match exchange.request.path:
        case "/stream":
            await exchange.respond(ResponseHead(200), parts(), lambda: Headers((("Sum", "2"),)))
        case "/trailers":
            await exchange.respond(ResponseHead(200), b"hi", lambda: Headers((("Sum", "2"),)))
        case "/hints":
            await exchange.inform(ResponseHead(103, Headers((("Link", "</a>"),))))
            await exchange.respond(ResponseHead(200), b"hi")
        case "/ignore":
            await exchange.respond(ResponseHead(413), b"too much")
        case "/empty":
            await exchange.respond(ResponseHead(204))
        case "/unchanged":
            await exchange.respond(ResponseHead(304, Headers((("ETag", '"a"'),))))
        case "/sum":
            body = b"".join([part async for part in exchange.body()])
            await exchange.respond(ResponseHead(200), body + exchange.trailers.get("sum").encode())
        case "/cut":
            await exchange.respond(ResponseHead(200), cut(exchange))
        case "/abort":
            exchange.abort()
        case _:
            body = b"".join([part async for part in exchange.body()])
            await exchange.respond(ResponseHead(200), body or exchange.request.target.encode())


async def parts() -> AsyncIterator[bytes]:
    yield b"h"
    yield b"i"


async def cut(exchange: Exchange) -> AsyncIterator[bytes]:
    yield b"begun"
    exchange.abort()


def bodies(answers: bytes) -> list[bytes]:
    """Bodies of responses that have a Content-Length."""
    found = []
    while answers:
        head, _, rest = answers.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        found.append(rest[:length])
        answers = rest[length:]
    return found


def test_bad_heads_are_answered_and_closed(tmp_path: Path) -> None:
    async def work(server: Running) -> None:
        for name, (data, status) in BAD.items():
            said = await talk(data)
            assert said.startswith(b"HTTP/1.1 %d " % status), (name, said)
            assert b"\r\nConnection: close\r\n" in said, (name, said)
            assert said.count(b"HTTP/1.1 ") == 1, (name, said)
        await until(lambda: len(server.events("error")) == len(BAD), "each is in the events")
        assert not server.events("request-received"), "none of them reached a handler"

    serving(tmp_path, answer, work, versions=("1.1",))


def test_bad_chunks_are_answered_and_closed(tmp_path: Path) -> None:
    async def work(server: Running) -> None:
        for name, chunks in BAD_CHUNKS.items():
            said = await talk(CHUNKED + chunks)
            assert said.startswith(b"HTTP/1.1 400 "), (name, said)
            assert said.count(b"HTTP/1.1 ") == 1, (name, said)
        assert await talk(CHUNKED + b"5\r\nhel", eof=True), "cut off: 400"
        assert (await talk(POST + b"hel", eof=True)).startswith(b"HTTP/1.1 400 "), server.events()

    serving(tmp_path, answer, work)


def test_a_smuggled_request_is_none(tmp_path: Path) -> None:
    """The classic: what stands behind the body of one reading is a request to the other."""
    inner = b"GET /admin HTTP/1.1\r\nHost: h\r\n\r\n"
    both = (
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n%b"
    )

    async def work(server: Running) -> None:
        said = await talk(both % (5 + len(inner), inner))
        assert said.startswith(b"HTTP/1.1 400 "), said
        assert not server.events("request-received")
        said = await talk(POST + b"hello" + b"garbage\r\n\r\n")
        assert said.startswith(b"HTTP/1.1 200 "), said
        assert b"HTTP/1.1 400 " in said, "bytes behind a body are the next request"
        assert len(server.events("request-received")) == 1

    serving(tmp_path, answer, work)


def test_pipelined_requests_are_answered_in_order(tmp_path: Path) -> None:
    async def work(_: Running) -> None:
        many = b"".join(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % number for number in range(500))
        said = await talk(many + POST + b"hello" + b"\r\n" + LAST)
        assert bodies(said) == [b"/%d" % number for number in range(500)] + [b"hello", b"/last"]

    serving(tmp_path, answer, work)


@pytest.mark.parametrize(
    ("request_", "wanted"),
    [
        (b"GET /stream", b"\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\nSum: 2\r\n\r\n"),
        (b"GET /trailers", b"\r\n\r\n2\r\nhi\r\n0\r\nSum: 2\r\n\r\n"),
        (b"HEAD /trailers", b"Content-Length: 2\r\nConnection: close\r\n\r\n"),
        (b"HEAD /stream", b"GMT\r\nConnection: close\r\n\r\n"),
        (b"GET /empty", b"GMT\r\nConnection: close\r\n\r\n"),
        (b"GET /unchanged", b"GMT\r\nConnection: close\r\n\r\n"),
        (b"GET http://other/x", b"\r\n\r\n/x"),
        (b"OPTIONS *", b"\r\n\r\n*"),
    ],
)
def test_how_answers_end(tmp_path: Path, request_: bytes, wanted: bytes) -> None:
    async def work(_: Running) -> None:
        said = await talk(request_ + b" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert said.endswith(wanted), said
        assert said.count(b"Date: ") == 1, said

    serving(tmp_path, answer, work)


def test_a_client_of_http_1_0(tmp_path: Path) -> None:
    async def work(_: Running) -> None:
        said = await talk(b"GET /stream HTTP/1.0\r\n\r\n")
        assert said.endswith(b"Connection: close\r\n\r\nhi"), said
        assert (await talk(b"GET /trailers HTTP/1.0\r\n\r\n")).endswith(b"\r\n\r\nhi")
        said = await talk(b"GET /hints HTTP/1.0\r\n\r\n")
        assert said.startswith(b"HTTP/1.1 200 "), "no 103 before it"
        keep = b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
        said = await talk(keep + b"GET /b HTTP/1.0\r\n\r\n")
        assert bodies(said) == [b"/a", b"/b"]

    serving(tmp_path, answer, work)


def test_early_hints_come_first(tmp_path: Path) -> None:
    async def work(_: Running) -> None:
        said = await talk(LAST.replace(b"/last", b"/hints"))
        assert said.startswith(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n"), said

    serving(tmp_path, answer, work)


def test_trailers_of_a_request(tmp_path: Path) -> None:
    async def work(_: Running) -> None:
        head = CHUNKED.replace(b" / ", b" /sum ").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        said = await talk(head + b"2\r\nhi\r\n0\r\nSum: 7\r\n\r\n")
        assert said.endswith(b"\r\n\r\nhi7"), said

    serving(tmp_path, answer, work)


def test_a_body_that_nobody_reads(tmp_path: Path) -> None:
    """A small one is passed over; a long one ends the connection, and the answer still arrives."""

    async def work(server: Running) -> None:
        head = b"POST /ignore HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n"
        said = await talk(head % 1000 + bytes(1000) + LAST)
        assert bodies(said) == [b"too much", b"/last"]
        said = await talk(head % 2_000_000 + bytes(2_000_000))
        assert bodies(said) == [b"too much"], server.events()
        waits = head.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
        said = await talk(waits % 5)
        assert b"HTTP/1.1 100" not in said, said
        assert b"Connection: close" in said, "whether the body comes yet, nobody can tell"

    serving(tmp_path, answer, work)


@pytest.mark.parametrize("path", [b"/cut", b"/abort"])
def test_a_response_that_breaks_off_does_not_look_whole(tmp_path: Path, path: bytes) -> None:
    async def work(_: Running) -> None:
        with contextlib.suppress(ConnectionResetError):
            said = await talk(LAST.replace(b"/last", path))
            assert b"0\r\n\r\n" not in said, said

    async def handler(exchange: Exchange) -> None:
        with contextlib.suppress(OSError, LocalProtocolError):
            await answer(exchange)

    serving(tmp_path, handler, work)


def test_upgrade_keeps_the_bytes_behind_the_head(tmp_path: Path) -> None:
    async def handler(exchange: Exchange) -> None:
        if not exchange.protocol:
            await answer(exchange)
            return
        tunnel = await exchange.tunnel(Headers((("X-A", "1"),)))
        while data := await tunnel.read():
            await tunnel.write(data.upper())
        await tunnel.close()

    async def work(server: Running) -> None:
        ask = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly"
        said = await talk(ask, b"later", eof=True)
        head, _, rest = said.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"), said
        assert b"X-A: 1" in head
        assert b"Content-Length" not in head
        assert rest == b"EARLYLATER"
        assert server.events("response-sent")[0]["status"] == 101
        old = ask.replace(b"websocket", b"h2c").replace(b"early", LAST)
        assert bodies(await talk(old)) == [b"/", b"/last"], "h2c is passed over (RFC 9113 section 3.1)"

    serving(tmp_path, handler, work)


@pytest.mark.parametrize(
    ("parts_", "status"),
    [
        ((b"\r",), b"408"),
        ((b"GET / HTTP/1.1\r\nHost: h\r\nX: ",), b"408"),
        ((POST, b"hel"), b"408"),
        ((CHUNKED, b"5\r\nhel"), b"408"),
        ((b"PRI * HT",), b"408"),
    ],
    ids=["nothing", "head", "length", "chunk", "preface"],
)
def test_slow_peers_get_408(tmp_path: Path, parts_: tuple[bytes, ...], status: bytes) -> None:
    async def work(server: Running) -> None:
        said = await talk(*parts_)
        assert said.startswith(b"HTTP/1.1 " + status), (said, server.events())

    serving(tmp_path, answer, work, Timeouts(head=0.2, body=0.2, idle=5))


def test_a_client_that_reads_nothing_holds_back_the_handler(tmp_path: Path) -> None:
    made = 0

    async def handler(exchange: Exchange) -> None:
        await exchange.respond(ResponseHead(200), endless())

    async def endless() -> AsyncIterator[bytes]:
        nonlocal made
        while True:
            made += 1
            yield bytes(65_536)

    async def work(server: Running) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", PORT, limit=1024)
        writer.write(GET)
        await until(lambda: server.events("connection-closed"), "its time is over")
        assert made * 65_536 < 32 * 1024 * 1024, f"{made} parts, more than kernel buffers hold"
        writer.close()

    serving(tmp_path, handler, work, Timeouts(body=0.5))


def test_a_handler_that_does_not_read_holds_back_the_client(tmp_path: Path) -> None:
    go = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        await go.wait()
        size = sum([len(part) async for part in exchange.body()])
        await exchange.respond(ResponseHead(200), b"%d" % size)

    async def work(server: Running) -> None:
        loop = asyncio.get_running_loop()
        total = 64 * 1024 * 1024
        with socket.create_connection(("127.0.0.1", PORT)) as sock:
            sock.setblocking(False)
            head = POST.replace(b": 5", b": %d" % total).replace(b"h\r\n", b"h\r\nConnection: close\r\n")
            await loop.sock_sendall(sock, head)
            await until(lambda: server.events("request-received"), "the handler runs")
            sent = await stuffed(sock)
            assert sent < 32 * 1024 * 1024, f"{sent} bytes taken though nobody reads"
            go.set()
            while sent < total:
                part = bytes(min(1024 * 1024, total - sent))
                await loop.sock_sendall(sock, part)
                sent += len(part)
            said = await loop.sock_recv(sock, 65_536)
        assert said.endswith(b"\r\n\r\n%d" % total), said

    serving(tmp_path, handler, work)


async def stuffed(sock: socket.socket) -> int:
    """Send until the socket has taken nothing for 0.2 s."""
    sent, quiet = 0, 0
    while quiet < 20:
        try:
            sent += sock.send(bytes(65_536))
            quiet = 0
        except BlockingIOError:
            quiet += 1
        await asyncio.sleep(0.01)
    return sent


def test_a_role_that_stops_says_close(tmp_path: Path) -> None:
    go = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        await go.wait()
        await exchange.respond(ResponseHead(200), b"whole")

    async def work(server: Running) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
        writer.write(GET)
        await until(lambda: server.events("request-received"), "the handler runs")
        server.ctx.stop()
        go.set()
        async with asyncio.timeout(5):
            said = await reader.read()
        assert b"\r\nConnection: close\r\n" in said, said
        assert said.endswith(b"whole"), said
        writer.close()

    serving(tmp_path, handler, work)


def test_http_2_by_its_preface_or_505(tmp_path: Path) -> None:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    settings = b"\0\0\0\4\0\0\0\0\0"

    async def work(_: Running) -> None:
        for cut_ in (1, 3, 20, len(preface)):
            reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
            writer.write(preface[:cut_])
            await writer.drain()
            writer.write(preface[cut_:] + settings)
            async with asyncio.timeout(5):
                assert (await reader.readexactly(9))[3] == 4, "SETTINGS come first (RFC 9113 section 3.4)"
            writer.close()
        said = await talk(b"P", POST[1:] + b"hello", LAST)
        assert bodies(said) == [b"hello", b"/last"]

    serving(tmp_path, answer, work)


def test_curl(tmp_path: Path) -> None:
    """An independent client: a long upload with Expect, an absolute-form target, trailers, 1.0."""
    file = tmp_path / "upload"
    file.write_bytes(bytes(range(256)) * 8192)
    url = f"http://127.0.0.1:{PORT}"

    async def curl(*arguments: str) -> bytes:
        process = await asyncio.create_subprocess_exec(
            "curl", "-sS", "--max-time", "10", *arguments, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        assert process.returncode == 0, (arguments, out)
        return out

    async def work(server: Running) -> None:
        sent = await curl("-H", "Expect: 100-continue", "--data-binary", f"@{file}", f"{url}/")
        assert sent == file.read_bytes()
        chunked = ("-H", "Transfer-Encoding: chunked", "--data-binary", f"@{file}")
        assert await curl(*chunked, f"{url}/") == file.read_bytes()
        assert await curl("--http1.0", f"{url}/stream") == b"hi"
        assert await curl("--proxy", url, "http://elsewhere/a") == b"/a"
        assert b"\nSum: 2" in (await curl("-i", "--raw", f"{url}/stream")).replace(b"\r", b"")
        before = len(server.events("connection-opened"))
        assert await curl(f"{url}/a", f"{url}/b", "-I", f"{url}/c")
        assert len(server.events("connection-opened")) == before + 1, "curl keeps the connection"

    serving(tmp_path, answer, work)
