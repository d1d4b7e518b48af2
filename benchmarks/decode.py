"""Decoding speed beside dpkt, scapy and tshark, in the same run on the same packets.

Targets: the index pass at 150,000 packets/s or more and at least twice dpkt; full decode of TCP at least
three times scapy's dissection; full decode as JSON of TLS and HTTP/2 no slower than `tshark -T json`.
"""

from __future__ import annotations

import io
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import dpkt
from scapy.layers.inet6 import Ether  # of l2; inet6 also binds IPv4, IPv6, TCP and UDP to it

from netlab.decode.layers import layers
from netlab.proto import pcapng
from netlab.proto.capture_file import CaptureFile
from netlab.trace.index import index
from tests.kit.tcp_path import TcpPath
from tests.kit.tls_bytes import contexts
from tests.kit.tls_path import NAME, Http2, secure

_INDEXED = 100_000
_DISSECTED = 5_000
_REQUESTS = 90
_FLOWS = 64
_TIMES = 3


def main() -> None:
    """Prints a line for each figure."""
    frames = _tcp_frames()
    capture = _capture(frames)
    ours = _rate(lambda: index(CaptureFile(capture)).packets)
    theirs = _rate(lambda: _dpkt(capture))
    print(f"index pass: {ours:,.0f} packets/s (target 150,000); ", end="")
    print(f"dpkt {theirs:,.0f}: {ours / theirs:.1f}× (target 2×)")
    some = frames[:_DISSECTED]
    ours = _rate(lambda: len([layers(frame) for frame in some]))
    theirs = _rate(lambda: len([Ether(frame) for frame in some]))
    print(f"TCP, every field: {ours:,.0f} packets/s; scapy {theirs:,.0f}: {ours / theirs:.1f}× (target 3×)")
    with tempfile.TemporaryDirectory() as folder:
        _json(Path(folder))


def _rate(run: Callable[[], int]) -> float:
    """Packets per second of processor time: the best of some runs."""
    found = []
    for _ in range(_TIMES):
        started = time.process_time()
        count = run()
        found.append(count / (time.process_time() - started))
    return max(found)


def _tcp_frames() -> list[bytes]:
    """Segments of full size and acknowledgements, of many connections."""
    rng, frames = random.Random(1), []
    for number in range(_INDEXED):
        flow, up = rng.randrange(_FLOWS), number % 2
        size = 1448 if up else 0
        addresses = (bytes((10, 0, 0, 1)), bytes((10, 0, 1, flow)))
        src, dst = addresses if up else addresses[::-1]
        ports = (443, 40000 + flow) if up else (40000 + flow, 443)
        ip = b"\x45\0" + (52 + size).to_bytes(2, "big") + (number & 0xFFFF).to_bytes(2, "big")
        ip += b"\x40\0\x40\6\0\0"
        tcp = b"".join(port.to_bytes(2, "big") for port in ports) + number.to_bytes(4, "big") * 2
        tcp += b"\x80\x18\x01\xf5\0\0\0\0" + b"\x01\x01\x08\x0a" + bytes(8)
        frames.append(b"\2\0\0\0\0\2\2\0\0\0\0\1\x08\0" + ip + src + dst + tcp + bytes(size))
    return frames


def _capture(frames: list[bytes]) -> bytes:
    packets = [pcapng.packet(0, number * 1000, frame) for number, frame in enumerate(frames)]
    return b"".join([pcapng.section(), pcapng.interface("a:eth0"), *packets])


def _dpkt(capture: bytes) -> int:
    """Headers and flows, as the index has them."""
    flows: dict[tuple[bytes, bytes, int, int], int] = {}
    count = 0
    for _, data in dpkt.pcapng.Reader(io.BytesIO(capture)):
        count += 1
        ip = dpkt.ethernet.Ethernet(data).data
        key = (ip.src, ip.dst, ip.data.sport, ip.data.dport)
        flows[key] = flows.get(key, 0) + 1
    return count


def _json(folder: Path) -> None:
    """Programs as a user calls them, their start included."""
    client, server, log = contexts(folder, NAME, "1.3", ("h2",))
    path = TcpPath()
    http = Http2(*secure(path, (client, server)), together=10, answer=lambda _: bytes(60_000))
    http.client.ready = lambda: http.ask(*(f"/{number}" for number in range(_REQUESTS)))
    path.connect()
    path.run(lambda: len(http.done) == _REQUESTS)
    frames = path.frames("client")
    packets = [pcapng.packet(0, one.time_ns, one.data) for one in frames]
    file = folder / "http2.pcapng"
    head = [pcapng.section(), pcapng.interface("client:eth0"), pcapng.secrets(log.read_text())]
    file.write_bytes(b"".join([*head, *packets]))
    ours = _seconds([str(Path(sys.executable).parent / "netlab"), "decode", "--json", str(file)])
    theirs = _seconds(["tshark", "-r", str(file), "-T", "json"])
    print(
        f"TLS and HTTP/2 as JSON, {len(frames):,} packets: {ours:.2f} s of processor time; "
        f"tshark {theirs:.2f} s: {theirs / ours:.1f}× (target 1×)"
    )


def _seconds(argv: list[str]) -> float:
    """Processor time, which other programs on the machine don't add to: the best of some runs."""
    found = []
    for _ in range(_TIMES):
        before = os.times()
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        after = os.times()
        user, system = (after[at] - before[at] for at in (2, 3))  # of children that have ended
        found.append(user + system)
    return min(found)


if __name__ == "__main__":
    main()
