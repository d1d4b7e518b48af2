"""Packets that waited for ARP, told from those that only were near one."""

from __future__ import annotations

from ipaddress import ip_address

from netlab.trace.leg import network
from netlab.trace.neighbours import resolutions, with_waits
from netlab.trace.packet import packets_of
from netlab.trace.story import Span
from tests.kit.wire_capture import MS, End, Path, Point, Tcp, Wire

CLIENT, SERVER = End("10.0.0.1", 40_000), End("10.0.1.1", 80)
WAIT = 35 * MS
PATH: Path = (
    Point("client", "eth0", CLIENT, SERVER, 0),
    Point("router", "in", CLIENT, SERVER, 1 * MS),
    Point("router", "out", CLIENT, SERVER, 1 * MS + WAIT + 1000, 1),
    Point("server", "eth0", CLIENT, SERVER, 20 * MS + WAIT, 1),
)
ROUTER, NEIGHBOUR = "10.0.1.254", "10.0.1.1"
ROUTER_MAC, NEIGHBOUR_MAC = bytes(6 * [7]), bytes(6 * [8])


def arp(operation: int, sender: tuple[bytes, str], target: tuple[bytes, str]) -> bytes:
    """RFC 826, over Ethernet."""
    ends = b"".join(mac + ip_address(address).packed for mac, address in (sender, target))
    frame = (b"\xff" * 6 if operation == 1 else target[0]) + sender[0] + b"\x08\x06"
    return frame + b"\x00\x01\x08\x00\x06\x04" + operation.to_bytes(2, "big") + ends


def ask(wire: Wire, asked: int, answered: int) -> None:
    request = arp(1, (ROUTER_MAC, ROUTER), (bytes(6), NEIGHBOUR))
    reply = arp(2, (NEIGHBOUR_MAC, NEIGHBOUR), (ROUTER_MAC, ROUTER))
    wire.seen.append((asked, "router", "out", request))
    wire.seen.append((asked + WAIT // 2, "server", "eth0", request))
    wire.seen.append((asked + WAIT // 2, "server", "eth0", reply))
    wire.seen.append((answered, "router", "out", reply))


def spans_of(wire: Wire) -> list[Span]:
    frames = wire.frames()
    joined = network(packets_of(frames))
    (leg,) = joined.legs
    numbers = tuple(packet.number for packet in leg.client.packets)
    span = Span("TCP", "client", 0, 60 * MS, 1, numbers)
    return list(with_waits([span], resolutions(frames), joined))


def test_a_packet_that_a_router_held_back_has_its_wait_below_it() -> None:
    wire = Wire()
    Tcp(wire, PATH).segment(0, True, 2)
    ask(wire, 1 * MS + 500, 1 * MS + 500 + WAIT)
    _, wait = spans_of(wire)
    assert (wait.name, wait.node, wait.depth, wait.rtts) == ("ARP router:out", "router", 1, 1)
    assert (wait.start_ns, wait.end_ns) == (1 * MS + 500, 1 * MS + 500 + WAIT)
    frames = {frame.number: (frame.node, frame.interface) for frame in wire.frames()}
    assert [frames[number] for number in wait.frames] == [("router", "out")] * 2


def test_a_resolution_at_another_time_delayed_nothing() -> None:
    wire = Wire()
    Tcp(wire, PATH).segment(0, True, 2)
    ask(wire, 200 * MS, 200 * MS + WAIT)
    assert [span.name for span in spans_of(wire)] == ["TCP"]


def test_a_question_without_an_answer_is_no_resolution() -> None:
    wire = Wire()
    wire.seen.append((5, "router", "out", arp(1, (ROUTER_MAC, ROUTER), (bytes(6), NEIGHBOUR))))
    assert resolutions(wire.frames()) == ()
