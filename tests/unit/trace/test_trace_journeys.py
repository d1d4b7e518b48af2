"""Sightings of packets that have one identity (twins) are told apart by what else is known."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat

from hypothesis import given
from hypothesis import strategies as st

from netlab.trace.journeys import journeys
from netlab.trace.packet import Journey, packets_of
from tests.kit.wire_capture import MS, End, Path, Point, Wire

SERVER = End("198.51.100.7", 7000)
OUTSIDE = {"c1": End("203.0.113.5", 5000), "c2": End("203.0.113.5", 1024)}
INSIDE = {"c1": End("192.168.1.10", 5000), "c2": End("192.168.1.11", 5000)}


def path(client: str) -> Path:
    inside, outside = INSIDE[client], OUTSIDE[client]
    return (
        Point(client, "eth0", inside, SERVER, 0),
        Point("router", "lan", inside, SERVER, 1 * MS),
        Point("router", "wan", outside, SERVER, 1 * MS + 20_000, 1),
        Point("server", "eth0", outside, SERVER, 20 * MS, 1),
    )


def without_ids() -> Wire:
    return Wire(ip_ids=repeat(0))  # type: ignore[arg-type]


def whose(journey: Journey) -> set[str]:
    """The clients whose packets are in it, by their sockets."""
    owner = {one: name for ends in (INSIDE, OUTSIDE) for name, one in ends.items()}
    found = set()
    for packet in journey:
        end = packet.src if packet.dst.port == SERVER.port else packet.dst
        found.add(owner[End(end.address, end.port)])
    return found


def ways(found: Sequence[Journey]) -> list[tuple[str, ...]]:
    return [tuple(f"{one.frame.node}:{one.frame.interface}" for one in journey) for journey in found]


@given(
    st.lists(st.tuples(st.integers(0, 5), st.sampled_from((0, 1, 2, 3, 4))), min_size=2, max_size=30),
    st.booleans(),
)
def test_two_clients_that_say_the_same_at_once_across_nat(packets: list[tuple[int, int]], up: bool) -> None:
    """Each number is sent by both, `offset` µs apart; `reach` interfaces see it before it is lost. One packet
    of each client's differs."""
    wire = without_ids()
    for client in ("c1", "c2"):
        wire.udp(path(client), 0, up, client.encode())
    sent = 2
    for number, (offset, reach) in enumerate(packets, 1):
        for client, late in (("c1", 0), ("c2", 1000 * offset + 500)):
            seen = max(reach, 1) if client == "c1" else 4
            wire.udp(path(client)[:seen], number * 30 * MS + late, up, b"%03d" % number)
            sent += 1
    found = journeys(packets_of(wire.frames()))
    assert len(found) == sent
    assert all(len(whose(one)) == 1 for one in found), ways(found)


def test_the_twin_of_a_lost_packet_is_not_its_sequel() -> None:
    wire = without_ids()
    wire.udp(path("c1")[:1], 0, True, b"same")
    wire.udp(path("c2"), 200_000, True, b"same")
    found = journeys(packets_of(wire.frames()))
    assert sorted(map(len, found)) == [1, 4], ways(found)
    assert [whose(one) for one in sorted(found, key=len)] == [{"c1"}, {"c2"}]


def test_a_question_and_an_echo_of_the_same_bytes_are_two_packets() -> None:
    wire = without_ids()
    for start, up in ((0, True), (20 * MS + 1000, False)):
        wire.udp(path("c1"), start, up, b"echo")
    found = journeys(packets_of(wire.frames()))
    assert [one[0].frame.node for one in found] == ["c1", "server"], ways(found)
    assert [len(one) for one in found] == [4, 4]


def test_equal_packets_on_the_way_at_once_arrive_in_the_order_in_which_they_left() -> None:
    wire = without_ids()
    for number in range(5):  # these show how long the way takes
        wire.udp(path("c1"), number * 50 * MS, True, b"%d" % number)
    for number in range(8):  # three of these are on the way at a time
        wire.udp(path("c1"), 500 * MS + number * 7 * MS, True, b"alive")
    found = [one for one in journeys(packets_of(wire.frames())) if one[0].payload == b"alive"]
    assert [len(one) for one in found] == [4] * 8
    assert {one[-1].time_ns - one[0].time_ns for one in found} == {20 * MS}


def test_where_only_one_side_of_the_nat_was_captured_packets_are_followed_all_the_same() -> None:
    wire = Wire()
    for number in range(3):
        wire.udp((path("c1")[0], path("c1")[3]), number * MS, True, b"%d" % number)
    assert ways(journeys(packets_of(wire.frames()))) == [("c1:eth0", "server:eth0")] * 3
