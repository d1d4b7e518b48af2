"""The relay between real namespaces: delay, loss, rate, change, tags, long frames, and its end.

Bounds of time are wide, because the machine is shared; `make bench-links` measures exactly.
"""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import statistics
import struct
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from netlab.errors import KernelError
from netlab.fabric.enter import in_thread
from netlab.fabric.kernel import Kernel
from netlab.model.impairment import Impairment
from netlab.plan.ops import (
    WIRE,
    AddAddress,
    CreateNamespace,
    CreateVeth,
    Operation,
    Port,
    SetOffloads,
    SetSysctl,
    StartWire,
    WireLink,
)
from netlab.wire.relay import serve
from tests.kit.inside import inside, run_inside, udp_socket
from tests.kit.poll import poll_until

MS = 1_000_000
LINK = "a:eth0--b:eth0"
_ECHO = 7
_MACS = bytes.fromhex("020000000002020000000001")
_ETH_P_ALL, _SOL_PACKET, _PACKET_AUXDATA, _SO_TIMESTAMPNS = 3, 263, 8, 35


def two_hosts(mtu: int, *, offload: bool) -> list[Operation]:
    """a:eth0 10.0.0.1 -- (wire) -- b:eth0 10.0.0.2, neither knowing IPv6."""
    operations: list[Operation] = [CreateNamespace(WIRE)]
    for number, node in enumerate("ab", start=1):
        operations += [
            CreateNamespace(node),
            CreateVeth(
                Port(node, "eth0", f"02:00:00:00:00:0{number}", mtu),
                Port(WIRE, f"w{number}", f"02:00:00:00:01:0{number}", mtu),
            ),
            SetSysctl(node, "net.ipv6.conf.eth0.disable_ipv6", "1"),
            SetSysctl(WIRE, f"net.ipv6.conf.w{number}.disable_ipv6", "1"),
            SetOffloads(node, "eth0", offload),
            AddAddress(node, "eth0", f"10.0.0.{number}/24"),
        ]
    return operations


class Wired:
    """Two hosts and the relay between them."""

    def __init__(self, kernel: Kernel, up: Impairment, down: Impairment, mtu: int, *, offload: bool) -> None:
        kernel.apply(two_hosts(mtu, offload=offload))
        self.a, self.b = kernel.namespace("a"), kernel.namespace("b")
        self.control, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            self.control.close()
            start = StartWire((WireLink(LINK, "w1", "w2", up, down),))
            _child(lambda: serve(start, kernel.namespace(WIRE), theirs, seed=1))
        theirs.close()
        self.control.settimeout(10)
        self._answers = self.control.makefile("r")
        assert json.loads(self._answers.readline()) == {"ready": True}

    def ask(self, **request: object) -> dict[str, Any]:
        self.control.sendall(json.dumps(request).encode() + b"\n")
        answer: dict[str, Any] = json.loads(self._answers.readline())
        return answer

    def counters(self, direction: str) -> dict[str, int]:
        found: dict[str, int] = self.ask(op="stats")["ok"]["links"][LINK][direction]
        return found

    def close(self) -> int:
        """End the relay; its exit status."""
        self._answers.close()
        self.control.close()
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def _child(body: Callable[[], None]) -> None:
    status = 1
    try:
        body()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


Start = Callable[..., Wired]


@pytest.fixture
def start(kernel: Kernel) -> Iterator[Start]:
    """Starts the relay; ends it, and says so if it didn't end well."""
    started: list[Wired] = []

    def begin(
        up: Impairment, down: Impairment | None = None, mtu: int = 1500, *, offload: bool = False
    ) -> Wired:
        started.append(Wired(kernel, up, down or up, mtu, offload=offload))
        return started[-1]

    yield begin
    assert [wired.close() for wired in started] == [0] * len(started)


def round_trips_ms(wired: Wired, count: int) -> list[float]:
    """Of `count` pings, 10 ms apart, after one that resolves the addresses."""
    run_inside(wired.a, "ping", "-n", "-c", "1", "-w", "5", "10.0.0.2")
    text = run_inside(wired.a, "ping", "-n", "-c", str(count), "-i", "0.01", "-w", "20", "10.0.0.2")
    return [float(line.split("time=")[1].split()[0]) for line in text.splitlines() if "time=" in line]


def pour(source: socket.socket, sink: socket.socket, count: int, length: int, group: int = 50) -> list[bytes]:
    """Send `count` datagrams from 10.0.0.1 to 10.0.0.2, `group` at a time, and receive what comes."""
    got: list[bytes] = []
    sink.setblocking(False)
    for first in range(0, count, group):
        for number in range(first, min(first + group, count)):
            source.sendto(struct.pack("!I", number).ljust(length, b"."), ("10.0.0.2", _ECHO))
        got += _received(sink)
    return got


def _received(sink: socket.socket) -> list[bytes]:
    got: list[bytes] = []
    while True:
        try:
            got.append(sink.recv(65536))
        except BlockingIOError:
            return got


def _arrival_ns(sink: socket.socket) -> int:
    """The kernel's time stamp of the next datagram."""
    _, ((_, _, stamp), *_), _, _ = sink.recvmsg(2000, 100)
    seconds, ns = struct.unpack("=qq", stamp)
    return int(seconds * 1_000_000_000 + ns)


def test_a_round_trip_takes_both_delays(start: Start) -> None:
    wired = start(Impairment(delay_ns=15 * MS), Impairment(delay_ns=5 * MS))
    times = round_trips_ms(wired, 50)
    assert len(times) == 50
    assert min(times) > 19.9, times
    assert statistics.median(times) < 21, times


def test_the_count_of_losses_is_in_its_binomial_interval(start: Start) -> None:
    frames, loss = 5_000, 0.05
    wired = start(Impairment(loss=loss), Impairment())
    with udp_socket(wired.a, "10.0.0.1") as source, udp_socket(wired.b, "10.0.0.2", _ECHO) as sink:
        sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        got = pour(source, sink, frames, 100)
        poll_until(lambda: sum(map(wired.counters("up").get, ("frames", "lost"), (0, 0))) >= frames, "all")
        got += _received(sink)
    counters = wired.counters("up")
    spread = 3.3 * math.sqrt(frames * loss * (1 - loss))  # 99.9%
    assert abs(counters["lost"] - frames * loss) <= spread + 1, (counters, frames * loss, spread)
    assert len(got) == frames - counters["lost"], counters


def test_frames_come_at_the_rate(start: Start) -> None:
    frames, length, rate_bps = 800, 1208, 20_000_000  # 1250 bytes with its headers: 0.5 ms each
    wired = start(Impairment(rate_bps=rate_bps), Impairment())
    with udp_socket(wired.a, "10.0.0.1") as source, udp_socket(wired.b, "10.0.0.2", _ECHO) as sink:
        sink.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        pour(source, sink, 1, length)  # resolves the address
        sink.settimeout(5)
        sink.recv(2000)
        for number in range(frames):
            source.sendto(struct.pack("!I", number).ljust(length), ("10.0.0.2", _ECHO))
        stamps = [_arrival_ns(sink) for _ in range(frames)]
    measured = (frames - 1) * 1250 * 8 * 1e9 / (stamps[-1] - stamps[0])
    assert 0.95 * rate_bps < measured < 1.05 * rate_bps, (measured, rate_bps)


def test_a_full_queue_drops_and_counts(start: Start) -> None:
    wired = start(Impairment(rate_bps=1_000_000, limit_packets=10), Impairment())
    with udp_socket(wired.a, "10.0.0.1") as source, udp_socket(wired.b, "10.0.0.2", _ECHO) as sink:
        pour(source, sink, 1, 1000)
        sink.settimeout(5)
        sink.recv(2000)
        pour(source, sink, 60, 1000, group=60)
        poll_until(lambda: wired.ask(op="stats")["ok"]["in_flight"] == 0, "the queue is empty")
        got = _received(sink)
    assert 10 <= len(got) <= 13, len(got)  # what leaves while the 60 are sent makes room
    assert wired.counters("up")["overlimit"] == 60 - len(got)


def test_a_change_is_at_once_and_loses_nothing_in_flight(start: Start) -> None:
    wired = start(Impairment(delay_ns=300 * MS), Impairment())
    run_inside(wired.a, "ping", "-n", "-c", "1", "-w", "5", "10.0.0.2")
    with udp_socket(wired.a, "10.0.0.1") as source, udp_socket(wired.b, "10.0.0.2", _ECHO) as sink:
        source.sendto(b"slow", ("10.0.0.2", _ECHO))
        poll_until(lambda: wired.ask(op="stats")["ok"]["in_flight"] == 1, "the frame is in flight")
        assert "ok" in wired.ask(op="set", link=LINK, up={"delay_ns": 5 * MS})
        source.sendto(b"fast", ("10.0.0.2", _ECHO))
        assert [sink.recv(100), sink.recv(100)] == [b"fast", b"slow"]


def test_a_wrong_change_is_refused_and_the_link_goes_on(start: Start) -> None:
    wired = start(Impairment(delay_ns=MS))
    assert wired.ask(op="set", link=LINK, up={"loss": 7})["error"]["kind"] == "InputError"
    assert len(round_trips_ms(wired, 3)) == 3


def test_frames_arrive_as_they_were_sent(start: Start) -> None:
    """Bytes and order, at lengths from the shortest frame to the longest."""
    wired = start(Impairment(delay_ns=2 * MS))
    frames = [_frame(0x88B5, bytes([length % 251]) * length) for length in (46, 100, 1000, 1499, 1500)]
    assert _carried(wired, frames) == frames


def test_a_vlan_tag_stays(start: Start) -> None:
    """Linux takes the tag off before any packet socket sees the frame, and tells it apart."""
    wired = start(Impairment(delay_ns=2 * MS))
    inner = struct.pack("!H", 0x88B5) + b"tagged".ljust(50)
    with _packet_socket(wired.a, 0) as source, _packet_socket(wired.b, _ETH_P_ALL) as sink:
        sink.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
        source.send(_frame(0x8100, struct.pack("!H", 0x2005) + inner))
        data, ancillary, _, _ = sink.recvmsg(2000, 200)
    assert data == _MACS + inner
    (_, _, auxiliary), *_ = ancillary
    assert struct.unpack_from("=HH", auxiliary, 16) == (0x2005, 0x8100)


@pytest.mark.parametrize(("mtu", "offload"), [(1500, False), (1500, True), (9000, False)])
def test_a_stream_arrives_whole(start: Start, mtu: int, offload: bool) -> None:
    """With offloads frames are up to 64 KiB long, and their checksums unfinished."""
    wired = start(Impairment(delay_ns=MS), mtu=mtu, offload=offload)
    data = os.urandom(1 << 20) * 8

    def listen() -> socket.socket:
        return socket.create_server(("10.0.0.2", 80))

    with inside(wired.b, listen) as server:
        client = inside(wired.a, lambda: socket.create_connection(("10.0.0.2", 80), timeout=5))
        accepted = server.accept()[0]
        with client, accepted:
            sender = os.fork()
            if sender == 0:
                _child(lambda: client.sendall(data))
            client.close()
            got = b"".join(iter(lambda: accepted.recv(1 << 20), b""))
            assert os.waitstatus_to_exitcode(os.waitpid(sender, 0)[1]) == 0
    assert got == data
    stats = wired.ask(op="stats")["ok"]
    assert (stats["unable"], stats["links"][LINK]["up"]["unable"]) == (0, 0)
    mean_bytes = stats["links"][LINK]["up"]["bytes"] / stats["links"][LINK]["up"]["frames"]
    assert (mean_bytes > mtu + 14) == offload, mean_bytes


def test_an_interface_that_is_not_there_is_an_error(kernel: Kernel) -> None:
    kernel.apply([CreateNamespace(WIRE)])
    link = WireLink(LINK, "w1", "w2", Impairment(), Impairment())
    mine, theirs = socket.socketpair()
    with mine, theirs, pytest.raises(KernelError, match="find interface w1: No such device"):
        in_thread(lambda: serve(StartWire((link,)), kernel.namespace(WIRE), theirs, seed=1))


def test_sigterm_ends_it(start: Start) -> None:
    wired = start(Impairment(delay_ns=MS))
    os.kill(wired.pid, signal.SIGTERM)
    assert wired.control.recv(1) == b""


def test_an_idle_relay_sleeps(start: Start) -> None:
    wired = start(Impairment(delay_ns=MS))
    run_inside(wired.a, "ping", "-n", "-c", "1", "-w", "5", "10.0.0.2")
    poll_until(lambda: wired.ask(op="stats")["ok"]["in_flight"] == 0, "nothing is in flight")
    first, deadline = _cpu_s(wired.pid), time.monotonic() + 1
    poll_until(lambda: time.monotonic() > deadline, "a second has passed")
    assert _cpu_s(wired.pid) - first <= 0.02


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _frame(kind: int, payload: bytes) -> bytes:
    return _MACS + struct.pack("!H", kind) + payload


def _packet_socket(namespace_fd: int, kind: int) -> socket.socket:
    def opened() -> socket.socket:
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(kind))
        raw.bind(("eth0", kind))
        raw.settimeout(5)
        return raw

    return inside(namespace_fd, opened)


def _carried(wired: Wired, frames: list[bytes]) -> list[bytes]:
    """What arrives at b of the frames that a sends, all of one Ethernet type."""
    with _packet_socket(wired.a, 0) as source, _packet_socket(wired.b, 0x88B5) as sink:
        for frame in frames:
            source.send(frame)
        return [sink.recv(65536) for _ in frames]


def test_one_bit_of_a_corrupt_frame_is_flipped(start: Start) -> None:
    wired = start(Impairment(corrupt=1.0), Impairment())
    sent = _frame(0x88B5, bytes(range(200)))
    came: list[bytes] = []
    with _packet_socket(wired.a, 0) as source, _packet_socket(wired.b, _ETH_P_ALL) as sink:
        for _ in range(50):
            source.send(sent)
        while len(came) < 50:
            came.append(sink.recv(2000))
    flipped = [int.from_bytes(one) ^ int.from_bytes(sent) for one in came]
    assert [len(one) for one in came] == [len(sent)] * 50
    assert [one.bit_count() for one in flipped] == [1] * 50, flipped
    assert len(set(flipped)) > 30, flipped


def test_what_a_corrupt_stream_brings_is_right_nevertheless(start: Start) -> None:
    """Checksums that the sender's kernel left unfinished must not hide the flipped bits."""
    wired = start(Impairment(corrupt=0.2), Impairment(), offload=True)
    data = os.urandom(1 << 18)
    with inside(wired.b, lambda: socket.create_server(("10.0.0.2", 80))) as server:
        client = inside(wired.a, lambda: socket.create_connection(("10.0.0.2", 80), timeout=10))
        accepted = server.accept()[0]
        with client, accepted:
            sender = os.fork()
            if sender == 0:
                _child(lambda: client.sendall(data))
            client.close()
            got = b"".join(iter(lambda: accepted.recv(1 << 20), b""))
            assert os.waitstatus_to_exitcode(os.waitpid(sender, 0)[1]) == 0
    assert got == data
    assert wired.counters("up")["corrupted"] > 0


def test_duplicates_come_twice(start: Start) -> None:
    wired = start(Impairment(delay_ns=MS, duplicate=1.0), Impairment())
    frames = [_frame(0x88B5, bytes([number]) * 100) for number in range(20)]
    twice = [frame for frame in frames for _ in range(2)]
    with _packet_socket(wired.a, 0) as source, _packet_socket(wired.b, 0x88B5) as sink:
        for frame in frames:
            source.send(frame)
        assert [sink.recv(65536) for _ in twice] == twice
    assert wired.counters("up")["duplicated"] == 20


@pytest.mark.parametrize(("tos", "arrives"), [(0x02, 0x03), (0x29, 0x2B), (0x03, 0x03), (0x28, None)])
def test_congestion_is_marked_where_the_packet_allows_it(start: Start, tos: int, arrives: int | None) -> None:
    """A wrong IPv4 checksum would keep the datagram from its socket."""
    wired = start(Impairment(delay_ns=MS), Impairment())
    with udp_socket(wired.a, "10.0.0.1") as source, udp_socket(wired.b, "10.0.0.2", _ECHO) as sink:
        pour(source, sink, 1, 10)  # resolves the address
        sink.settimeout(5)
        sink.recv(2000)
        assert "ok" in wired.ask(op="set", link=LINK, up={"loss": 1.0, "ecn": True})
        sink.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        source.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, tos)
        source.sendto(b"marked?", ("10.0.0.2", _ECHO))
        poll_until(lambda: wired.counters("up")["lost"] + wired.counters("up")["marked"] == 1, "it is met")
        if arrives is None:
            assert wired.counters("up")["lost"] == 1
        else:
            _, ((_, _, found), *_), _, _ = sink.recvmsg(2000, 100)
            assert found[0] == arrives


def _has_carrier(namespace_fd: int) -> bool:
    return "LOWER_UP" in run_inside(namespace_fd, "ip", "link", "show", "eth0")


def test_a_pulled_cable_takes_the_carrier_and_what_is_in_flight(start: Start) -> None:
    wired = start(Impairment(delay_ns=400 * MS), Impairment())
    run_inside(wired.a, "ping", "-n", "-c", "1", "-w", "5", "10.0.0.2")
    with udp_socket(wired.a, "10.0.0.1") as source, udp_socket(wired.b, "10.0.0.2", _ECHO) as sink:
        source.sendto(b"lost", ("10.0.0.2", _ECHO))
        poll_until(lambda: wired.ask(op="stats")["ok"]["in_flight"] == 1, "the frame is in flight")
        assert wired.ask(op="carrier", link=LINK, up=False) == {"ok": {"up": False}}
        poll_until(lambda: not _has_carrier(wired.a) and not _has_carrier(wired.b), "no carrier")
        assert wired.ask(op="show")["ok"]["links"][LINK]["carrier"] is False
        assert wired.ask(op="carrier", link=LINK, up=True) == {"ok": {"up": True}}
        poll_until(lambda: _has_carrier(wired.a) and _has_carrier(wired.b), "carrier")
        assert "ok" in wired.ask(op="set", link=LINK, up={"delay_ns": 0})
        sink.settimeout(5)
        source.sendto(b"again", ("10.0.0.2", _ECHO))
        assert sink.recv(100) == b"again"
    counters = wired.counters("up")
    assert (counters["unplugged"], counters["unable"]) == (1, 0), counters


def test_a_pulled_cable_leaves_the_other_links_alone(kernel: Kernel) -> None:
    """Frames in flight on a second link of the same relay arrive."""
    ends = [("a", "w1"), ("b", "w2"), ("c", "w3"), ("d", "w4")]
    kernel.apply([CreateNamespace(WIRE)])
    for number, (node, middle) in enumerate(ends, start=1):
        inner = Port(node, "eth0", f"02:00:00:00:00:0{number}", 1500)
        outer = Port(WIRE, middle, f"02:00:00:00:01:0{number}", 1500)
        off = [
            SetSysctl(port.node, f"net.ipv6.conf.{port.interface}.disable_ipv6", "1")
            for port in (inner, outer)
        ]
        kernel.apply([CreateNamespace(node), CreateVeth(inner, outer), *off])
    slow = Impairment(delay_ns=300 * MS)
    start = StartWire((WireLink("a--b", "w1", "w2", slow, slow), WireLink("c--d", "w3", "w4", slow, slow)))
    control, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        control.close()
        _child(lambda: serve(start, kernel.namespace(WIRE), theirs, seed=1))
    theirs.close()
    with control, control.makefile("r") as answers:
        answers.readline()
        frames = [_frame(0x88B5, bytes([number]) * 60) for number in range(10)]
        with (
            _packet_socket(kernel.namespace("c"), 0) as source,
            _packet_socket(kernel.namespace("d"), 0x88B5) as sink,
        ):
            for frame in frames:
                source.send(frame)
            control.sendall(b'{"op": "carrier", "link": "a--b", "up": false}\n')
            assert json.loads(answers.readline()) == {"ok": {"up": False}}
            assert [sink.recv(2000) for _ in frames] == frames
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
