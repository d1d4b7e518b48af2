"""Name servers, the resolver and the stub over real sockets: root ─► com ─► example.com on 127.0.0.x."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from netlab.errors import InputError, LabError, RemoteProtocolError
from netlab.model.launch import Launch
from netlab.model.roles import ClientSpec, NameserverSpec, Record, ResolverSpec, Zone
from netlab.net import sockets
from netlab.net.stub import TIMEOUT_S, Stub
from netlab.policy.alt_svc import Alternative
from netlab.policy.https_record import alternatives
from netlab.proto.dns import FrameCodec, Message, Question, decode, encode
from netlab.roles import nameserver, resolver
from tests.kit.roles_in_process import Running, context, running

ROOT_AT, COM_AT, EXAMPLE_AT, RESOLVER_AT, NOBODY_AT = (f"127.0.0.{host}" for host in (2, 3, 4, 53, 9))
BIG = tuple(f"192.0.2.{host}" for host in range(100))


def records(*made: tuple[str, str, str]) -> tuple[Record, ...]:
    return tuple(Record(name=name, type=type_, data=data) for name, type_, data in made)


ROOT = Zone(name=".", records=records(("com", "NS", "ns.com."), ("ns.com", "A", COM_AT)))
COM = Zone(name="com", records=records(("example", "NS", "ns.example"), ("ns.example", "A", EXAMPLE_AT)))
EXAMPLE = Zone(
    name="example.com",
    records=(
        *records(
            ("@", "NS", "ns"),
            ("ns", "A", EXAMPLE_AT),
            ("www", "CNAME", "api"),
            ("api", "AAAA", "2001:db8::10"),
            ("api", "HTTPS", '1 . alpn="h3,h2" port="8443"'),
        ),
        Record(name="api", type="A", data="192.0.2.10", geo={"London": "192.0.2.20"}),
        *records(*(("big", "A", address) for address in BIG)),
    ),
)


@dataclass(frozen=True)
class World:
    root: Running
    com: Running
    example: Running
    resolver: Running
    tasks: asyncio.TaskGroup
    directory: Path

    def stub(self, name: str = "client", resolvers: tuple[str, ...] = (RESOLVER_AT,)) -> tuple[Stub, Running]:
        launch = Launch(lab="test", node=name, role="client", spec=ClientSpec(), resolvers=resolvers, seed=2)
        running = context(launch, self.directory, self.tasks)
        return Stub(running.ctx), running

    def asked(self) -> list[tuple[str, str]]:
        """(node, name) of every query that came to a name server, in order of time."""
        queries = [one for at in (self.root, self.com, self.example) for one in at.events("dns-query")]
        return [(one["node"], one["qname"]) for one in sorted(queries, key=lambda one: one["time_ns"])]


@asynccontextmanager
async def world(directory: Path) -> AsyncIterator[World]:
    london = {"127.0.0.0/8": "London"}
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        root, com, example = [
            await stack.enter_async_context(
                running(
                    nameserver.serve, NameserverSpec(zones=(zone,)), directory, node, (at,), locations=london
                )
            )
            for node, zone, at in (
                ("root", ROOT, ROOT_AT),
                ("com", COM, COM_AT),
                ("example", EXAMPLE, EXAMPLE_AT),
            )
        ]
        recursive = await stack.enter_async_context(
            running(resolver.serve, ResolverSpec(roots=(ROOT_AT,)), directory, "resolver", (RESOLVER_AT,))
        )
        yield World(root, com, example, recursive, tasks, directory)


def in_world(directory: Path, work: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(30), world(directory) as made:
            await work(made)

    loopback_up()
    asyncio.run(main())


def loopback_up() -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def test_a_lookup_goes_from_the_root_down_and_is_cached_twice(tmp_path: Path) -> None:
    async def work(made: World) -> None:
        stub, client = made.stub()
        assert await stub.lookup("api.example.com") == ["192.0.2.20"], "the resolver is in London"
        way = [("root", "api.example.com"), ("com", "api.example.com"), ("example", "api.example.com")]
        assert made.asked() == way

        assert await stub.lookup("API.example.com") == ["192.0.2.20"]
        queries = made.resolver.events("dns-query")
        assert [one["side"] for one in queries] == ["server", "client", "client", "client"], queries
        answers = client.events("dns-answer")
        assert [(one["cached"], "flow" in one) for one in answers] == [(False, True), (True, False)], answers

        other, _ = made.stub("other")
        assert await other.lookup("api.example.com") == ["192.0.2.20"]
        assert made.asked() == way, "the resolver answers from its cache"
        served = [one["cached"] for one in made.resolver.events("dns-answer") if one["side"] == "server"]
        assert served == [False, True]

    in_world(tmp_path, work)


def test_both_ends_name_the_same_flow(tmp_path: Path) -> None:
    async def work(made: World) -> None:
        stub, client = made.stub()
        await stub.lookup("api.example.com")
        (sent,) = client.events("dns-query")
        came = made.resolver.events("dns-query")[0]
        protocol, local, local_port, remote, remote_port = sent["flow"]
        assert (protocol, remote, remote_port) == ("udp", RESOLVER_AT, 53)
        assert came["flow"] == ["udp", remote, remote_port, local, local_port]
        ports = {one["flow"][2] for one in made.resolver.events("dns-query") if one["side"] == "client"}
        assert len(ports) == 3, "every query has a source port of its own"

    in_world(tmp_path, work)


def test_aliases_and_ipv6_addresses(tmp_path: Path) -> None:
    async def work(made: World) -> None:
        stub, _ = made.stub()
        assert await stub.lookup("www.example.com") == ["192.0.2.20"]
        assert await stub.lookup("www.example.com", "AAAA") == ["2001:db8::10"]
        assert await stub.lookup("192.0.2.1") == ["192.0.2.1"]
        assert await stub.lookup("[2001:db8::1]") == ["2001:db8::1"]

    in_world(tmp_path, work)


def test_https_records_and_their_absence(tmp_path: Path) -> None:
    async def work(made: World) -> None:
        stub, client = made.stub()
        found, ttl_s = await stub.https("www.example.com")
        assert alternatives(found, 443, ttl_s) == (
            Alternative("h3", 8443, "", ttl_s),
            Alternative("h2", 8443, "", ttl_s),
        )
        assert 0 < ttl_s <= 300
        assert (await stub.https("ns.example.com"))[0] == ()
        assert (await stub.https("none.example.com"))[0] == ()
        queries = len(client.events("dns-query"))
        assert (await stub.https("www.example.com"))[0] == found
        assert client.events("dns-query")[queries]["cached"] is True
        nobody, _ = made.stub("alone", ())
        assert (await nobody.https("www.example.com"))[0] == (), "a client can do without"

    in_world(tmp_path, work)


def test_who_asks_the_same_at_the_same_time_shares_the_answer(tmp_path: Path) -> None:
    async def work(made: World) -> None:
        stub, client = made.stub()
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(stub.lookup("api.example.com")) for _ in range(5)]
        assert [task.result() for task in asked] == [["192.0.2.20"]] * 5
        assert [one["cached"] for one in client.events("dns-query")] == [False, True, True, True, True]

    in_world(tmp_path, work)


def test_a_long_answer_comes_over_tcp_on_each_leg(tmp_path: Path) -> None:
    async def work(made: World) -> None:
        stub, client = made.stub()
        assert await stub.lookup("big.example.com") == list(BIG)
        assert [one["flow"][0] for one in client.events("dns-query")] == ["udp", "tcp"]
        assert [one["flow"][0] for one in made.example.events("dns-query")] == ["udp", "tcp"]

    in_world(tmp_path, work)


def test_names_that_do_not_exist_fail_clearly_and_are_cached(tmp_path: Path) -> None:
    async def work(made: World) -> None:
        stub, client = made.stub()
        for _ in range(2):
            with pytest.raises(RemoteProtocolError, match=r"^NXDOMAIN for none\.example\.com$"):
                await stub.lookup("none.example.com")
        with pytest.raises(RemoteProtocolError, match=r"^no AAAA record for ns\.example\.com$"):
            await stub.lookup("ns.example.com", "AAAA")
        cached = [(one["rcode"], one["cached"]) for one in client.events("dns-answer")]
        assert cached == [("NXDOMAIN", False), ("NXDOMAIN", True), ("NOERROR", False)]

    in_world(tmp_path, work)


def test_a_dead_name_server_is_a_servfail_that_says_why(tmp_path: Path) -> None:
    async def work(made: World) -> None:
        made.com.ctx.stop()
        stub, _ = made.stub()
        with pytest.raises(
            RemoteProtocolError, match=f"no answer for api.example.com .*{RESOLVER_AT}: SERVFAIL"
        ):
            await stub.lookup("api.example.com")
        served = [one for one in made.resolver.events("dns-answer") if one["side"] == "server"]
        assert f"{COM_AT} does not answer" in served[-1]["cause"], served

    in_world(tmp_path, work)


def test_the_next_resolver_is_asked_where_the_first_is_closed_or_silent(tmp_path: Path) -> None:
    async def work(made: World) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        closed, _ = made.stub("closed", (NOBODY_AT, RESOLVER_AT))
        assert await closed.lookup("api.example.com") == ["192.0.2.20"]
        assert loop.time() - started < TIMEOUT_S, "ICMP says at once that the port is closed"

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind((NOBODY_AT, 53))
            started = loop.time()
            patient, _ = made.stub("patient", (NOBODY_AT, RESOLVER_AT))
            assert await patient.lookup("api.example.com") == ["192.0.2.20"]
            waited = loop.time() - started
        assert TIMEOUT_S <= waited < 2 * TIMEOUT_S, waited

        none, _ = made.stub("none", ())
        with pytest.raises(LabError, match="no resolver"):
            await none.lookup("api.example.com")

    in_world(tmp_path, work)


def test_garbage_gets_a_format_error_and_answers_get_nothing(tmp_path: Path) -> None:
    async def work(made: World) -> None:
        query = Message(7, Question("api.example.com"))
        sent = (
            b"",
            b"x",
            b"\x12\x34\x01\x00" + b"\xff" * 30,
            encode(Message(9, response=True)),
            encode(query),
        )
        replies = await asyncio.to_thread(udp_replies, EXAMPLE_AT, sent, 2)
        assert [(one.id, one.rcode) for one in replies] == [(0x1234, "FORMERR"), (7, "NOERROR")]
        assert len(made.example.events("error")) == 3

    in_world(tmp_path, work)


def udp_replies(server: str, datagrams: tuple[bytes, ...], expected: int) -> list[Message]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        for data in datagrams:
            sock.sendto(data, (server, 53))
        return [decode(sock.recv(65_535)) for _ in range(expected)]


def test_tcp_queries_share_a_connection_and_may_come_in_pieces(tmp_path: Path) -> None:
    async def work(made: World) -> None:
        reader, writer = await asyncio.open_connection(EXAMPLE_AT, 53)
        codec = FrameCodec()
        stream = b"".join(
            codec.send(encode(Message(number, Question("api.example.com")))) for number in (1, 2)
        )
        for part in (stream[:1], stream[1:9], stream[9:]):
            writer.write(part)
            await writer.drain()
        found: list[bytes] = []
        while len(found) < 2:
            found += codec.receive(await reader.read(65_535))
        assert [decode(one).id for one in found] == [1, 2]
        writer.write(b"\x00\x50half")
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        assert "bytes of a message" in made.example.events("error")[-1]["cause"]

    in_world(tmp_path, work)


@pytest.mark.parametrize("address", ["127.0.0.77", "198.51.100.7", "2001:db8::7"])
def test_an_answer_comes_from_the_address_that_was_asked(tmp_path: Path, address: str) -> None:
    """The role as the lab starts it, on every address; the asking socket would take answers from anyone."""
    loopback_up()
    for prefix, hosts in (("198.51.100.{}/24", (6, 7)), ("2001:db8::{}/64", (6, 7))):
        for host in hosts:
            subprocess.run(["ip", "address", "add", prefix.format(host), "dev", "lo"], check=True)

    def ask() -> tuple[str, Message]:
        with socket.socket(sockets.family_of(address), socket.SOCK_DGRAM) as sock:
            sock.settimeout(5)
            sock.sendto(encode(Message(7, Question("ns.example.com"))), (address, 53))
            data, remote = sock.recvfrom(65_535)
            return remote[0], decode(data)

    async def main() -> None:
        async with running(
            nameserver.serve, NameserverSpec(zones=(EXAMPLE,)), tmp_path, "ns", sockets.EVERYWHERE
        ) as server:
            source, response = await asyncio.to_thread(ask)
            assert source == address
            assert [one.data for one in response.answers] == [EXAMPLE_AT]
            assert server.events("dns-query")[0]["flow"][1] == address

    asyncio.run(main())


def test_a_port_that_is_taken_and_wrong_records_are_clear_errors(tmp_path: Path) -> None:
    loopback_up()

    async def start(directory: Path, *zones: Zone) -> None:
        async with running(nameserver.serve, NameserverSpec(zones=zones), directory, "ns", (ROOT_AT,)):
            raise AssertionError("it must not start")

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((ROOT_AT, 53))
        with pytest.RaisesGroup(pytest.RaisesExc(LabError, match="can't listen on port 53")):
            asyncio.run(start(tmp_path, ROOT))
    wrong = Zone(name="example.com", records=records(("api", "A", "app-1")))
    with pytest.RaisesGroup(pytest.RaisesExc(InputError, match="record api A 'app-1' of zone example.com")):
        asyncio.run(start(tmp_path, wrong))
