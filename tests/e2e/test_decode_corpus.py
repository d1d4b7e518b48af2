"""Captures of real runs, of every version of HTTP and of WebSocket, and packets of the kinds that these lack:
`netlab decode` and tshark say the same of each, field by field."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import (
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_NS,
    IPv6,
    IPv6ExtHdrFragment,
    fragment6,
)
from scapy.layers.l2 import ARP, Dot1Q, Ether

from netlab.proto import pcapng
from tests.e2e.conftest import Lab
from tests.e2e.test_trace_rest import a_lab
from tests.kit.tshark_truth import FIELDS, Difference, Outcome, compare, json_differences

pytestmark = [pytest.mark.needs("postgres"), pytest.mark.needs("tshark")]

RUNS = (
    ("rest", "--http", "1.1"),
    ("rest", "--http", "2"),
    ("rest", "--http", "3"),
    ("websocket",),
)
ENDS = ("client-a.eth0", "edge-london.eth0", "proxy.eth0", "app-1.eth0", "db.eth0")


class Explained(NamedTuple):
    """A difference that isn't an error of ours. `holds`: it is this one."""

    name: str
    reason: str
    holds: Callable[[Difference], bool]


EXPLAINED = (
    Explained(
        "AA in queries",
        "RFC 1035, section 4.1.1: the bit is valid in responses; tshark shows it there only, we always",
        lambda one: one.field == "dns.flags.authoritative" and one.ours == ["0"] and not one.theirs,
    ),
    Explained(
        "packets quoted by ICMP errors",
        "tshark takes the quoted packet apart too, and lists its fields with those of the packet itself",
        lambda one: (
            one.document["protocol"] in ("ICMP", "ICMPv6")
            and all(value in one.theirs for value in one.ours)
            and len(one.theirs) > len(one.ours)
        ),
    ),
    Explained(
        "HTTP/1.1 messages without their end",
        "we show what there is of a message at the connection's end; tshark waits for the rest of it",
        lambda one: (
            one.field.startswith("http.")
            and any(
                name == "incomplete" for part in one.document["parts"] for name, *_ in part.get("fields", ())
            )
        ),
    ),
)


def unexplained(found: Outcome) -> list[str]:
    return [str(one) for one in found.differences if not any(known.holds(one) for known in EXPLAINED)]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    for made in a_lab(tmp_path_factory.mktemp("corpus")):
        done = made.netlab("up", "internet", "--name", made.name)
        assert done.status == 0, done
        yield made
        made.netlab("down", made.name)


def captures(lab: Lab) -> Iterator[Path]:
    """Of the interfaces of nodes with roles, in each run."""
    for words in RUNS:
        folder = lab.directory / secrets.token_hex(4)
        target = ("--topology", "internet", "--lab", lab.name, "--out", str(folder))
        done = lab.netlab("trace", *words, *target, timeout_s=240)
        assert done.status == 0, done
        yield from (folder / "hops" / f"{end}.pcapng" for end in ENDS)


# What these runs have none of: the second test has it.
ABSENT = ("ipv6.", "icmp.", "icmpv6.")


def test_real_runs(lab: Lab) -> None:
    paths = [path for path in captures(lab) if path.exists()]
    found = compare(paths)
    assert not unexplained(found), "\n".join(unexplained(found)[:40])
    empty = [name for name, count in found.agreed.items() if not count and not name.startswith(ABSENT)]
    assert not empty, f"nothing to compare of {empty}"
    assert len(found.agreed) == len(FIELDS)
    others = [one for path in paths if path.name.startswith("edge") for one in json_differences(path)]
    assert not others, "\n".join(others[:40])


ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
IP4 = IP(src="192.0.2.1", dst="192.0.2.2", id=7, ttl=9, tos=0xB8)
IP6 = IPv6(src="2001:db8::1", dst="2001:db8::2", hlim=9, tc=3, fl=0x12345)
MADE = (
    ETHER / ARP(op=1, psrc="192.0.2.1", pdst="192.0.2.2"),
    ETHER / IP4 / ICMP(id=1, seq=2) / b"ping",
    ETHER / IP4 / ICMP(type=0, id=1, seq=2) / b"ping",
    ETHER / IP4 / ICMP(type=3, code=3) / IP4 / UDP(sport=5, dport=6),
    ETHER / IP6 / ICMPv6EchoRequest(id=1, seq=2, data=b"ping"),
    ETHER / IP6 / ICMPv6EchoReply(id=1, seq=2, data=b"ping"),
    ETHER / IP6 / ICMPv6ND_NS(tgt="2001:db8::2"),
    ETHER / IP6 / UDP(sport=4000, dport=4001) / b"datagram",
    ETHER / IP6 / TCP(sport=4000, dport=4001, flags="S", options=[("MSS", 1440), ("WScale", 7)]),
    ETHER / IP4 / TCP(sport=4000, dport=4001, flags="PAEC", window=9, seq=5, ack=6) / b"data",
    ETHER / Dot1Q(vlan=7, prio=3) / IP4 / UDP(sport=4000, dport=4001) / b"tagged",
    *fragment(ETHER / IP(src="192.0.2.1", dst="192.0.2.2", id=8) / UDP(sport=4000, dport=4001) / bytes(3000)),
    *fragment(ETHER / IP(src="192.0.2.1", dst="192.0.2.2", id=9) / ICMP(id=1, seq=3) / bytes(3000))[::-1],
    *(
        ETHER / one
        for one in fragment6(IP6 / IPv6ExtHdrFragment(id=5) / UDP(sport=4000, dport=4001) / bytes(3000), 1280)
    ),
)


def test_made_packets(tmp_path: Path) -> None:
    path = tmp_path / "made.pcapng"
    packets = [pcapng.packet(0, number * 1000, bytes(one)) for number, one in enumerate(MADE, 1)]
    path.write_bytes(b"".join([pcapng.section(), pcapng.interface("a:eth0"), *packets]))
    found = compare([path])
    assert not unexplained(found), "\n".join(unexplained(found))
    for prefix in ABSENT:
        assert all(count for name, count in found.agreed.items() if name.startswith(prefix)), found.agreed
