"""DNS over TLS and HTTPS, the search list, lookups of a client, and Happy Eyeballs over a dead path."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import pytest

from netlab.errors import RemoteProtocolError
from netlab.model.roles import ClientSpec, DnsClient, NameserverSpec, Record, ResolverSpec, TlsClient, Zone
from netlab.net.http_client import fetch
from netlab.net.stub import Stub
from netlab.net.upstream import Target
from netlab.policy.happy_eyeballs import ATTEMPT_DELAY_S
from netlab.proto.dns import Message, Question, ResourceRecord, decode, encode, reply
from netlab.proto.http import Headers, RequestHead
from netlab.roles import nameserver, resolver
from tests.kit.origin import AUTHORITY, Site, site
from tests.kit.roles_in_process import Running, running

ROOT_AT, SLOW_AT, RESOLVER_AT = "127.0.0.2", "127.0.0.3", "127.0.0.53"
DEAD, LIVE = "2001:db8:1::2", "127.0.0.1"
ROOT = Zone(
    name=".",
    records=(
        Record(name="www.example.com", type="A", data="192.0.2.1", ttl=60),
        Record(name="both.example.com", type="A", data=LIVE),
        Record(name="both.example.com", type="AAAA", data=DEAD),
        *(Record(name="big", type="TXT", data=f'"{number:0200}"') for number in range(12)),
    ),
)
TYPE = ("Content-Type", "application/dns-message")


def resolving(directory: Path, work: Callable[[Site, Running], Awaitable[None]], **fields: Any) -> None:
    """A site, beside it a name server and a resolver, whose certificate has its address."""

    async def beside(made: Site) -> None:
        identity = AUTHORITY.issue((RESOLVER_AT,))
        servers = (
            (nameserver.serve, NameserverSpec(zones=(ROOT,)), "ns", ROOT_AT),
            (resolver.serve, ResolverSpec(**{"roots": (ROOT_AT,), **fields}), "resolver", RESOLVER_AT),
        )
        async with AsyncExitStack() as stack:
            for serve, spec, node, at in servers:
                role = await stack.enter_async_context(
                    running(serve, spec, directory, node, (at,), identity=identity, trust_pem="")
                )
            await work(made, role)

    site(directory, beside)


def stub_of(made: Site, **settings: Any) -> Stub:
    return Stub(made.client.ctx, (RESOLVER_AT,), DnsClient(**settings))


@pytest.mark.parametrize(("protocol", "port"), [("udp", 53), ("tcp", 53), ("tls", 853), ("https", 443)])
def test_each_way_to_a_resolver(tmp_path: Path, protocol: str, port: int) -> None:
    async def work(made: Site, server: Running) -> None:
        stub = stub_of(made, protocol=protocol)
        async with asyncio.TaskGroup() as group:
            asked = [
                group.create_task(stub.ask(Question(name, type_)))
                for name, type_ in (("www.example.com", "A"), ("big", "TXT"), ("none.example.com", "A"))
            ]
        entries = [task.result() for task in asked]
        assert [len(one.records) for one in entries] == [1, 12, 0], server.events()
        assert entries[2].rcode == "NXDOMAIN"
        flows = {tuple(one["flow"]) for one in made.client.events("dns-answer")}
        assert {flow[4] for flow in flows} == {port}
        assert len(flows) == (3 if protocol == "udp" else 1), "one connection carries all"
        await stub.ask(Question("www.example.com"))
        assert len(made.client.events("connection-opened")) == 1
        await stub.close()

    resolving(tmp_path, work, dot=True, doh=True)


def test_a_connection_that_the_resolver_has_closed_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netlab.net.dns_server.TCP_IDLE_S", 0.2)

    async def work(made: Site, _: Running) -> None:
        stub = stub_of(made, protocol="tls")
        await stub.ask(Question("www.example.com"))
        await asyncio.sleep(0.5)
        await stub.ask(Question("www.example.com"))
        assert len(made.client.events("tls-handshake")) == 2
        await stub.close()

    resolving(tmp_path, work, dot=True)


def test_a_resolver_with_another_name_is_not_believed(tmp_path: Path) -> None:
    async def work(made: Site, _: Running) -> None:
        for protocol in ("tls", "https"):
            stub = Stub(made.client.ctx, ("127.0.0.1",), DnsClient(protocol=protocol))
            with pytest.raises(RemoteProtocolError, match=r"no answer for www\.example\.com"):
                await stub.lookup("www.example.com")
            await stub.close()

    resolving(tmp_path, work, dot=True, doh=True)


def test_https_by_get_and_its_errors(tmp_path: Path) -> None:
    async def work(made: Site, _: Running) -> None:
        query = encode(Message(0, Question("www.example.com"), recursion_desired=True))
        target = Target(RESOLVER_AT, 443, TlsClient(), RESOLVER_AT)

        async def ask(method: str, path: str, body: bytes = b"", *fields: tuple[str, str]) -> Any:
            headers = Headers((("Host", RESOLVER_AT), *fields))
            if body:
                headers = headers.plus("Content-Length", str(len(body)))

            async def parts() -> AsyncIterator[bytes]:
                yield body

            head = RequestHead(method, path, headers, scheme="https")
            async with fetch(made.client.ctx, target, head, parts() if body else None) as response:
                return response.head, await response.read()

        encoded = urlsafe_b64encode(query).rstrip(b"=").decode()
        head, body = await ask("GET", f"/dns-query?dns={encoded}")
        assert (head.status, head.headers.get("content-type")) == (200, TYPE[1])
        assert head.headers.get("cache-control") == "max-age=60"
        assert [one.data for one in decode(body).answers] == ["192.0.2.1"]
        statuses = [
            (await ask(*request))[0].status
            for request in (
                ("GET", "/dns-query?dns=!!"),
                ("GET", "/dns-query"),
                ("GET", "/other"),
                ("DELETE", "/dns-query"),
                ("POST", "/dns-query", query),
                ("POST", "/dns-query", bytes(70_000), TYPE),
            )
        ]
        assert statuses == [400, 400, 404, 405, 415, 413]
        head, body = await ask("POST", "/dns-query", query[:2] + b"\x01\x00" + b"\xff" * 9, TYPE)
        assert (head.status, decode(body).rcode) == (200, "FORMERR")

    resolving(tmp_path, work, doh=True)


def test_short_names_are_looked_for_in_the_search_list(tmp_path: Path) -> None:
    async def work(made: Site, _: Running) -> None:
        stub = stub_of(made, search=("example.net", "example.com"))
        assert await stub.lookup("www") == ["192.0.2.1"]
        asked = [one["qname"] for one in made.client.events("dns-query")]
        assert asked == ["www.example.net", "www.example.com"]
        with pytest.raises(RemoteProtocolError, match=r"NXDOMAIN for www\."):
            await stub.lookup("www.")

    resolving(tmp_path, work)


def test_a_client_can_do_nothing_but_look_up(tmp_path: Path) -> None:
    async def work(made: Site, server: Running) -> None:
        spec = ClientSpec.model_validate(
            {"lookups": [{"name": "www.example.com"}, {"name": "www.example.com"}, {"name": "none."}]}
        )
        role = await made.ask(spec, resolvers=(RESOLVER_AT,))
        answers = role.events("dns-answer")
        assert [one["rcode"] for one in answers] == ["NOERROR", "NOERROR", "NXDOMAIN"]
        assert role.ctx.exit_status == 0
        served = [one["cached"] for one in server.events("dns-answer") if one["side"] == "server"]
        assert served[:2] == [False, True], "the client remembers nothing; the resolver does"

    resolving(tmp_path, work)


async def slow_root() -> asyncio.DatagramTransport:
    """A root server that answers after half a second, that nothing exists."""

    class Slow(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: Any) -> None:
            soa = ResourceRecord(".", "SOA", 60, "a. b. 1 1 1 1 60")
            made = replace(reply(decode(data), "NXDOMAIN"), authoritative=True, authority=(soa,))
            asyncio.get_running_loop().call_later(0.5, self.transport.sendto, encode(made), addr)

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Slow, local_addr=(SLOW_AT, 53))
    return transport


@pytest.mark.parametrize("protocol", ["https", "tls", "udp"])
def test_a_client_that_gives_up_disturbs_nobody(tmp_path: Path, protocol: str) -> None:
    async def work(made: Site, server: Running) -> None:
        slow = await slow_root()
        stub = stub_of(made, protocol=protocol)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(stub.ask(Question("www.example.com")), 0.25)
        await stub.close()
        await asyncio.sleep(0.6)
        again = stub_of(made, protocol=protocol)
        entry = await again.ask(Question("www.example.com"))
        assert entry.rcode == "NXDOMAIN"
        served = [one["cached"] for one in server.events("dns-answer") if one["side"] == "server"]
        assert served[-1] is True, "the question went on without its client"
        await again.close()
        slow.close()

    resolving(tmp_path, work, dot=True, doh=True, roots=(SLOW_AT,))


def test_settings_of_a_running_resolver(tmp_path: Path) -> None:
    async def work(made: Site, server: Running) -> None:
        stub = stub_of(made)

        def change(**settings: str) -> dict[str, Any]:
            return server.ctx.control.answer({"op": "set", "settings": settings, "nodes": {}})

        for _ in range(2):
            await stub.ask(Question("www.example.com"))
        assert change(flush="example.com", ecs="true") == {"ok": {"flush": "", "ecs": "false"}}
        await stub.ask(Question("www.example.com"))
        served = [one["cached"] for one in server.events("dns-answer") if one["side"] == "server"]
        assert served == [False, True, False]
        assert "no setting `weights`" in change(weights="1")["error"]["cause"]
        assert "true or false" in change(minimise="yes")["error"]["cause"]
        assert change(ecs="false") == {"ok": {"ecs": "true"}}
        refused = change(flush="a..b", ecs="true")
        assert "flush=a..b is no name of a zone" in str(refused), refused
        assert change(ecs="false") == {"ok": {"ecs": "false"}}, "the refused change has done half"

    resolving(tmp_path, work)


def dead_line() -> None:
    """A line on which nobody answers."""
    for command in (
        "ip link add dead type veth peer name nobody",
        "ip link set dead up",
        "ip link set nobody up",
        "ip address add 2001:db8:1::1/64 dev dead nodad",
    ):
        subprocess.run(command.split(), check=True)


def test_a_dead_ipv6_path_costs_a_quarter_of_a_second_once(tmp_path: Path) -> None:
    async def work(made: Site, _: Running) -> None:
        await asyncio.to_thread(dead_line)
        port = await made.listen()
        url = f"http://both.example.com:{port}/"
        spec = ClientSpec.model_validate(
            {"requests": [{"url": url, "fresh": True, "name": name} for name in ("first", "second")]}
        )
        role = await made.ask(spec, resolvers=(RESOLVER_AT,), addresses=("127.0.0.1/8", "2001:db8:1::1/64"))
        first, second = role.events("request-done")
        assert first["flow"][3] == LIVE, role.events()
        started = [one["flow"][3] for one in role.events("connect-start")]
        assert started == [DEAD, LIVE, LIVE], "what worked goes first the next time"
        delay = first["head_ms"] / 1000
        assert ATTEMPT_DELAY_S <= delay < 3 * ATTEMPT_DELAY_S, role.events()
        assert second["head_ms"] / 1000 < ATTEMPT_DELAY_S

    resolving(tmp_path, work)


@pytest.mark.needs("curl")
def test_other_programs_ask_over_tls_and_https(tmp_path: Path) -> None:
    """dnspython over TLS; curl over HTTPS, which gets the address of the page's host by it."""
    trust = tmp_path / "trust.pem"
    trust.write_text(AUTHORITY.root_pem)

    def over_tls() -> list[str]:
        context = ssl.create_default_context(cafile=str(trust))
        query = dns.message.make_query("www.example.com", "A")
        response = dns.query.tls(
            query, RESOLVER_AT, timeout=10, ssl_context=context, server_hostname=RESOLVER_AT
        )
        return [rdata.to_text() for rdata in response.answer[0]]

    def over_https(port: int) -> str:
        url = f"https://{RESOLVER_AT}/dns-query"
        page = f"http://both.example.com:{port}/page"
        command = ("curl", "-sS4", "--cacert", str(trust), "--doh-url", url, page)
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout

    async def work(made: Site, server: Running) -> None:
        assert await asyncio.to_thread(over_tls) == ["192.0.2.1"]
        port = await made.listen()
        assert await asyncio.to_thread(over_https, port) == "/page"
        asked = [one for one in server.events("dns-query") if one["qname"] == "both.example.com"]
        assert [one["flow"][2] for one in asked if one["side"] == "server"][:1] == [443]

    resolving(tmp_path, work, dot=True, doh=True)
