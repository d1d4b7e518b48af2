"""HTTP/3 over QUIC on loopback, netlab's server and client against each other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from netlab.model.roles import Quic, TlsClient, TlsServer
from netlab.net.exchange import Exchange
from netlab.net.http3_client import open_http3
from netlab.net.quic_client import Server, tickets_of
from netlab.net.stream import TlsError
from netlab.net.upstream import Outgoing, UpstreamError
from netlab.proto.http import ResponseHead
from tests.kit.http3_pair import NAME, Pair, ask, paired, request
from tests.kit.roles_in_process import until

KINDS = ("HANDSHAKE_TRAFFIC_SECRET", "TRAFFIC_SECRET_0")


def test_get_and_post(tmp_path: Path) -> None:
    async def work(pair: Pair) -> None:
        async with pair.connection() as connection:
            assert await ask(connection, "/hello") == (200, b"/hello")
            assert await ask(connection, "/", method="POST", body=parts(3)) == (200, b"part" * 3)
            many = await asyncio.gather(*(ask(connection, f"/{number}") for number in range(200)))
            assert many == [(200, b"/%d" % number) for number in range(200)]
            assert connection.state.active == 0, connection

    paired(tmp_path, work)


async def parts(count: int, part: bytes = b"part") -> AsyncIterator[bytes]:
    for _ in range(count):
        yield part


def test_what_events_and_key_log_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = tmp_path / "keys"
    monkeypatch.setenv("SSLKEYLOGFILE", str(keys))

    async def work(pair: Pair) -> None:
        async with pair.connection() as connection:
            await ask(connection, "/a")
            flow = connection.flow
        await until(lambda: pair.server.events("connection-closed"), "the server saw the end")
        for side in (pair.server, pair.client):
            said = [event["event"] for event in side.events()]
            assert said.count("quic-handshake") == said.count("connection-closed") == 1, said
            [handshake] = side.events("quic-handshake")
            assert (handshake["alpn"], handshake["version"], handshake["resumed"]) == ("h3", "1", False)
            assert handshake["cipher"] == "TLS_AES_256_GCM_SHA384", handshake
        [sent] = pair.client.events("request-sent")
        assert (sent["version"], sent["stream"], sent["flow"]) == ("3", 0, list(flow)), sent
        [received] = pair.server.events("request-received")
        assert received["flow"] == ["udp", flow.remote, flow.remote_port, flow.local, flow.local_port]
        [closed] = pair.server.events("connection-closed")
        assert closed["cause"] == "closed"

    paired(tmp_path, work)
    labels = sorted(line.split()[0] for line in keys.read_text().splitlines())
    both = [f"{side}_{kind}" for side in ("CLIENT", "SERVER") for kind in KINDS]
    assert labels == sorted(2 * both), labels


def test_resumption_and_early_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = tmp_path / "keys"
    monkeypatch.setenv("SSLKEYLOGFILE", str(keys))

    async def work(pair: Pair) -> None:
        early = TlsClient(early_data=True)
        for tls in (TlsClient(), TlsClient(), early, early):
            async with pair.connection(tls=tls) as connection:
                assert await ask(connection, "/a") == (200, b"/a")
                assert await ask(connection, "/", method="POST", body=parts(1)) == (200, b"part")
        said = [(one["resumed"], one["early_data"]) for one in pair.client.events("quic-handshake")]
        assert said == [(False, False), (True, False), (True, True), (True, True)], said
        said = [(one["resumed"], one["early_data"]) for one in pair.server.events("quic-handshake")]
        assert said == [(False, False), (True, False), (True, True), (True, True)], said
        events = [one["event"] for one in pair.server.events("quic-handshake", "request-received")]
        assert events[-3:] == ["request-received", "quic-handshake", "request-received"], events

    paired(tmp_path, work)
    assert keys.read_text().count("CLIENT_EARLY_TRAFFIC_SECRET") == 4


def test_early_data_that_the_server_does_not_take(tmp_path: Path) -> None:
    async def work(pair: Pair) -> None:
        early = TlsClient(early_data=True)
        for _ in range(2):
            async with pair.connection(tls=early) as connection:
                assert await ask(connection, "/a") == (200, b"/a")
        said = [(one["resumed"], one["early_data"]) for one in pair.client.events("quic-handshake")]
        assert said == [(False, False), (True, False)], said

    paired(tmp_path, work, tls=TlsServer(early_data=False))


def test_early_data_on_a_ticket_that_is_forgotten(tmp_path: Path) -> None:
    """As after a restart: 0-RTT is refused, and what was in it goes again after the handshake."""

    async def work(pair: Pair) -> None:
        early = TlsClient(early_data=True)
        async with pair.connection(tls=early) as connection:
            await ask(connection, "/a")
        target = pair.target(tls=early)
        key = Server(target.address, target.port, NAME, TlsClient())  # with or without early data
        ticket = tickets_of(pair.client.ctx).take(key)
        assert ticket is not None
        ticket.ticket = bytes(64)
        tickets_of(pair.client.ctx).keep(key, ticket)
        async with pair.connection(tls=early) as connection:
            assert connection.link.zero_rtt
            assert await ask(connection, "/again") == (200, b"/again")
            assert await ask(connection, "/more") == (200, b"/more")
        said = [(one["resumed"], one["early_data"]) for one in pair.client.events("quic-handshake")]
        assert said == [(False, False), (False, False)], said

    paired(tmp_path, work)


def test_unsafe_early_data_is_too_early(tmp_path: Path) -> None:
    """RFC 8470: a client that sends a POST in 0-RTT all the same gets 425."""

    async def work(pair: Pair) -> None:
        early = TlsClient(early_data=True)
        async with pair.connection(tls=early) as connection:
            await ask(connection, "/a")
        async with pair.connection(tls=early) as connection:
            monkey = connection._may_begin

            async def at_once(request: Outgoing) -> bool:
                return False

            connection._may_begin = at_once  # type: ignore[method-assign]
            assert await ask(connection, "/", method="POST", body=parts(1)) == (425, b"")
            connection._may_begin = monkey  # type: ignore[method-assign]
            assert await ask(connection, "/", method="POST", body=parts(1)) == (200, b"part")

    paired(tmp_path, work)


def test_retry(tmp_path: Path) -> None:
    async def work(pair: Pair) -> None:
        async with pair.connection() as connection:
            assert await ask(connection, "/a") == (200, b"/a")
        assert len(pair.server.events("quic-handshake")) == 1

    paired(tmp_path, work, tls=TlsServer(quic=Quic(retry=True)))


def test_certificate_that_is_not_believed(tmp_path: Path) -> None:
    async def work(pair: Pair) -> None:
        for tls, check in ((TlsClient(pins=("x",)), "pin"), (TlsClient(revocation="staple"), "revocation")):
            with pytest.raises(TlsError) as caught:
                async with pair.connection(tls=tls):
                    pass
            assert caught.value.check == check, caught.value
        failed = pair.server.events("quic-failed")
        await until(lambda: len(pair.server.events("quic-failed")) == 2, "the server saw both")
        assert not pair.client.events("quic-handshake"), failed
        async with pair.connection(tls=TlsClient(verify=False, pins=("x",))) as connection:
            assert await ask(connection, "/a") == (200, b"/a")

    paired(tmp_path, work)


def test_client_certificates(tmp_path: Path) -> None:
    async def work(pair: Pair) -> None:
        async with pair.connection(tls=TlsClient(certificate=True)) as connection:
            assert await ask(connection, "/a") == (200, b"/a")
        with pytest.raises((UpstreamError, OSError)):
            async with pair.connection() as connection:
                await ask(connection, "/a")
        assert len(pair.server.events("quic-failed")) == 1, pair.server.events()

    paired(tmp_path, work, tls=TlsServer(client_certificates="required"))


def test_nobody_listens(tmp_path: Path) -> None:
    async def work(pair: Pair) -> None:
        with pytest.raises(ConnectionRefusedError):
            await open_http3(pair.client.ctx, replace(pair.target(), port=9), 5.0)

    paired(tmp_path, work)


def test_migration(tmp_path: Path) -> None:
    """The client goes on from another address in the middle of a download."""

    async def big(exchange: Exchange) -> None:
        await exchange.respond(ResponseHead(200), parts(200, bytes(20_000)))

    async def work(pair: Pair) -> None:
        async with pair.connection() as connection:
            async with connection.exchange(request("/")) as response:
                size, moved = 0, False
                async for part in response.body():
                    size += len(part)
                    if size > 1_000_000 and not moved:
                        connection.link.migrate("127.0.0.2")
                        moved = True
            assert size == 4_000_000
            assert await ask(connection, "/a") == (200, bytes(20_000) * 200)
            assert connection.flow.local == "127.0.0.2"
        [event] = pair.server.events("quic-migrated")
        assert "127.0.0.2" in event["path"], event
        assert len(pair.client.events("quic-migrated")) == 1

    paired(tmp_path, work, big)


def test_drain(tmp_path: Path) -> None:
    """When the role stops, GOAWAY goes out, and what is under way is answered."""
    release = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        await release.wait()
        await exchange.respond(ResponseHead(200), b"done")

    async def work(pair: Pair) -> None:
        async with pair.connection() as connection:
            asking = asyncio.ensure_future(ask(connection, "/"))
            await until(lambda: pair.server.events("request-received"), "the request is there")
            pair.server.ctx.stop()
            await until(lambda: connection.state.closed, "GOAWAY is there")
            assert "GOAWAY" in connection.state.cause
            with pytest.raises(UpstreamError) as caught:
                await ask(connection, "/late")
            assert caught.value.unsent
            with pytest.raises(OSError, match="handshake failed"):
                await open_http3(pair.client.ctx, pair.target(), 5.0)
            release.set()
            assert await asking == (200, b"done")
            await until(connection.link.ended.is_set, "the server closes")

    paired(tmp_path, work, slow)


def test_qlog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both sides write the connection when it ends, and only where they are told to."""
    path = tmp_path / "qlog"
    monkeypatch.setenv("NETLAB_QLOG", str(path))

    async def work(pair: Pair) -> None:
        for tls in (TlsClient(), TlsClient(quic=Quic(qlog=True))):
            async with pair.connection(tls=tls) as connection:
                await ask(connection, "/a")
        await until(lambda: len(pair.server.events("connection-closed")) == 2, "both ended")

    paired(tmp_path, work, tls=TlsServer(quic=Quic(qlog=True)))
    documents = [json.loads(line) for line in path.read_text().splitlines()]
    assert {one["qlog_version"] for one in documents} == {"0.3"}
    traces = [one["traces"][0] for one in documents]
    assert sorted(one["vantage_point"]["type"] for one in traces) == ["client", "server", "server"]
    assert len({one["common_fields"]["ODCID"] for one in traces}) == 2
    for trace in traces:
        names = {event["name"] for event in trace["events"]}
        assert {"transport:packet_sent", "transport:packet_received", "recovery:metrics_updated"} <= names
