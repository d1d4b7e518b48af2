"""Head-of-line blocking on TCP and its absence on QUIC, on paths that lose known packets."""

from __future__ import annotations

from pathlib import Path

from netlab.decode.tls import KeyLog
from netlab.trace.connection import Connection, connections
from netlab.trace.stalls import Stall, stalls
from tests.kit.quic_bytes import network
from tests.kit.tcp_path import MS, TcpPath
from tests.kit.tls_bytes import contexts
from tests.kit.tls_path import NAME, Http2, secure

PATHS = ("/a", "/b", "/c")


def over_tcp(tmp_path: Path, *lost: int) -> tuple[Connection, Connection, TcpPath]:
    """As client and server saw it."""
    client, server, log = contexts(tmp_path, NAME, "1.3", ("h2",))
    path = TcpPath(lost_down=lambda number, _: number in lost)
    http = Http2(*secure(path, (client, server)), together=3, answer=lambda _: bytes(6000))
    http.client.ready = lambda: http.ask(*PATHS)
    path.connect()
    path.run(lambda: len(http.done) == 3)
    path.settle()
    keys = KeyLog.parse(log.read_text())
    (here,), (there,) = (connections(path.frames(place), keys) for place in ("client", "server"))
    return here, there, path


def test_nothing_lost_nothing_stalls(tmp_path: Path) -> None:
    here, there, _ = over_tcp(tmp_path)
    assert stalls(here, "server", there) == ()


def test_tcp_holds_back_every_stream_behind_a_lost_segment(tmp_path: Path) -> None:
    here, there, path = over_tcp(tmp_path, 12)
    found = stalls(here, "server", there)
    assert {one.stream for one in found} == {1, 3, 5}
    (again,) = [one for one in path.server.log if one.why != "new"]
    for one in found:
        assert one.missing
        assert all(again.start <= start < end <= again.end for start, end in one.missing)
        assert one.end.frame == one.repaired
        assert one.duration_ns > 0
        assert one.end.time_ns == again.time_ns + path.one_way_ns
        assert len(one.lost) == 1
        sent = next(frame for frame in path.frames("server") if frame.number == one.lost[0])
        assert sent.time_ns < again.time_ns
    assert any(one.blocked_by_others for one in found), found
    assert any(one.own for one in found), found


def test_without_the_senders_capture_nothing_is_said_to_be_lost(tmp_path: Path) -> None:
    here, _, _ = over_tcp(tmp_path, 12)
    found = stalls(here)
    assert found
    assert {one.lost for one in found} == {()}


def over_quic(*lost: int) -> tuple[tuple[Stall, ...], Connection, Connection]:
    made = network(lost_down=lambda number, _: number in lost, answer=lambda _: bytes(8000))
    made.connect()
    made.fetch(*PATHS)
    made.settle(100 * MS)
    (here,), (there,) = (connections(made.frames(place), made.keys) for place in ("client", "server"))
    return stalls(here, "server", there), here, there


def test_quic_holds_back_only_the_stream_of_the_lost_packet() -> None:
    found, here, there = over_quic(6)
    assert there.quic is not None
    assert here.quic is not None
    lost = {number for _, number in here.quic.missing("server")}
    assert len(lost) == 1
    packet = next(one for one in there.quic.packets if one.sender == "server" and one.number in lost)
    inside = {one.integer("stream_id") for one in packet.frames if one.name == "STREAM"}
    assert {one.stream for one in found} <= inside
    assert found
    for one in found:
        assert one.own
        assert one.lost == (packet.frame,)
        assert one.target == PATHS[one.stream // 4]
    assert over_quic()[0] == ()
