"""Assembling pcap files into pcapng: order, descriptions, drops, comments, and what can't be assembled."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import pytest

from netlab.capture.assemble import annotate, assemble
from netlab.capture.files import Counts, raw, stem
from netlab.decode.frame import frames
from netlab.errors import CaptureError
from netlab.proto import pcapng
from netlab.proto.pcapng import Interface, Names, Packet, Secrets, Statistics

SECOND = 1_000_000_000


def record(directory: Path, node: str, interface: str, packets: Sequence[tuple[int, bytes]]) -> Counts:
    """A pcap file as the recorder writes it; `packets` are nanoseconds and data."""
    data = struct.pack("<IHHIIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1)
    for time_ns, frame in packets:
        data += struct.pack("<IIII", time_ns // SECOND, time_ns % SECOND, len(frame), len(frame)) + frame
    raw(directory, node, interface).write_bytes(data)
    return Counts(node=node, interface=interface, packets=len(packets), dropped=0)


def blocks(path: Path) -> list[pcapng.Block]:
    return list(pcapng.read(path.read_bytes(), path.name))


def test_two_interfaces_are_merged_by_time(tmp_path: Path) -> None:
    stats = [
        record(tmp_path, "a", "eth0", [(5 * SECOND + 1, b"first"), (5 * SECOND + 4, b"fourth")]),
        record(tmp_path, "b", "eth0", [(5 * SECOND + 3, b"third"), (5 * SECOND + 2, b"second")]),
    ]
    summary = assemble(tmp_path, stats, "", {}, {})
    trace = list(frames(summary.files[0].read_bytes()))
    assert [frame.data for frame in trace] == [b"first", b"second", b"third", b"fourth"]
    assert [frame.node for frame in trace] == ["a", "b", "b", "a"]
    assert [frame.time_ns for frame in trace] == [5 * SECOND + n for n in (1, 2, 3, 4)]
    hops = [path.relative_to(tmp_path).as_posix() for path in summary.files[1:]]
    assert hops == ["hops/a.eth0.pcapng", "hops/b.eth0.pcapng"]
    assert [frame.data for frame in frames(summary.files[2].read_bytes())] == [b"second", b"third"]
    assert summary.packets == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hops", "trace.pcapng"]


def test_packets_of_one_time_keep_the_order_of_the_interfaces(tmp_path: Path) -> None:
    stats = [record(tmp_path, node, "eth0", [(SECOND, node.encode())] * 2) for node in ("z", "m", "a")]
    summary = assemble(tmp_path, stats, "", {}, {})
    assert [frame.node for frame in frames(summary.files[0].read_bytes())] == ["z", "z", "m", "m", "a", "a"]


def test_what_is_known_goes_into_every_file_before_the_packets(tmp_path: Path) -> None:
    stats = [record(tmp_path, "a", "eth0", [(7, b"x")]), record(tmp_path, "b", "eth1", [])]
    stats[0]["dropped"] = 3
    names = {"a.example": ["192.0.2.1", "2001:db8::1"], "b.example": ["192.0.2.1"]}
    summary = assemble(tmp_path, stats, "CLIENT_RANDOM 00 11\n", names, {("a", "eth0"): "London"})
    _, first, second, secrets, known, packet, one, other = blocks(summary.files[0])
    assert (first, second) == (
        Interface("a:eth0", "London", 1, 65535, 0),
        Interface("b:eth1", "", 1, 65535, 0),
    )
    assert secrets == Secrets(pcapng.TLS_KEY_LOG, b"CLIENT_RANDOM 00 11\n")
    assert known == Names({"192.0.2.1": ("a.example", "b.example"), "2001:db8::1": ("a.example",)})
    assert packet == Packet(0, 7, 1, b"x")
    assert (one, other) == (Statistics(0, 7, 4, 3), Statistics(1, 7, 0, 0))
    assert summary.dropped == 3
    assert [type(block).__name__ for block in blocks(summary.files[2])] == [
        "Section",
        "Interface",
        "Secrets",
        "Names",
        "Statistics",
    ]


def test_odd_interface_names_are_safe_file_names(tmp_path: Path) -> None:
    assert stem("client-a", "eth0.100") == "client-a.eth0.100"
    assert stem("a", "x/../y") == "a.x%2F..%2Fy"
    assert len({stem("a", name) for name in ("a:b", "a_b", "a%3Ab")}) == 3
    summary = assemble(tmp_path, [record(tmp_path, "a", "x:y", [(1, b"z")])], "", {}, {})
    assert [frame.interface for frame in frames(summary.files[1].read_bytes())] == ["x:y"]


def test_a_damaged_file_stops_the_assembly_and_stays(tmp_path: Path) -> None:
    stats = [record(tmp_path, node, "eth0", [(1, b"abc")]) for node in ("a", "b")]
    path = raw(tmp_path, "b", "eth0")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(
        CaptureError, match=r"b\.eth0\.pcap: byte 24: the file ends within a packet of 3 bytes"
    ):
        assemble(tmp_path, stats, "", {}, {})
    assert path.exists()
    assert raw(tmp_path, "a", "eth0").exists()


@pytest.mark.parametrize(("content", "cause"), [(None, "No such file"), (b"", "byte 0: not a pcap file")])
def test_a_missing_or_empty_file_is_told(tmp_path: Path, content: bytes | None, cause: str) -> None:
    if content is not None:
        raw(tmp_path, "a", "eth0").write_bytes(content)
    with pytest.raises(CaptureError, match=cause):
        assemble(tmp_path, [Counts(node="a", interface="eth0", packets=0, dropped=0)], "", {}, {})


def test_comments_are_put_on_frames(tmp_path: Path) -> None:
    stats = [record(tmp_path, "a", "eth0", [(n, b"%d" % n) for n in range(1, 6)])]
    path = assemble(tmp_path, stats, "", {}, {}).files[0]
    annotate(path, {2: "the request", 5: "the response"})
    found = {block.data: block.comment for block in blocks(path) if isinstance(block, Packet)}
    assert found == {b"1": "", b"2": "the request", b"3": "", b"4": "", b"5": "the response"}
    assert [item.name for item in tmp_path.iterdir() if item.suffix == ".new"] == []


def test_a_damaged_file_is_not_replaced_by_its_comments(tmp_path: Path) -> None:
    stats = [record(tmp_path, "a", "eth0", [(1, b"abc")])]
    path = assemble(tmp_path, stats, "", {}, {}).files[0]
    damaged = path.read_bytes()[:-1]
    path.write_bytes(damaged)
    with pytest.raises(CaptureError, match=r"trace\.pcapng: byte \d+: the file ends within a block"):
        annotate(path, {1: "x"})
    assert path.read_bytes() == damaged
    assert sorted(item.name for item in tmp_path.iterdir()) == ["hops", "trace.pcapng"]
