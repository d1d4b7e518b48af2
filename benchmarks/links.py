"""How true links are, each figure beside its target: python -m benchmarks.links [netem | wire], as root.

Times are the kernel's own stamps on frames that leave `a` and come to `b`, so nothing of the measuring
programs is in them; round trips are ICMP echoes that b's kernel answers. A plain veth without any backend
is the reference. Backends that aren't named, or that the kernel lacks, are left out.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from benchmarks.links_chance import bursts, jitters
from benchmarks.links_rig import Backend, Rig, child, inside, rig
from netlab.fabric.enter import enter, in_thread
from netlab.fabric.probe import probe
from netlab.model.impairment import Impairment
from netlab.wire.frame import VNET
from netlab.wire.ring import Ring, open_socket
from netlab.wire.store import Store
from netlab.wire.syscalls import sharpen_timers
from netlab.wire.transmit import Transmitter

MS = 1_000_000
FRAME_BYTES = 1500
_KIND = 0x88B5  # IEEE 802, for local experiments: b's kernel drops it early
_MACS = bytes.fromhex("020000000002020000000001")
_GROUP = 16  # frames in one send
_SOL_PACKET, _PACKET_STATISTICS, _SO_TIMESTAMPNS, _SO_RCVBUFFORCE = 263, 6, 35, 33
_ETH_P_ALL = 3


def stamped(kind: int, protocol: int) -> socket.socket:
    """A packet or ICMP socket with time stamps and room for all that one measurement brings."""
    family = socket.AF_PACKET if kind == _ETH_P_ALL else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_RAW, protocol)
    opened.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 32 << 20)
    opened.setblocking(False)
    return opened


def packets() -> socket.socket:
    return stamped(_ETH_P_ALL, socket.htons(_ETH_P_ALL))


def icmp() -> socket.socket:
    return stamped(0, socket.IPPROTO_ICMP)


def received(source: socket.socket, offset: int, kind: int) -> dict[int, int]:
    """Sequence number ─► time stamp of the ICMP messages of that kind; IPv4 starts at `offset`."""
    times: dict[int, int] = {}
    while True:
        try:
            data, ancillary, _, _ = source.recvmsg(200, 100)
        except BlockingIOError:
            return times
        if data[offset + 9 : offset + 10] == b"\x01" and data[offset + 20] == kind:
            seconds, ns = struct.unpack_from("=qq", ancillary[0][2])
            times[struct.unpack_from("!H", data, offset + 26)[0]] = seconds * 1_000_000_000 + ns


def echo(sequence: int) -> bytes:
    """An ICMP echo request with 56 bytes of data (RFC 792)."""
    body = struct.pack("!BBHHH", 8, 0, 0, 77, sequence) + bytes(56)
    total = sum(struct.unpack("!32H", body))
    total = (total & 0xFFFF) + (total >> 16)
    return body[:2] + struct.pack("!H", 0xFFFF & ~(total + (total >> 16))) + body[4:]


def probes(on: Rig, count: int, gap_s: float, wait_s: float = 0.3) -> tuple[list[int], list[int]]:
    """One-way times a ─► b and round trips, in ns, of `count` echoes."""
    with inside(on.a, packets) as at_a, inside(on.b, packets) as at_b, inside(on.a, icmp) as pinger:
        sent = {}
        for sequence in range(count):
            sent[sequence] = time.clock_gettime_ns(time.CLOCK_REALTIME)
            pinger.sendto(echo(sequence), ("10.0.0.2", 0))
            time.sleep(gap_s)
        time.sleep(wait_s)
        left = received(at_a, 14, 8)
        came = received(at_b, 14, 8)
        back = received(pinger, 0, 0)
    return (
        [came[n] - left[n] for n in sorted(came.keys() & left.keys())],
        [back[n] - sent[n] for n in sorted(back)],
    )


def blast(on: Rig, rate_bps: float, seconds: float) -> int:
    """A process that sends frames of 1500 bytes from a to b at that rate; its id."""

    def body() -> None:
        with suppress(PermissionError):  # as hardware would, whatever else the machine does
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        enter(on.a)
        opened, store = open_socket(), Store(1)
        kept = store.keep(
            memoryview(bytes(VNET) + _MACS + struct.pack("!H", _KIND) + bytes(FRAME_BYTES - 14))
        )
        assert kept is not None
        transmitter = Transmitter(opened.fileno(), (socket.if_nametoindex("eth0"),))
        frames = [(0, VNET + FRAME_BYTES, kept)] * _GROUP
        gap_s = _GROUP * FRAME_BYTES * 8 / rate_bps
        due = time.monotonic()
        for _ in range(groups(rate_bps, seconds)):
            time.sleep(max(0.0, due - time.monotonic()))
            transmitter.send(frames)
            due += gap_s

    return child(body)


def groups(rate_bps: float, seconds: float) -> int:
    """How many groups of frames `blast` sends."""
    return math.ceil(rate_bps * seconds / (FRAME_BYTES * 8 * _GROUP))


def counted(namespace_fd: int) -> socket.socket:
    """A packet socket that only counts the frames of `blast` that come in."""

    def opened() -> socket.socket:
        return socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_KIND))

    return inside(namespace_fd, opened)


def count(counter: socket.socket) -> int:
    """Frames since the last call, those that found no room in the socket included."""
    found: int = struct.unpack("=II", counter.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))[0]
    return found


def most_bps(seconds: float = 1.0) -> float:
    """How much `blast` can offer on this machine, over a plain veth."""
    with rig("none", Impairment()) as on, counted(on.b) as counter:
        began = time.monotonic()
        os.waitpid(blast(on, 20e9, seconds / 20), 0)
        return count(counter) * FRAME_BYTES * 8 / (time.monotonic() - began)


def cpu_s(pid: int) -> float:
    """Processor time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def percentiles_ms(errors_ns: list[int]) -> tuple[float, float]:
    """Median and 99th percentile of the sizes of errors, in ms."""
    sizes = sorted(abs(error) / 1e6 for error in errors_ns)
    return statistics.median(sizes), sizes[int(len(sizes) * 0.99)]


def timers(seconds: float = 4.0, gap_ns: int = 4 * MS) -> None:
    """How late this machine wakes a real-time process: what no relay's tail can be better than."""
    reading, writing = os.pipe()

    def body() -> None:
        with suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
        sharpen_timers()
        late: list[int] = []
        for _ in range(int(seconds * 1e9 / gap_ns)):
            due = time.monotonic_ns() + gap_ns
            time.sleep(gap_ns / 1e9)
            late.append(time.monotonic_ns() - due)
        os.write(writing, json.dumps([*percentiles_ms(late), max(late) / 1e6]).encode())

    pid = child(body)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        median_ms, p99_ms, worst_ms = json.load(pipe)
    os.waitpid(pid, 0)
    print(
        f"floor a timer of this machine fires late by {median_ms:.3f} ms, p99 {p99_ms:.3f} ms, "
        f"at most {worst_ms:.3f} ms   the floor of every tail below",
        flush=True,
    )


def delays(backend: Backend, count_: int = 1000) -> None:
    median_ms = {"none": 0.0, "netem": 0.05, "wire": 0.1}[backend]
    cases = [0] if backend == "none" else [0, 1, 5, 20, 100]
    for delay_ms in cases:
        with rig(backend, Impairment(delay_ns=delay_ms * MS)) as on:
            one_way, round_trip = probes(on, count_, 0.004)
        one = percentiles_ms([time_ns - delay_ms * MS for time_ns in one_way])
        both = percentiles_ms([time_ns - 2 * delay_ms * MS for time_ns in round_trip])
        print(
            f"{backend:5} delay {delay_ms:3} ms: one-way error median {one[0]:.3f} ms, p99 {one[1]:.3f} ms; "
            f"round trip error {both[0]:.3f} ms, p99 {both[1]:.3f} ms"
            + (f"   at most {median_ms} and 0.5 one way" if median_ms else "   the floor: a plain veth"),
            flush=True,
        )


def losses(backend: Backend, able_bps: float, frames: int = 10_000) -> None:
    """At a pace that the machine is able to offer, or the backend would not be what loses."""
    seconds = max(0.5, frames * FRAME_BYTES * 8 / (able_bps / 2))
    rate_bps = frames * FRAME_BYTES * 8 / seconds
    for loss in (0.001, 0.01, 0.05, 0.2):
        with rig(backend, Impairment(loss=loss)) as on, counted(on.b) as counter:
            os.waitpid(blast(on, rate_bps, seconds), 0)
            time.sleep(0.1)
            sent = groups(rate_bps, seconds) * _GROUP
            lost = sent - count(counter)
        spread = 2.576 * math.sqrt(sent * loss * (1 - loss))
        low, high = sent * loss - spread, sent * loss + spread
        verdict = "inside" if low - 1 <= lost <= high + 1 else "OUTSIDE"
        print(
            f"{backend:5} loss {loss:6.1%}: {lost} of {sent}   {verdict} 99% interval {low:.0f}..{high:.0f}"
        )


def rates(backend: Backend, able_bps: float) -> None:
    for rate_bps, seconds in ((1_000_000, 2.0), (10_000_000, 1.0), (100_000_000, 1.0), (1_000_000_000, 0.5)):
        if rate_bps > able_bps / 2:
            print(f"{backend:5} rate {rate_bps / 1e6:5.0f} Mbit/s: not measured, {_slow(able_bps)}")
            continue
        stamps: list[int] = []

        def take(_index: int, time_ns: int, data: memoryview, stamps: list[int] = stamps) -> None:
            if len(data) == VNET + FRAME_BYTES:
                stamps.append(time_ns)

        impairment = Impairment(rate_bps=rate_bps, limit_packets=100_000)
        with rig(backend, impairment) as on, inside(on.b, open_socket) as opened:
            ring, offered = Ring(opened), 1.5  # of the rate, so that the line is never idle
            sender, end = blast(on, rate_bps * offered, seconds), time.monotonic() + seconds * offered + 0.2
            while time.monotonic() < end:
                ring.read(take, 10_000)
                time.sleep(0.001)
            os.waitpid(sender, 0)
        if len(stamps) < 2:
            print(f"{backend:5} rate {rate_bps / 1e6:5.0f} Mbit/s: nothing arrived")
            continue
        measured = (len(stamps) - 1) * FRAME_BYTES * 8 * 1e9 / (stamps[-1] - stamps[0])
        print(
            f"{backend:5} rate {rate_bps / 1e6:5.0f} Mbit/s: {measured / 1e6:9.3f} Mbit/s, "
            f"{measured / rate_bps - 1:+.3%}   within 1%",
            flush=True,
        )


def _slow(able_bps: float) -> str:
    return (
        f"since this machine's sender is good for {able_bps / 1e6:.0f} Mbit/s, and should have half to spare"
    )


def throughput(backend: Backend, able_bps: float, seconds: float = 2.0) -> None:
    for gbit in (1.0, 1.5, 2.0, 2.5, 3.0):
        if gbit * 1e9 > able_bps:
            print(f"{backend:5} {gbit:g} Gbit/s and more: not measured, {_slow(able_bps)}")
            return
        with (
            rig(backend, Impairment(delay_ns=10 * MS, limit_packets=100_000)) as on,
            counted(on.b) as counter,
        ):
            busy_s = cpu_s(on.relay) if on.relay else 0.0
            began = time.monotonic()
            os.waitpid(blast(on, gbit * 1e9, seconds), 0)
            took_s = time.monotonic() - began
            time.sleep(0.2)
            got = count(counter)
            busy_s = cpu_s(on.relay) - busy_s if on.relay else 0.0
            late = on.stats().get("late", 0)
        sent = groups(gbit * 1e9, seconds) * _GROUP
        print(
            f"{backend:5} 1500-byte frames, 10 ms, {gbit * seconds / took_s:.2f} Gbit/s: {got / sent:8.3%} "
            f"arrived, {late / max(got, 1):7.3%} over 1 ms late, {busy_s / took_s:4.0%} of a core"
            + ("   all, at 1.5" if gbit == 1.5 else ""),
            flush=True,
        )


def stream(backend: Backend, able_bps: float, seconds: int = 3) -> None:
    """TCP by iperf3 over a line of 100 Mbit/s and 5 ms; 10 Mbit/s where iperf3 would be what is slow."""
    if shutil.which("iperf3") is None:
        print(f"{backend:5} TCP: iperf3 is not installed")
        return
    rate_bps = 100_000_000 if able_bps > 1e9 else 10_000_000
    with rig(backend, Impairment(delay_ns=5 * MS, rate_bps=rate_bps, limit_packets=1000)) as on:

        def run(namespace_fd: int, *options: str) -> subprocess.Popen[str]:
            def started() -> subprocess.Popen[str]:
                enter(namespace_fd)
                return subprocess.Popen(["iperf3", "--json", *options], stdout=subprocess.PIPE, text=True)

            return in_thread(started)

        server = run(on.b, "-s", "-1")
        while True:  # until the server listens
            client = run(on.a, "-c", "10.0.0.2", "-t", str(seconds), "-O", "1")
            text = client.communicate()[0]
            if client.returncode == 0:
                break
        server.communicate()
    measured = json.loads(text)["end"]["sum_received"]["bits_per_second"]
    expected = rate_bps * 1448 / 1514  # TCP with time stamps, over IPv4 and Ethernet
    print(
        f"{backend:5} TCP at {rate_bps // 10**6} Mbit/s, 5 ms: {measured / 1e6:.2f} Mbit/s, "
        f"{measured / expected - 1:+.2%} of {expected / 1e6:.2f}   within 1%"
    )


def idle(backend: Backend, _able_bps: float, links: int = 50, seconds: float = 3.0) -> None:
    if backend != "wire":
        return
    with rig(backend, Impairment(delay_ns=20 * MS), idle_links=links) as on:
        assert on.relay is not None
        before = cpu_s(on.relay)
        time.sleep(seconds)
        used = (cpu_s(on.relay) - before) / seconds
        one_way, _ = probes(on, 500, 0.004)
        memory = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{on.relay}/status").read_text())
    median_ms, p99_ms = percentiles_ms([time_ns - 20 * MS for time_ns in one_way])
    assert memory is not None
    print(f"{backend:5} {links} idle links: {used:.2%} of a core, {int(memory[1]) // 1024} MB   under 1%")
    print(
        f"{backend:5} one busy beside them, 20 ms: error median {median_ms:.3f} ms, p99 {p99_ms:.3f} ms"
        "   at most 0.1 and 0.5"
    )


def main() -> None:
    """Print every figure of every backend that the kernel has."""
    if os.geteuid() != 0:
        sys.exit("the benchmark makes namespaces: run it as root")
    os.setpriority(os.PRIO_PROCESS, 0, -20)  # the senders, so that other programs don't slow them down
    timers()
    able_bps = most_bps()
    print(f"floor this machine's sender can offer {able_bps / 1e9:.2f} Gbit/s of {FRAME_BYTES}-byte frames")
    delays("none")
    there: list[Backend] = ["netem", "wire"] if probe().netem else ["wire"]
    backends = [backend for backend in there if backend in (sys.argv[1:] or there)]
    for backend in backends:
        delays(backend)
        losses(backend, able_bps)
        bursts(backend)
        jitters(backend, probes)
        for measure in (rates, throughput, stream, idle):
            measure(backend, able_bps)


if __name__ == "__main__":
    main()
