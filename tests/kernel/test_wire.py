"""The relay between real namespaces: delay, loss, rate, change, tags, long frames, and its end.

Bounds of time are wide, because the machine is shared; `make bench-links` measures exactly.
"""

from __future__ import annotations

import math
import os
import signal
import socket
import statistics
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from netlab.errors import KernelError
from netlab.fabric.enter import in_thread
from netlab.fabric.kernel import Kernel
from netlab.model.impairment import Impairment
from netlab.plan.ops import (
    WIRE,
    CreateNamespace,
    StartWire,
    WireLink,
)
from netlab.wire.relay import serve
from tests.kit.inside import inside, run_inside, udp_socket
from tests.kit.poll import poll_until
from tests.kit.wired import (
    ECHO,
    ETH_P_ALL,
    LINK,
    MACS,
    Start,
    Wired,
    carried,
    frame_of,
    packet_socket,
    pour,
    received,
    run_child,
    starting,
)

MS = 1_000_000
_SOL_PACKET, _PACKET_AUXDATA, _SO_TIMESTAMPNS = 263, 8, 35


@pytest.fixture
def start(kernel: Kernel) -> Iterator[Start]:
    with starting(kernel) as started:
        yield started


def round_trips_ms(wired: Wired, count: int) -> list[float]:
    """Of `count` pings, 10 ms apart, after one that resolves the addresses."""
    run_inside(wired.a, "ping", "-n", "-c", "1", "-w", "5", "10.0.0.2")
    text = run_inside(wired.a, "ping", "-n", "-c", str(count), "-i", "0.01", "-w", "20", "10.0.0.2")
    return [float(line.split("time=")[1].split()[0]) for line in text.splitlines() if "time=" in line]


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
    with udp_socket(wired.a, "10.0.0.1") as source, udp_socket(wired.b, "10.0.0.2", ECHO) as sink:
        sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        got = pour(source, sink, frames, 100)
        poll_until(lambda: sum(map(wired.counters("up").get, ("frames", "lost"), (0, 0))) >= frames, "all")
        got += received(sink)
    counters = wired.counters("up")
    spread = 3.3 * math.sqrt(frames * loss * (1 - loss))  # 99.9%
    assert abs(counters["lost"] - frames * loss) <= spread + 1, (counters, frames * loss, spread)
    assert len(got) == frames - counters["lost"], counters


def test_frames_come_at_the_rate(start: Start) -> None:
    frames, length, rate_bps = 800, 1208, 20_000_000  # 1250 bytes with its headers: 0.5 ms each
    wired = start(Impairment(rate_bps=rate_bps), Impairment())
    with udp_socket(wired.a, "10.0.0.1") as source, udp_socket(wired.b, "10.0.0.2", ECHO) as sink:
        sink.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        pour(source, sink, 1, length)  # resolves the address
        sink.settimeout(5)
        sink.recv(2000)
        for number in range(frames):
            source.sendto(struct.pack("!I", number).ljust(length), ("10.0.0.2", ECHO))
        stamps = [_arrival_ns(sink) for _ in range(frames)]
    measured = (frames - 1) * 1250 * 8 * 1e9 / (stamps[-1] - stamps[0])
    assert 0.95 * rate_bps < measured < 1.05 * rate_bps, (measured, rate_bps)


def test_a_full_queue_drops_and_counts(start: Start) -> None:
    wired = start(Impairment(rate_bps=1_000_000, limit_packets=10), Impairment())
    with udp_socket(wired.a, "10.0.0.1") as source, udp_socket(wired.b, "10.0.0.2", ECHO) as sink:
        pour(source, sink, 1, 1000)
        sink.settimeout(5)
        sink.recv(2000)
        pour(source, sink, 60, 1000, group=60)
        poll_until(lambda: wired.ask(op="stats")["ok"]["in_flight"] == 0, "the queue is empty")
        got = received(sink)
    assert 10 <= len(got) <= 13, len(got)  # what leaves while the 60 are sent makes room
    assert wired.counters("up")["overlimit"] == 60 - len(got)


def test_a_change_is_at_once_and_loses_nothing_in_flight(start: Start) -> None:
    wired = start(Impairment(delay_ns=300 * MS), Impairment())
    run_inside(wired.a, "ping", "-n", "-c", "1", "-w", "5", "10.0.0.2")
    with udp_socket(wired.a, "10.0.0.1") as source, udp_socket(wired.b, "10.0.0.2", ECHO) as sink:
        source.sendto(b"slow", ("10.0.0.2", ECHO))
        poll_until(lambda: wired.ask(op="stats")["ok"]["in_flight"] == 1, "the frame is in flight")
        assert "ok" in wired.ask(op="set", link=LINK, up={"delay_ns": 5 * MS})
        source.sendto(b"fast", ("10.0.0.2", ECHO))
        assert [sink.recv(100), sink.recv(100)] == [b"fast", b"slow"]


def test_a_wrong_change_is_refused_and_the_link_goes_on(start: Start) -> None:
    wired = start(Impairment(delay_ns=MS))
    assert wired.ask(op="set", link=LINK, up={"loss": 7})["error"]["kind"] == "InputError"
    assert len(round_trips_ms(wired, 3)) == 3


def test_frames_arrive_as_they_were_sent(start: Start) -> None:
    """Bytes and order, at lengths from the shortest frame to the longest."""
    wired = start(Impairment(delay_ns=2 * MS))
    frames = [frame_of(0x88B5, bytes([length % 251]) * length) for length in (46, 100, 1000, 1499, 1500)]
    assert carried(wired, frames) == frames


def test_a_vlan_tag_stays(start: Start) -> None:
    """Linux takes the tag off before any packet socket sees the frame, and tells it apart."""
    wired = start(Impairment(delay_ns=2 * MS))
    inner = struct.pack("!H", 0x88B5) + b"tagged".ljust(50)
    with packet_socket(wired.a, 0) as source, packet_socket(wired.b, ETH_P_ALL) as sink:
        sink.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
        source.send(frame_of(0x8100, struct.pack("!H", 0x2005) + inner))
        data, ancillary, _, _ = sink.recvmsg(2000, 200)
    assert data == MACS + inner
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
                run_child(lambda: client.sendall(data))
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
