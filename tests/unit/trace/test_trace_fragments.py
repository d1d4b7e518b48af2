"""Fragmented packets in a capture: told with the fragment that completes them, part of their connections."""

from __future__ import annotations

from itertools import count

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from netlab.decode.frame import Frame
from netlab.decode.tls import KeyLog
from netlab.proto import dns, pcapng
from netlab.proto.capture_file import CaptureFile
from netlab.report.packets import document, tree
from netlab.trace.connection import connections
from netlab.trace.dissection import Dissection
from netlab.trace.index import index
from netlab.trace.stack import Stacks
from netlab.trace.walk import Walk

ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
UP, DOWN = {"src": "192.0.2.1", "dst": "192.0.2.2"}, {"src": "192.0.2.2", "dst": "192.0.2.1"}
NAMES = tuple(f"host-{number}.example.com." for number in range(60))
ANSWER = dns.encode(
    dns.Message(
        7,
        dns.Question("all.example.com."),
        response=True,
        answers=tuple(dns.record(name, "A", 60, "192.0.2.9") for name in NAMES),
    )
)


def walked(packets: list[Packet]) -> list[Dissection]:
    blocks = [pcapng.section(), pcapng.interface("a:eth0")]
    blocks += [pcapng.packet(0, number * 1000, bytes(one)) for number, one in enumerate(packets, 1)]
    return list(Walk(index(CaptureFile(b"".join(blocks))), KeyLog()).packets())


def answer() -> list[Packet]:
    assert len(ANSWER) > 1000
    return list(fragment(ETHER / IP(**DOWN, id=7) / UDP(sport=53, dport=5000) / ANSWER, 400))


@pytest.mark.parametrize("order", ["as sent", "last first"])
def test_a_large_answer_of_dns(order: str) -> None:
    made = answer()
    found = walked(made if order == "as sent" else made[::-1])
    *before, last = found
    assert last.protocol == "DNS"
    assert "host-0.example.com" in tree(last)
    frames = ", ".join(str(number) for number in range(1, len(made) + 1))
    assert f"put together from the fragments in frames {frames}" in last.summary
    assert [one.summary for one in before] == [f"a fragment, whole with frame {len(made)}"] * len(before)
    assert last.source == "192.0.2.2:53"
    assert document(last)["number"] == len(made)
    (udp,) = [layer for layer in last.layers if layer.name == "UDP"]
    assert "correct" in dict(udp.pairs)["checksum"]
    assert (udp.start, udp.end) == (0, 0), "its bytes aren't in this frame as they are"


@pytest.mark.parametrize("late", [False, True])
def test_segments_of_tcp_in_fragments_are_part_of_their_stream(late: bool) -> None:
    """`late`: the first fragment comes after the others."""
    text = b"GET /" + b"a" * 1500 + b" HTTP/1.1\r\nHost: x\r\n\r\n"
    ids = count(10)
    asked = fragment(
        ETHER / IP(**UP, id=next(ids)) / TCP(sport=5, dport=80, seq=101, ack=201, flags="PA") / text, 600
    )
    sent = [
        ETHER / IP(**UP, id=next(ids)) / TCP(sport=5, dport=80, seq=100, flags="S"),
        ETHER / IP(**DOWN, id=next(ids)) / TCP(sport=80, dport=5, seq=200, ack=101, flags="SA"),
        *(asked[1:] + asked[:1] if late else asked),
        ETHER / IP(**DOWN, id=next(ids)) / TCP(sport=80, dport=5, seq=201, ack=101 + len(text), flags="PA")
        / b"HTTP/1.1 204 No Content\r\n\r\n",
    ]  # fmt: skip
    told = [one.summary for one in walked(sent)]
    assert told[4].startswith("GET /aaa"), told
    assert "204" in told[5]
    frames = [
        Frame(number, number * 1000, "a", "eth0", len(bytes(one)), bytes(one))
        for number, one in enumerate(sent, 1)
    ]
    (found,) = connections(frames, KeyLog())
    assert [one.status for one in found.requests] == [204]
    stacked = Stacks(frames, KeyLog()).of(5)
    assert stacked[0].name == "HTTP/1.1"
    assert stacked[0].ranges == ()


def test_a_fragmented_ping_is_told_as_one() -> None:
    made = fragment(ETHER / IP(**UP, id=3) / ICMP(id=1, seq=2) / bytes(3000), 1480)
    *before, last = walked(made)
    assert "echo request" in last.summary
    assert {one.protocol for one in before} == {"IPv4"}


def test_what_overlaps_is_refused_and_said() -> None:
    first, second, *rest = answer()
    twisted = second.copy()
    twisted[IP].frag -= 1
    del twisted[IP].chksum
    told = [one.summary for one in walked([first, twisted, *rest])]
    assert all("refused: fragments that overlap (RFC 5722)" in one for one in told), told


def test_what_is_missing_leaves_fragments() -> None:
    told = [one.summary for one in walked(answer()[1:])]
    assert told[0] == "fragment at byte 400"
