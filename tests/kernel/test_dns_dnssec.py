"""DNSSEC over real sockets: keys from a launch, signatures that dnspython finds right, AD, CD and bogus."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import dns.dnssec
import dns.message
import dns.name
import dns.query
import dns.rdatatype
import pytest

from netlab.errors import InputError
from netlab.lab.launching import Launches
from netlab.model.launch import Launch
from netlab.model.roles import NameserverSpec, Record, ResolverSpec, RoleSpec, Zone
from netlab.plan.ops import Plan, StartRole
from netlab.proto.dns import Message, Question, decode, encode
from netlab.proto.dns_edns import DNSSEC_BOGUS
from netlab.roles import nameserver, resolver
from tests.kernel.test_dns_roles import loopback_up
from tests.kit.origin import NOW
from tests.kit.roles_in_process import Running, running

ROOT_AT, EXAMPLE_AT, RESOLVER_AT = "127.0.0.2", "127.0.0.4", "127.0.0.53"


def record(name: str, type_: str, data: str) -> Record:
    return Record.model_validate({"name": name, "type": type_, "data": data})


ROOT = Zone(
    name=".",
    dnssec=True,
    records=(
        record("@", "NS", "a.root."),
        record("a.root.", "A", ROOT_AT),
        *(record(name, "NS", "ns.example.") for name in ("example", "bogus", "plain")),
        record("ns.example", "A", EXAMPLE_AT),
    ),
)
ZONES = (
    Zone(name="example", dnssec=True, records=(record("www", "A", "192.0.2.1"),)),
    Zone(name="bogus", dnssec=True, dnssec_fault="bogus", records=(record("www", "A", "192.0.2.2"),)),
    Zone(name="plain", records=(record("www", "A", "192.0.2.3"),)),
)
SPECS: tuple[tuple[str, RoleSpec, str], ...] = (
    ("root", NameserverSpec(zones=(ROOT,)), ROOT_AT),
    ("example", NameserverSpec(zones=ZONES), EXAMPLE_AT),
    ("resolver", ResolverSpec(roots=(ROOT_AT,), dnssec=True), RESOLVER_AT),
)


def launches() -> dict[str, Launch]:
    """The documents that the lab would give these roles."""
    starts = tuple(StartRole(node, spec.kind, spec, ()) for node, spec, _ in SPECS)
    plan = Plan("test", starts, (), {}, {}, {}, "none")
    made = Launches("test", plan, 1, NOW)
    return {node: made.document(node, spec.kind, spec, (), NOW) for node, spec, _ in SPECS}


async def up(stack: AsyncExitStack, directory: Path) -> dict[str, Running]:
    found = {}
    documents = launches()
    for node, spec, at in SPECS:
        serve: Any = resolver.serve if node == "resolver" else nameserver.serve
        keys = documents[node].zone_keys, documents[node].signed_zones
        found[node] = await stack.enter_async_context(
            running(serve, spec, directory, node, (at,), zone_keys=keys[0], signed_zones=keys[1])
        )
    return found


def ask(name: str, **flags: Any) -> Message:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        query = Message(7, Question(name), recursion_desired=True, edns_bytes=1232, **flags)
        sock.sendto(encode(query), (RESOLVER_AT, 53))
        return decode(sock.recv(65_535))


def test_the_resolver_says_what_was_proved(tmp_path: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(30), AsyncExitStack() as stack:
            await up(stack, tmp_path)
            signed = await asyncio.to_thread(ask, "www.example", dnssec_ok=True)
            assert signed.authentic
            assert [one.type for one in signed.answers] == ["A", "RRSIG"]
            asked = await asyncio.to_thread(ask, "www.example", authentic=True)
            assert asked.authentic, "AD in the question wants AD in the answer (RFC 6840, 5.7)"
            assert [one.type for one in asked.answers] == ["A"]
            assert not (await asyncio.to_thread(ask, "www.example")).authentic

            plain = await asyncio.to_thread(ask, "www.plain", dnssec_ok=True)
            assert (plain.rcode, plain.authentic, len(plain.answers)) == ("NOERROR", False, 1)

            bogus = await asyncio.to_thread(ask, "www.bogus", dnssec_ok=True)
            assert (bogus.rcode, bogus.answers) == ("SERVFAIL", ())
            assert bogus.errors[0].code == DNSSEC_BOGUS, bogus.errors
            disabled = await asyncio.to_thread(ask, "www.bogus", checking_disabled=True)
            assert [one.data for one in disabled.answers] == ["192.0.2.2"]
            assert disabled.checking_disabled

            gone = await asyncio.to_thread(ask, "none.example", dnssec_ok=True)
            assert (gone.rcode, gone.authentic) == ("NXDOMAIN", True)
            assert {one.type for one in gone.authority} == {"SOA", "NSEC", "RRSIG"}

    loopback_up()
    asyncio.run(main())


def test_another_implementation_finds_the_signatures_right(tmp_path: Path) -> None:
    def fetch(at: str, name: str, type_: str) -> dns.message.Message:
        query = dns.message.make_query(name, type_, want_dnssec=True)
        return dns.query.udp(query, at, timeout=10)

    def check() -> None:
        for at, zone, name, type_ in (
            (ROOT_AT, ".", ".", "NS"),
            (ROOT_AT, ".", "example.", "DS"),
            (EXAMPLE_AT, "example.", "www.example.", "A"),
            (EXAMPLE_AT, "example.", "example.", "SOA"),
        ):
            apex = dns.name.from_text(zone)
            keys = fetch(at, zone, "DNSKEY").answer
            assert [one.rdtype for one in keys] == [dns.rdatatype.DNSKEY, dns.rdatatype.RRSIG]
            dns.dnssec.validate(keys[0], keys[1], {apex: keys[0]})
            records, signatures = fetch(at, name, type_).answer
            dns.dnssec.validate(records, signatures, {apex: keys[0]})

    async def main() -> None:
        async with asyncio.timeout(30), AsyncExitStack() as stack:
            await up(stack, tmp_path)
            await asyncio.to_thread(check)

    loopback_up()
    asyncio.run(main())


def test_each_role_gets_the_keys_that_it_needs_and_no_others() -> None:
    made = launches()
    assert set(made["root"].zone_keys) == {"."}
    assert set(made["example"].zone_keys) == {"example", "bogus"}
    assert made["resolver"].zone_keys == {}
    assert set(made["resolver"].signed_zones) == {".", "example", "bogus"}


def test_a_resolver_without_an_anchor_says_what_is_missing(tmp_path: Path) -> None:
    async def main() -> None:
        spec = ResolverSpec(roots=(ROOT_AT,), dnssec=True)
        async with running(resolver.serve, spec, tmp_path, "resolver", (RESOLVER_AT,)):
            raise AssertionError("it must not start")

    loopback_up()
    with pytest.RaisesGroup(pytest.RaisesExc(InputError, match="root zone is not signed")):
        asyncio.run(main())
