"""A balancer's UDP on loopback: two upstreams, several clients, a client that moves."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from netlab.model.roles import BalancerSpec
from netlab.net import udp_splice
from netlab.net.context import RoleContext
from netlab.net.udp_splice import Choose, Result, UdpSplice
from tests.kernel.test_dns_roles import loopback_up
from tests.kit.roles_in_process import Running, running, until

SERVERS = ("127.9.0.1", "127.9.0.2")


def long(destination: bytes, source: bytes) -> bytes:
    ids = bytes([len(destination)]) + destination + bytes([len(source)]) + source
    return b"\xc0\x00\x00\x00\x01" + ids


def udp(address: str, port: int = 0) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((address, port))
    made.setblocking(False)
    return made


@asynccontextmanager
async def splicing(
    directory: Path,
    port: int,
    choose: Choose,
    result: Result = lambda _upstream, _cause: None,
    sessions: int = udp_splice.SESSIONS,
) -> AsyncIterator[Running]:
    """A splice as a role of its own."""

    async def serve(_: BalancerSpec, ctx: RoleContext, __: tuple[str, ...]) -> None:
        splice = UdpSplice(ctx, choose, result, sessions)
        splice.listen(port)
        ctx.ready(port)
        await ctx.stopped()
        splice.close()

    spec = BalancerSpec(upstreams=("nowhere:1",))
    async with running(serve, spec, directory, "lb", ("0.0.0.0",)) as role:
        yield role


async def received(sock: socket.socket) -> tuple[bytes, tuple[str, int]]:
    async with asyncio.timeout(5):
        return await asyncio.get_running_loop().sock_recvfrom(sock, 2000)


def test_clients_are_spread_and_a_connection_that_moves_stays_with_its_server(tmp_path: Path) -> None:
    loopback_up()
    asyncio.run(_spread_and_moved(tmp_path))


async def _spread_and_moved(directory: Path) -> None:
    servers = [udp(address) for address in SERVERS]
    upstreams = [f"{a}:{s.getsockname()[1]}" for a, s in zip(SERVERS, servers, strict=True)]
    turns = iter(upstreams * 2)
    loop = asyncio.get_running_loop()
    clients = [udp(f"127.9.1.{number}") for number in (1, 2, 3)]
    try:
        async with splicing(directory, 47443, lambda _: next(turns)) as role:
            at = ("127.9.0.9", 47443)  # any of the node's addresses; answers come from it
            for number, client in enumerate(clients[:2]):
                await loop.sock_sendto(client, long(b"original", b"c"), at)
                data, proxy = await received(servers[number])
                assert data == long(b"original", b"c")
                await loop.sock_sendto(servers[number], long(b"c", b"server-%d" % number), proxy)
                assert await received(client) == (long(b"c", b"server-%d" % number), at)
            # Another address, the connection ID of the second server: it goes there, and back here.
            await loop.sock_sendto(clients[2], b"\x40server-1moved", at)
            data, proxy = await received(servers[1])
            assert data == b"\x40server-1moved"
            await loop.sock_sendto(servers[1], b"\x40welcome", proxy)
            assert await received(clients[2]) == (b"\x40welcome", at)
            await loop.sock_sendto(clients[2], b"\xc0broken", ("127.9.0.10", 47443))
            await until(lambda: role.events("error"), "rubbish from a new client is said")
        assert len(role.events("connection-closed")) == 3
    finally:
        for sock in (*servers, *clients):
            sock.close()


def test_the_session_that_was_idle_longest_makes_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loopback_up()
    asyncio.run(_room(tmp_path, monkeypatch))


async def _room(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udp_splice, "IDLE_S", 0.2)
    server = udp(SERVERS[0])
    clients = [udp(f"127.9.2.{number}") for number in range(1, 5)]
    loop = asyncio.get_running_loop()
    try:
        name = f"{SERVERS[0]}:{server.getsockname()[1]}"
        async with splicing(directory, 47444, lambda _: name, sessions=2) as role:
            for client in clients:
                await loop.sock_sendto(client, b"\x40hello", ("127.0.0.1", 47444))
                await received(server)
            await until(lambda: len(role.events("connection-closed")) == 4, "two made room, two were idle")
            causes = [event["cause"] for event in role.events("connection-closed")]
            assert sum("too many" in cause for cause in causes) == 2, causes
    finally:
        for sock in (server, *clients):
            sock.close()


def test_an_upstream_where_nobody_listens_has_failed_and_the_next_datagram_goes_elsewhere(
    tmp_path: Path,
) -> None:
    loopback_up()
    asyncio.run(_refused(tmp_path))


async def _refused(directory: Path) -> None:
    closed, server, client = udp(SERVERS[0]), udp(SERVERS[1]), udp("127.9.3.1")
    names = [f"{a}:{s.getsockname()[1]}" for a, s in zip(SERVERS, (closed, server), strict=True)]
    closed.close()
    turns = iter(names)
    told: list[tuple[str, str]] = []
    loop = asyncio.get_running_loop()
    try:
        async with splicing(
            directory, 47445, lambda _: next(turns), lambda one, cause: told.append((one, cause))
        ) as role:
            at = ("127.0.0.1", 47445)
            await loop.sock_sendto(client, b"first", at)
            await until(lambda: told, "the refusal is told")
            assert told == [(names[0], f"{names[0]}: Connection refused")]
            assert "refused" in role.events("connection-closed")[0]["cause"]
            for text in (b"second", b"third"):
                await loop.sock_sendto(client, text, at)
                data, proxy = await received(server)
                assert data == text
                await loop.sock_sendto(server, b"yes", proxy)
                await received(client)
            assert told[1:] == [(names[1], "")], "one answer is enough to say that it answers"
    finally:
        server.close()
        client.close()
