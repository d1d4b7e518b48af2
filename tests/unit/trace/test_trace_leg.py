"""Journeys and legs, on packets built by hand."""

from __future__ import annotations

from netlab.trace.journeys import journeys
from netlab.trace.leg import network
from netlab.trace.packet import Socket, packets_of
from tests.kit.wire_capture import MS, End, Path, Point, Tcp, Wire

INSIDE, OUTSIDE, SERVER = End("192.168.1.10", 40000), End("203.0.113.5", 51111), End("93.184.216.34", 443)
NAT_PATH: Path = (
    Point("client", "eth0", INSIDE, SERVER, 0),
    Point("router", "lan", INSIDE, SERVER, 1 * MS),
    Point("router", "wan", OUTSIDE, SERVER, 1 * MS + 1000, 1),
    Point("server", "eth0", OUTSIDE, SERVER, 20 * MS, 1),
)


def test_a_packet_is_followed_across_nat() -> None:
    wire = Wire()
    Tcp(wire, NAT_PATH).segment(0, True, 2)
    (journey,) = journeys(packets_of(wire.frames()))
    assert [packet.place for packet in journey] == [(point.node, point.interface) for point in NAT_PATH]
    assert [packet.src.address for packet in journey] == [INSIDE.address] * 2 + [OUTSIDE.address] * 2
    assert [packet.headers.ttl for packet in journey] == [64, 64, 63, 63]


def test_the_same_identity_twice_at_one_interface_is_another_journey() -> None:
    wire = Wire()
    for start in (0, 200 * MS):
        wire.ip_ids = iter([7])  # type: ignore[assignment]
        tcp = Tcp(wire, NAT_PATH)
        tcp.segment(start, True, 24, b"again")
    found = journeys(packets_of(wire.frames()))
    assert [len(journey) for journey in found] == [4, 4]
    assert [journey[0].time_ns for journey in found] == [0, 200 * MS]


def test_what_a_lost_packet_left_is_not_mixed_with_its_retransmission() -> None:
    wire = Wire()
    wire.ip_ids = iter([7, 7])  # type: ignore[assignment]
    Tcp(wire, NAT_PATH[:2]).segment(0, True, 24, b"lost")
    Tcp(wire, NAT_PATH).segment(200 * MS, True, 24, b"lost")
    first, second = journeys(packets_of(wire.frames()))
    assert [packet.time_ns // MS for packet in first] == [0, 1]
    assert [packet.time_ns // MS for packet in second] == [200, 201, 201, 220]


def test_a_connection_is_one_leg_from_socket_to_socket() -> None:
    wire = Wire()
    tcp = Tcp(wire, NAT_PATH)
    opened = tcp.handshake(5 * MS)
    arrived = tcp.send(opened, True, b"x" * 3000)
    tcp.send(arrived, False, b"answer")
    (leg,) = network(packets_of(wire.frames())).legs
    assert [view.place for view in leg.views] == [(point.node, point.interface) for point in NAT_PATH]
    assert (leg.client.client, leg.server.client) == (Socket(*INSIDE), Socket(*OUTSIDE))
    assert leg.start_ns == 5 * MS
    for view in leg.views:
        assert (view.up.data, view.down.data) == (b"x" * 3000, b"answer")


def test_connections_of_one_pair_of_hosts_stay_apart() -> None:
    wire = Wire()
    for number, seq in ((0, 1000), (1, 77_000)):  # the second one uses the same ports again
        tcp = Tcp(wire, NAT_PATH, client_seq=seq, server_seq=seq * 3)
        tcp.send(tcp.handshake(number * 500 * MS), True, b"request %d" % number)
    legs = network(packets_of(wire.frames())).legs
    assert [leg.server.up.data for leg in legs] == [b"request 0", b"request 1"]
    assert [len(leg.views) for leg in legs] == [4, 4]


def test_without_a_syn_the_lower_port_is_the_server() -> None:
    wire = Wire()
    tcp = Tcp(wire, NAT_PATH)
    tcp.send(0, False, b"late answer")
    tcp.send(30 * MS, True, b"question")
    (leg,) = network(packets_of(wire.frames())).legs
    assert leg.client.place == ("client", "eth0")
    assert leg.server.server == Socket(*SERVER)
    assert (leg.server.up.data, leg.client.down.data) == (b"question", b"late answer")


def test_where_only_answers_were_seen_their_way_back_orders_the_leg() -> None:
    wire = Wire()
    Tcp(wire, NAT_PATH).segment(0, False, 24, b"answer")
    (leg,) = network(packets_of(wire.frames())).legs
    assert [view.place for view in leg.views] == [(point.node, point.interface) for point in NAT_PATH]
