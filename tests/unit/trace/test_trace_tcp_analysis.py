"""What TCP did, from its packets, against the log of the ends that did it."""

from __future__ import annotations

import random
import struct

import pytest

from netlab.decode.frame import Frame
from netlab.decode.quic import Side
from netlab.decode.tcp_options import options
from netlab.decode.tls import KeyLog
from netlab.trace.connection import connections
from netlab.trace.tcp_analysis import TcpAnalysis, analyse
from tests.kit.tcp_path import MS, MSS, RTO_NS, TcpPath

BODY = bytes(range(256)) * 400


def analysis(frames: tuple[Frame, ...], sender: Side = "server") -> TcpAnalysis:
    (found,) = connections(frames, KeyLog())
    assert found.view is not None
    return analyse(found.view, sender)


def downloaded(path: TcpPath, size: int = len(BODY)) -> TcpPath:
    path.server.heard = lambda _: path.server.send(BODY[:size])
    path.client.send(b"please")
    path.connect()
    path.run(lambda: path.client.expected == size)
    path.settle(1000 * MS)
    return path


def test_nothing_lost() -> None:
    found = analysis(downloaded(TcpPath()).frames("server"))
    assert (found.retransmissions, found.gaps, found.disorder, found.zero) == ((), (), (), ())
    assert found.mss == MSS
    assert not found.unscaled
    assert {one.value for one in found.windows} == {1 << 20}
    assert {one.value for one in found.rtts} == {50 * MS}
    assert max(one.value for one in found.flight) == len(BODY)
    assert found.flight[-1].value == 0
    assert found.sent[-1].value == len(BODY)


def test_a_lost_segment_is_sent_again_after_three_duplicates() -> None:
    path = downloaded(TcpPath(lost_down=lambda number, _: number == 10))
    (again,) = analysis(path.frames("server")).retransmissions
    (logged,) = [one for one in path.server.log if one.why != "new"]
    assert (again.at.time_ns, again.start, again.end) == (logged.time_ns, logged.start, logged.end)
    assert (again.kind, again.duplicates) == ("fast", 3)
    first = next(one for one in path.frames("server") if one.number == again.first)
    assert first.time_ns == again.at.time_ns - again.waited_ns
    seen = analysis(path.frames("client"))
    (gap,) = seen.gaps
    assert (gap.start, gap.end) == (again.start, again.end)
    assert gap.filled is not None
    (filling,) = seen.retransmissions
    assert (filling.first, filling.kind, filling.at) == (0, "fast", gap.filled)
    assert len(seen.duplicates) >= 3


def test_a_lost_last_segment_is_sent_again_by_timeout() -> None:
    last = -(-len(BODY) // MSS)  # after SYN-ACK
    path = downloaded(TcpPath(lost_down=lambda number, _: number == last))
    (again,) = analysis(path.frames("server")).retransmissions
    assert [one.why for one in path.server.log if one.why != "new"] == ["timeout"]
    assert (again.kind, again.duplicates) == ("timeout", 0)
    assert again.waited_ns >= RTO_NS


def test_a_lost_syn() -> None:
    path = downloaded(TcpPath(lost_up=lambda number, _: number == 0), 100)
    (again,) = analysis(path.frames("client"), "client").retransmissions
    assert (again.syn, again.kind, again.waited_ns) == (True, "timeout", 1000 * MS)
    assert analysis(path.frames("server")).retransmissions == ()


@pytest.mark.parametrize("seed", range(12))
def test_every_retransmission_and_its_cause(seed: int) -> None:
    rng = random.Random(seed)
    path = TcpPath(lost_down=lambda number, data: bool(data) and number > 1 and rng.random() < 0.04)
    downloaded(path)
    found = analysis(path.frames("server"))
    logged = [one for one in path.server.log if one.why != "new"]
    assert [(one.start, one.end) for one in found.retransmissions] == [(one.start, one.end) for one in logged]
    for one, truth in zip(found.retransmissions, logged, strict=True):
        if truth.why == "fast":
            assert one.kind == "fast", (one, truth)
    # a timer's retransmission may look like a fast one only where SACK had asked for the bytes, too
    timed = [one for one, truth in zip(found.retransmissions, logged, strict=True) if truth.why == "timeout"]
    assert all(one.waited_ns >= RTO_NS for one in timed)
    gaps = analysis(path.frames("client")).gaps
    assert all(gap.filled is not None for gap in gaps)


def test_a_window_that_closes() -> None:
    path = TcpPath()
    path.client.window = 4 * MSS
    path.server.heard = lambda _: path.server.send(BODY)
    path.client.send(b"please")
    path.connect()
    path.run(lambda: path.client.expected >= 2 * MSS)
    path.client.window = 0
    path.settle(200 * MS)
    path.client.acknowledge()
    path.settle(200 * MS)
    stopped = path.client.expected
    path.client.window = 1 << 20
    path.client.acknowledge()
    path.run(lambda: path.client.expected == len(BODY))
    assert stopped < len(BODY)
    found = analysis(path.frames("client"))
    assert len(found.zero) == 1
    offered = [one.value for one in found.windows]
    assert offered[-1] == 1 << 20
    assert 0 in offered
    assert max(one.value for one in found.flight if one.at < found.zero[0]) <= 4 * MSS


def test_segments_out_of_order_are_not_retransmissions() -> None:
    frames = list(downloaded(TcpPath()).frames("client"))
    data = [at for at, one in enumerate(frames) if one.length > 1000]
    one, other = frames[data[3]], frames[data[4]]
    frames[data[3]] = Frame(one.number, one.time_ns, "client", "eth0", other.length, other.data)
    frames[data[4]] = Frame(other.number, other.time_ns, "client", "eth0", one.length, one.data)
    found = analysis(tuple(frames))
    assert found.retransmissions == ()
    (disorder,) = found.disorder
    assert disorder.at.frame == other.number
    assert found.gaps[0].filled == disorder.at


def test_a_capture_without_a_syn_says_that_windows_are_unscaled() -> None:
    frames = downloaded(TcpPath()).frames("server")
    assert analysis(frames[3:]).unscaled


def test_options() -> None:
    data = b"\x02\x04\x05\xb4\x04\x02\x08\x0a\0\0\0\x09\0\0\0\0\x01\x03\x03\x07"
    found = options(data)
    assert (found.mss, found.sack_permitted, found.stamp, found.scale) == (1460, True, 9, 7)
    assert options(b"\x01\x01\x05\x12" + struct.pack(">IIII", 1, 2, 5, 9)).sack == ((1, 2), (5, 9))
    for broken in (b"\x02", b"\x02\x00", b"\x05\xff1", b"\x02\x01\x02", b"\x00\x02\x04\x05\xb4"):
        assert options(broken).mss == 0
