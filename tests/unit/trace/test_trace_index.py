"""Which packets are decoded together."""

from __future__ import annotations

from netlab.decode.frame import Headers, headers
from netlab.decode.tls import KeyLog
from netlab.proto import pcapng
from netlab.proto.capture_file import CaptureFile
from netlab.trace.index import Grouping, index
from netlab.trace.walk import Walk
from tests.kit.quic_bytes import MS, network

CLIENT, MOVED, SERVER = ("192.0.2.1", 5000), ("192.0.2.9", 6000), ("192.0.2.2", 443)
LONG, SHORT = b"\xc0", b"\x40"


def between(src: tuple[str, int], dst: tuple[str, int]) -> Headers:
    return Headers(
        "",
        "",
        0x800,
        -1,
        4,
        src[0],
        dst[0],
        64,
        "udp",
        0,
        0,
        False,
        src[1],
        dst[1],
        0,
        0,
        0,
        0,
        42,
        9,
        14,
        34,
    )


def test_a_client_that_moves_to_another_interface() -> None:
    grouping = Grouping()
    began = grouping.key("client", "eth0", between(CLIENT, SERVER), LONG)
    assert grouping.key("client", "eth0", between(SERVER, CLIENT), SHORT) == began
    assert grouping.key("client", "wwan0", between(MOVED, SERVER), SHORT) == began
    assert grouping.key("client", "wwan0", between(SERVER, MOVED), SHORT) == began
    assert grouping.key("other", "wwan0", between(MOVED, SERVER), SHORT) != began


def test_a_router_sees_a_connection_twice() -> None:
    grouping = Grouping()
    inside = grouping.key("router", "lan", between(CLIENT, SERVER), LONG)
    outside = grouping.key("router", "wan", between(CLIENT, SERVER), LONG)
    assert inside != outside
    assert grouping.key("router", "wan", between(SERVER, CLIENT), SHORT) == outside
    assert grouping.key("router", "lan", between(SERVER, CLIENT), SHORT) == inside


def test_a_migration_is_decoded_to_its_end() -> None:
    made = network()
    made.connect()
    made.fetch("/a")
    made.client_address = ("198.51.100.9", 6000)
    made.client.change_connection_id()
    made.fetch("/b")
    made.settle(300 * MS)
    blocks = [pcapng.section(), pcapng.interface("client:eth0"), pcapng.interface("client:wwan0")]
    blocks.append(pcapng.secrets(made.secrets.getvalue()))
    for one in made.frames("client"):
        found = headers(one.data)
        assert found is not None
        blocks.append(pcapng.packet(int("198.51.100.9" in (found.src, found.dst)), one.time_ns, one.data))
    read = index(CaptureFile(b"".join(blocks)))
    assert len(read.units) == 2
    packets = list(Walk(read, KeyLog.parse("\n".join(read.file.secrets))).packets())
    assert {packet.frame.interface for packet in packets} == {"eth0", "wwan0"}
    told = [packet.summary for packet in packets]
    assert not [one for one in told if "encrypted" in one], told
    asked = [part.summary for packet in packets for part in packet.whole if part.protocol == "HTTP/3"]
    assert any("/b" in one for one in asked), asked
