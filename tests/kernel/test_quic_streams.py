"""HTTP/3 streams: back-pressure both ways, independence, tunnels, early ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from netlab.errors import RemoteProtocolError
from netlab.model.roles import Quic, TlsClient, TlsServer
from netlab.net.exchange import Exchange, Timeouts
from netlab.net.http3_client import Http3Connection
from netlab.net.upstream import UpstreamError
from netlab.proto.http import Headers, RequestHead, ResponseHead
from tests.kit.http3_pair import NAME, Pair, ask, paired, request
from tests.kit.roles_in_process import until

MIB = 1024 * 1024
PART = bytes(64 * 1024)
WINDOWS = Quic(stream_bytes=256 * 1024, connection_bytes=MIB)
# What the windows let through, what may wait to be sent, and the part that waits for room.
MOST = 256 * 1024 + 128 * 1024 + 2 * len(PART)


class Source:
    """A body of `count` parts; `made` says how many were taken."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.made = 0

    async def parts(self) -> AsyncIterator[bytes]:
        while self.made < self.count:
            self.made += 1
            yield PART


async def stalled(source: Source) -> None:
    """Returns when no more has been taken for a quarter of a second."""
    before = -1
    while before != source.made:
        before = source.made
        await asyncio.sleep(0.25)


def test_slow_server_holds_the_client_back(tmp_path: Path) -> None:
    release = asyncio.Event()
    source = Source(96)

    async def slow(exchange: Exchange) -> None:
        if exchange.request.method == "GET":
            await exchange.respond(ResponseHead(200), b"quick")
            return
        await release.wait()
        size = 0
        async for part in exchange.body():
            size += len(part)
        await exchange.respond(ResponseHead(200), str(size).encode())

    async def work(pair: Pair) -> None:
        async with pair.connection() as connection:
            asking = asyncio.ensure_future(ask(connection, method="POST", body=source.parts()))
            await stalled(source)
            assert 0 < source.made * len(PART) <= MOST, source.made
            assert await ask(connection) == (200, b"quick"), "another stream is not held up"
            release.set()
            assert await asking == (200, str(96 * len(PART)).encode())
            assert connection.link.quic.held == 0

    paired(tmp_path, work, slow, tls=TlsServer(quic=WINDOWS))


def test_slow_client_holds_the_server_back(tmp_path: Path) -> None:
    sources: list[Source] = []

    async def big(exchange: Exchange) -> None:
        sources.append(Source(96))
        await exchange.respond(ResponseHead(200), sources[-1].parts())

    async def work(pair: Pair) -> None:
        async with pair.connection(tls=TlsClient(quic=WINDOWS)) as connection:
            async with connection.exchange(request()) as response:
                size = 0
                async for part in response.body():
                    if not size:
                        await stalled(sources[0])
                        assert sources[0].made * len(PART) <= MOST + len(part), sources[0].made
                        assert connection.link.quic.held <= WINDOWS.stream_bytes
                    size += len(part)
            assert size == 96 * len(PART)
            assert connection.link.quic.held == 0

    paired(tmp_path, work, big)


def test_many_slow_streams_share_the_connection_s_window(tmp_path: Path) -> None:
    sources: list[Source] = []

    async def big(exchange: Exchange) -> None:
        sources.append(Source(4))
        await exchange.respond(ResponseHead(200), sources[-1].parts())

    async def slowly(connection: Http3Connection, release: asyncio.Event) -> int:
        async with connection.exchange(request()) as response:
            await release.wait()
            return len(await response.read())

    async def work(pair: Pair) -> None:
        release = asyncio.Event()
        async with pair.connection(tls=TlsClient(quic=WINDOWS)) as connection:
            reading = [asyncio.ensure_future(slowly(connection, release)) for _ in range(20)]
            await until(lambda: connection.link.quic.held > MIB // 2, "much waits to be read")
            await stalled(sources[-1])
            assert connection.link.quic.held <= MIB, connection.link.quic.held
            release.set()
            assert await asyncio.gather(*reading) == [MIB // 4] * 20

    paired(tmp_path, work, big)


def test_client_gives_up_a_download(tmp_path: Path) -> None:
    cancelled = asyncio.Event()

    async def endless(exchange: Exchange) -> None:
        try:
            await exchange.respond(ResponseHead(200), Source(1 << 40).parts())
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async def work(pair: Pair) -> None:
        async with pair.connection() as connection:
            for _ in range(3):
                cancelled.clear()
                async with connection.exchange(request()) as response:
                    async for _part in response.body():
                        break
                await until(cancelled.is_set, "the handler was cancelled")
            assert connection.state.active == 0
            assert connection.link.quic.held == 0

    paired(tmp_path, work, endless)


def test_server_breaks_off(tmp_path: Path) -> None:
    async def broken(exchange: Exchange) -> None:
        async def body() -> AsyncIterator[bytes]:
            yield PART
            raise RemoteProtocolError("the upstream broke off")

        await exchange.respond(ResponseHead(200), body())

    async def work(pair: Pair) -> None:
        async with pair.connection() as connection:
            for _ in range(2):
                with pytest.raises(UpstreamError, match="H3_INTERNAL_ERROR"):
                    await ask(connection)
            assert not connection.state.closed

    paired(tmp_path, work, broken)


def test_response_before_the_request_is_whole(tmp_path: Path) -> None:
    """The rest is not wanted: STOP_SENDING with H3_NO_ERROR, and the response is whole."""
    source = Source(10_000)

    async def hasty(exchange: Exchange) -> None:
        await exchange.respond(ResponseHead(413), b"too large")

    async def work(pair: Pair) -> None:
        async with pair.connection() as connection:
            assert await ask(connection, method="POST", body=source.parts()) == (413, b"too large")
            assert await ask(connection, method="POST", body=source.parts()) == (413, b"too large")
        assert source.made < 200

    paired(tmp_path, work, hasty)


def test_informational_trailers_head_and_expect(tmp_path: Path) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.inform(ResponseHead(103, Headers((("link", "</a.css>"),))))
        body = b"".join([part async for part in exchange.body()])
        seen = exchange.trailers.get("x-sum")
        await exchange.respond(ResponseHead(200), body, lambda: Headers((("x-seen", seen),)))

    async def body() -> AsyncIterator[bytes]:
        yield b"abc"

    async def work(pair: Pair) -> None:
        async with pair.connection() as connection:
            outgoing = request(method="POST", body=body())
            head = outgoing.head.with_headers(outgoing.head.headers.plus("Expect", "100-continue"))
            outgoing = type(outgoing)(head, body(), lambda: Headers((("x-sum", "7"),)))
            async with connection.exchange(outgoing) as response:
                assert await response.read() == b"abc"
                assert [one.status for one in response.informational] == [103, 100]
                assert response.trailers.get("x-seen") == "7", response.trailers
                assert response.head.headers.get("content-length") == "3"
            async with connection.exchange(request(method="HEAD")) as response:
                assert (await response.read(), response.head.status) == (b"", 200)

    paired(tmp_path, work, handler)


def test_tunnel(tmp_path: Path) -> None:
    """Extended CONNECT (RFC 9220), accepted and refused."""

    async def handler(exchange: Exchange) -> None:
        if exchange.protocol != "websocket":
            await exchange.respond(ResponseHead(501))
            return
        assert exchange.request.method == "GET"
        tunnel = await exchange.tunnel(Headers((("x-chosen", "yes"),)))
        while data := await tunnel.read():
            await tunnel.write(data.upper())
        await tunnel.close()

    async def work(pair: Pair) -> None:
        async with pair.connection() as connection:
            head = RequestHead("GET", "/chat", Headers((("Host", NAME),)), protocol="websocket")
            for end in ("close", "abort"):
                answer, tunnel = await connection.tunnel(head, 5)
                assert (answer.status, answer.headers.get("x-chosen")) == (200, "yes")
                assert tunnel is not None
                for size in (3, 300_000):
                    await tunnel.write(b"a" * size)
                    got = b""
                    while len(got) < size:
                        got += await tunnel.read()
                    assert got == b"A" * size
                if end == "abort":
                    tunnel.abort()
                else:
                    await tunnel.close()
                    assert await tunnel.read() == b""
                assert connection.state.active == 0, connection
            other = RequestHead("GET", "/", Headers((("Host", NAME),)), protocol="connect-udp")
            answer, tunnel = await connection.tunnel(other, 5)
            assert (answer.status, tunnel) == (501, None)

    paired(tmp_path, work, handler)


def test_slow_body_and_idle_stream(tmp_path: Path) -> None:
    """A body that stops coming is 408."""
    never = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"a"
        await never.wait()

    async def handler(exchange: Exchange) -> None:
        await exchange.respond(ResponseHead(200), b"".join([part async for part in exchange.body()]))

    async def work(pair: Pair) -> None:
        async with pair.connection() as connection:
            assert await ask(connection, method="POST", body=body()) == (408, b"")

    paired(tmp_path, work, handler, timeouts=Timeouts(head=0.3, body=0.3))
