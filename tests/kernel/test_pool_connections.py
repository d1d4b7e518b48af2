"""The pool over real connections: reuse, ALPN, servers that close or refuse, tunnels, cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from netlab.model.roles import HttpVersion, Pool, TlsClient, TlsServer
from netlab.net.exchange import Exchange
from netlab.net.pool import ConnectionPool
from netlab.net.upstream import Outgoing, Target, UpstreamError
from netlab.proto.http import Headers, RequestHead, ResponseHead
from tests.kit.origin import Site, echo, site
from tests.kit.roles_in_process import until

TLS = TlsClient()


def get(target: str = "/", method: str = "GET", **fields: Any) -> Outgoing:
    return Outgoing(RequestHead(method, target, Headers((("Host", "localhost"),))), **fields)


@asynccontextmanager
async def pool_of(made: Site, **limits: Any) -> AsyncIterator[ConnectionPool]:
    pool = ConnectionPool(made.client.ctx, Pool.model_validate(limits))
    try:
        yield pool
    finally:
        await pool.close()
        assert repr(pool) == "0 active, 0 idle"


async def ask(pool: ConnectionPool, target: Target, request: Outgoing, **fields: Any) -> tuple[str, bytes]:
    """The response's version and body."""
    async with pool.exchange(target, request, **fields) as response:
        return response.head.version, await response.read()


@pytest.mark.parametrize(
    ("versions", "tls", "spoken"),
    [
        (("1.1",), False, "1.1"),
        (("2",), False, "2"),
        (("2", "1.1"), False, "1.1"),
        (("1.1",), True, "1.1"),
        (("2",), True, "2"),
        (("2", "1.1"), True, "2"),
        (("3",), True, "3"),
    ],
)
def test_requests_one_after_another_share_a_connection(
    tmp_path: Path, versions: tuple[HttpVersion, ...], tls: bool, spoken: str
) -> None:
    async def work(made: Site) -> None:
        port = await made.listen(echo, "1.1", "2", "3", tls=TlsServer() if tls else None)
        target = made.target(port, *versions, tls=TLS if tls else None)
        async with pool_of(made) as pool:
            for number in range(3):
                answer = await ask(pool, target, get(f"/{number}"))
                assert answer == (spoken, f"/{number}".encode()), made.evidence()
            assert repr(pool) == "0 active, 1 idle"
            reused = made.client.events("connection-reused")
            assert [(one["version"], one["requests"]) for one in reused] == [(spoken, 2), (spoken, 3)]
            upload = RequestHead("POST", "/", Headers((("Host", "localhost"), ("Content-Length", "200000"))))
            assert (await ask(pool, target, Outgoing(upload, parts(200_000))))[1] == b"200000"
        await until(
            lambda: len(made.client.events("connection-closed")) == 1, f"it is closed: {made.evidence()}"
        )

    site(tmp_path, work)


async def parts(size: int) -> AsyncIterator[bytes]:
    for _ in range(0, size, 10_000):
        yield bytes(10_000)


@pytest.mark.parametrize(("version", "connections"), [("1.1", 6), ("2", 1), ("3", 1)])
def test_thirty_at_once(tmp_path: Path, version: HttpVersion, connections: int) -> None:
    async def work(made: Site) -> None:
        port = await made.listen(echo, "1.1", "2", "3", tls=TlsServer())
        target = made.target(port, version, tls=TLS)
        async with pool_of(made) as pool, asyncio.TaskGroup() as group:
            asked = [group.create_task(ask(pool, target, get(f"/{number}"))) for number in range(30)]
            await asyncio.wait(asked)
        assert [task.result() for task in asked] == [(version, f"/{n}".encode()) for n in range(30)]
        kind = "quic-handshake" if version == "3" else "tls-handshake"
        assert len(made.client.events(kind)) == connections, made.evidence()
        assert len(made.client.events("pool-wait")) == (24 if version == "1.1" else 0)

    site(tmp_path, work)


@pytest.mark.parametrize(
    ("offered", "wanted", "cause"),
    [
        ("1.1", "2", "does not speak HTTP/2|no_application_protocol|no application protocol"),
        ("2", "1.1", "does not speak HTTP/1.1|no_application_protocol|no application protocol"),
        ("1.1", "3", "no answer by QUIC in 1 s; UDP may be blocked|refused|unreachable"),
    ],
)
def test_a_version_that_the_server_does_not_speak(
    tmp_path: Path, offered: HttpVersion, wanted: HttpVersion, cause: str
) -> None:
    async def work(made: Site) -> None:
        port = await made.listen(echo, offered, tls=TlsServer())
        pool = ConnectionPool(made.client.ctx)
        target = replace(made.target(port, wanted, tls=TLS), connect_s=1.0)
        with pytest.raises(UpstreamError, match=cause) as caught:
            await ask(pool, target, get())
        assert caught.value.unsent
        await pool.close()

    site(tmp_path, work)


@pytest.mark.parametrize(
    ("tls", "cause"),
    [
        (False, "refused"),
        (True, "refused"),
    ],
)
def test_nobody_listens(tmp_path: Path, tls: bool, cause: str) -> None:
    async def work(made: Site) -> None:
        async with pool_of(made) as pool:
            with pytest.raises(UpstreamError, match=cause) as caught:
                await ask(pool, made.target(1, tls=TLS if tls else None), get())
            assert caught.value.unsent

    site(tmp_path, work)


def test_a_certificate_for_another_name(tmp_path: Path) -> None:
    async def work(made: Site) -> None:
        port = await made.listen(echo, tls=TlsServer())
        target = Target("127.0.0.1", port, TLS, "other.example", ("2", "1.1"))
        async with pool_of(made) as pool:
            with pytest.raises(UpstreamError) as caught:
                await ask(pool, target, get())
            assert (caught.value.check, caught.value.unsent) == ("name", True), str(caught.value)

    site(tmp_path, work)


class Closing:
    """A raw server: answers the first request of each connection, and closes on the second."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
        except asyncio.IncompleteReadError:
            pass
        writer.close()


@pytest.mark.parametrize(("method", "again"), [("GET", True), ("POST", False)])
def test_a_server_that_closes_while_the_next_request_is_on_its_way(
    tmp_path: Path, method: str, again: bool
) -> None:
    """RFC 9112 section 9.3.1: only what may be done twice is sent again."""

    async def work(made: Site) -> None:
        raw = Closing()
        listener = await asyncio.start_server(raw.serve, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        async with pool_of(made) as pool:
            assert (await ask(pool, made.target(port), get("/first")))[1] == b"ok"
            if again:
                assert (await ask(pool, made.target(port), get("/second", method)))[1] == b"ok"
                assert len(made.client.events("request-retried")) == 1
            else:
                with pytest.raises(UpstreamError):
                    await ask(pool, made.target(port), get("/second", method))
                assert not made.client.events("request-retried")
        assert len(raw.requests) == (3 if again else 2)
        listener.close()
        await listener.wait_closed()

    site(tmp_path, work)


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_a_server_that_ends_an_idle_connection(tmp_path: Path, version: HttpVersion) -> None:
    async def work(made: Site) -> None:
        port = await made.listen(echo)
        async with pool_of(made) as pool:
            await ask(pool, made.target(port, version), get())
            made.server.ctx.stop()
            await until(lambda: repr(pool) == "0 active, 0 idle", f"it left: {pool!r}")
            with pytest.raises(UpstreamError, match="refused"):
                await ask(pool, made.target(port, version), get())

    site(tmp_path, work)


def test_a_response_that_is_left_early(tmp_path: Path) -> None:
    """HTTP/1.1 loses its connection; HTTP/2 gives up the stream alone."""

    async def work(made: Site) -> None:
        port = await made.listen()
        for version, left in (("1.1", "0 active, 0 idle"), ("2", "0 active, 1 idle")):
            async with pool_of(made) as pool:
                target = made.target(port, version)  # type: ignore[arg-type]
                async with pool.exchange(target, get("/large/100000000")) as response:
                    assert await anext(response.body())
                assert repr(pool) == left
                assert (await ask(pool, target, get("/next")))[1] == b"/next"

    site(tmp_path, work)


def test_a_fresh_connection_is_closed_after_its_request(tmp_path: Path) -> None:
    async def work(made: Site) -> None:
        port = await made.listen()
        async with pool_of(made) as pool:
            for _ in range(2):
                await ask(pool, made.target(port), get(), fresh=True)
            assert repr(pool) == "0 active, 0 idle"
            await until(lambda: len(made.client.events("connection-closed")) == 2, made.evidence())
            causes = {one["cause"] for one in made.client.events("connection-closed")}
            assert causes == {"it was for one request"}
        assert not made.client.events("connection-reused")

    site(tmp_path, work)


@pytest.mark.parametrize("version", ["1.1", "2", "3"])
def test_requests_that_are_cancelled_leave_no_connection(tmp_path: Path, version: HttpVersion) -> None:
    async def work(made: Site) -> None:
        over = asyncio.Event()

        async def silent(exchange: Exchange) -> None:
            if exchange.request.target == "/silent":
                await over.wait()
            await echo(exchange)

        port = await made.listen(silent, "1.1", "2", "3", tls=TlsServer())
        target = made.target(port, version, tls=TLS)
        async with pool_of(made) as pool:
            tasks = [asyncio.ensure_future(ask(pool, target, get("/silent"))) for _ in range(10)]
            await until(lambda: made.server.events("request-received"), "the server has some")
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            assert repr(pool).startswith("0 active"), repr(pool)
            assert "waiting" not in repr(pool)
            assert (await ask(pool, target, get("/next")))[1] == b"/next"
        over.set()

    site(tmp_path, work)


@pytest.mark.parametrize("version", ["1.1", "2", "3"])
def test_a_tunnel(tmp_path: Path, version: HttpVersion) -> None:
    async def repeat(exchange: Exchange) -> None:
        if not exchange.protocol:
            await exchange.respond(ResponseHead(200), b"no tunnel")
            return
        tunnel = await exchange.tunnel()
        while data := await tunnel.read():
            await tunnel.write(data.upper())
        await tunnel.close()

    async def work(made: Site) -> None:
        port = await made.listen(repeat, "1.1", "2", "3", tls=TlsServer())
        target = made.target(port, version, tls=TLS)
        head = RequestHead("GET", "/", Headers((("Host", "localhost"),)), protocol="websocket")
        async with pool_of(made) as pool:
            await ask(pool, target, get())
            answer, tunnel = await pool.tunnel(target, head)
            assert tunnel is not None, answer
            await tunnel.write(b"hello")
            assert await tunnel.read() == b"HELLO"
            assert repr(pool).startswith("1 active")
            await tunnel.close()
            with suppress(OSError):  # over TLS, HTTP/1.1's tunnel is closed both ways at once
                while await tunnel.read():
                    pass
            assert repr(pool) == "0 active, 1 idle"

    site(tmp_path, work)
