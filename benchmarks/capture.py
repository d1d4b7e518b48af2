"""Capturing: packets that are lost, and processor time per packet, beside other programs in the same run.

Targets: none lost at 100,000 packets/s over 20 interfaces for 10 s on 2 cores; at most 1.2 times tcpdump's
processor time per packet; the report of a run of 5,000 packets in 3 s and 3 MB.

Run as root: python -m benchmarks.capture
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.capture_rig import FRAME_BYTES, Sent, rig, send, spread
from netlab.capture import recorder
from netlab.fabric.enter import enter
from netlab.proto import pcap, pcapng

NETLAB = str(Path(sys.executable).with_name("netlab"))
_PAIRS = 10
_RATE = 50_000  # frames/s that are sent; each is captured at both ends
_LONG_S, _SHORT_S = 10.0, 3.0
_ROUNDS = 3
_FEW_PAIRS = 1  # 20 processes of tshark or scapy would leave nothing of two cores to anybody
_SLOW_START_S = 5.0
_DRAIN_S = 1.5  # tcpdump's kernel ring is handed over every second

Namespaces = dict[str, int]


@dataclass(frozen=True)
class Measured:
    """What a program captured of what crossed its interfaces, and what that took of the processors."""

    sent: Sent
    captured: int
    cpu_s: float

    @property
    def crossed(self) -> int:
        return 2 * self.sent.frames

    @property
    def cost_us(self) -> float:
        """Of the program's processes, per packet."""
        return 1e6 * self.cpu_s / max(self.captured, 1)


def netlab(namespaces: Namespaces, directory: Path, seconds: float, rate: int) -> Measured:
    """The recorder as a lab forks it."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        try:
            ours.close()
            targets = [recorder.Target(node, "eth0", fd) for node, fd in namespaces.items()]
            recorder.serve(targets, directory, 262_144, "", theirs)
        finally:
            os._exit(0)
    theirs.close()
    with ours, ours.makefile("rb") as lines:
        if json.loads(lines.readline()) != {"ready": True}:
            raise RuntimeError("the recorder did not start")
        before_s = _used_s(child)
        sent = send(namespaces, rate, seconds)
        ours.sendall(b'{"op": "stop"}\n')
        lines.readline()
        _, _, usage = os.wait4(child, 0)
    return Measured(sent, _captured(directory), usage.ru_utime + usage.ru_stime - before_s)


def program(
    argv: Callable[[str], list[str]], start_s: float = 1.5
) -> Callable[[Namespaces, Path, float, int], Measured]:
    """A process for each interface; `argv` of a file's name, to capture eth0 until SIGINT. What it takes in
    the time that it has to start does not count, here as with netlab."""

    def measure(namespaces: Namespaces, directory: Path, seconds: float, rate: int) -> Measured:
        directory.chmod(0o777)  # some give up root before they open it
        running = [
            subprocess.Popen(
                argv(str(directory / f"{node}.pcap")),
                preexec_fn=partial(enter, namespace),  # noqa: PLW1509  no threads here
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for node, namespace in namespaces.items()
        ]
        time.sleep(start_s)
        cpu_s = -sum(_used_s(one.pid) for one in running)
        sent = send(namespaces, rate, seconds)
        time.sleep(_DRAIN_S)
        for one in running:
            one.send_signal(signal.SIGINT)
        for one in running:
            _, status, usage = os.wait4(one.pid, 0)
            one.returncode = os.waitstatus_to_exitcode(status)
            cpu_s += usage.ru_utime + usage.ru_stime
        return Measured(sent, _captured(directory), cpu_s)

    return measure


def _used_s(pid: int) -> float:
    """Processor time of a process and its children until now."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(_used_s(int(child)) for child in children)


def _captured(directory: Path) -> int:
    """Packets in every file, pcap or pcapng; of ours alone, for a host's kernel may say something too."""
    count = 0
    for path in directory.iterdir():
        data = path.read_bytes()
        if data[:4] == pcapng.MAGIC:
            found = (block.length for block in pcapng.read(data) if isinstance(block, pcapng.Packet))
        else:
            found = (record.length for record in pcap.records(data, str(path)))
        count += sum(length == FRAME_BYTES for length in found)
    return count


_SCAPY = """
import sys
from scapy.config import conf
from scapy.sendrecv import sniff
from scapy.utils import PcapWriter
writer = PcapWriter(sys.argv[1])
sniff(iface="eth0", prn=writer.write, store=False)
writer.close()
"""
_PROGRAMS = {
    "netlab": netlab,
    "tcpdump": program(lambda file: ["tcpdump", "-Z", "root", "-n", "-i", "eth0", "-w", file]),
    "dumpcap": program(lambda file: ["dumpcap", "-q", "-i", "eth0", "-w", file]),
}
_HEAVY = {
    "tshark": program(lambda file: ["tshark", "-q", "-i", "eth0", "-w", file], _SLOW_START_S),
    "scapy": program(lambda file: [sys.executable, "-c", _SCAPY, file], _SLOW_START_S),
}


def main() -> None:
    """Prints each figure beside what is asked."""
    if os.geteuid() != 0:
        sys.exit("the benchmark captures: run it as root")
    with tempfile.TemporaryDirectory() as folder:
        with rig(_PAIRS) as namespaces:
            _losses(namespaces, Path(folder))
            _costs(namespaces, Path(folder))
        with rig(_FEW_PAIRS) as namespaces:
            for name, measure in _HEAVY.items():
                found = _run(measure, namespaces, Path(folder), _SHORT_S, _RATE * _FEW_PAIRS // _PAIRS)
                _line(f"{name}, {len(namespaces)} interfaces", [found])
        _report(Path(folder))


def _run(
    measure: Callable[[Namespaces, Path, float, int], Measured],
    namespaces: Namespaces,
    folder: Path,
    seconds: float,
    rate: int = _RATE,
) -> Measured:
    directory = folder / "captured"
    directory.mkdir()
    try:
        return measure(namespaces, directory, seconds, rate)
    finally:
        shutil.rmtree(directory)


def _losses(namespaces: Namespaces, folder: Path) -> None:
    found = _run(netlab, namespaces, folder, _LONG_S)
    rate = found.crossed / found.sent.seconds
    print(
        f"netlab: {found.crossed:,} packets of {FRAME_BYTES} bytes at {rate:,.0f}/s over "
        f"{len(namespaces)} interfaces: {found.crossed - found.captured} lost (asked: 0 of 100,000/s in 10 s)"
    )


def _costs(namespaces: Namespaces, folder: Path) -> None:
    rounds: dict[str, list[Measured]] = {name: [] for name in _PROGRAMS}
    alone = []
    for _ in range(_ROUNDS):
        alone.append(send(namespaces, _RATE, _SHORT_S))
        for name, measure in _PROGRAMS.items():
            rounds[name].append(_run(measure, namespaces, folder, _SHORT_S))
    for name, found in rounds.items():
        _line(name, found)
    best = {name: min(one.cost_us for one in found) for name, found in rounds.items()}
    print(
        f"netlab takes {best['netlab'] / best['tcpdump']:.2f} times what tcpdump takes (asked: at most 1.2)"
    )
    floor = min(_sending(one) for one in alone)
    for name in ("netlab", "tcpdump"):
        extra = min(_sending(one.sent) for one in rounds[name]) - floor
        print(f"{name}: the sender pays {extra / 2:.2f} µs more per captured packet than without a capture")


def _sending(sent: Sent) -> float:
    """The sender's processor time per frame, µs: what the kernel does for a capture is part of it."""
    return 1e6 * sent.cpu_s / sent.frames


def _line(name: str, found: Sequence[Measured]) -> None:
    lost = sum(one.crossed - one.captured for one in found)
    share = lost / sum(one.crossed for one in found)
    costs = [one.cost_us for one in found]
    rounds = f" ({spread(costs)})" if len(costs) > 1 else ""
    print(f"{name:20} {min(costs):6.2f} µs of processor time per packet{rounds}, {share:.2%} lost")


def _report(folder: Path) -> None:
    """The handshake scenario's run, which has about 5,000 packets with seven repetitions."""
    run = folder / "run"
    argv = [NETLAB, "trace", "handshake", "--repeat", "7", "--lab", "bench-capture", "--out", str(run)]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    packets = json.loads((run / "run.json").read_text())["capture"]["packets"]
    seconds, cpu = [], []
    for _ in range(_ROUNDS):
        before, started = os.times(), time.perf_counter()
        subprocess.run([NETLAB, "report", str(run), "--html"], check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - started)
        after = os.times()
        cpu.append(
            after.children_user + after.children_system - before.children_user - before.children_system
        )
    size = (run / "report.html").stat().st_size / 1e6
    print(
        f"report.html of {packets:,} packets: {min(seconds):.2f} s ({spread(seconds)}), of processor time "
        f"{min(cpu):.2f} s, {size:.2f} MB (asked of 5,000: 3 s, 3 MB)"
    )


if __name__ == "__main__":
    main()
