"""Whether a backend's chance follows its models: lengths of bursts of losses, and times with jitter."""

from __future__ import annotations

import math
import os
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

from benchmarks.links_rig import Backend, Rig, child, inside, rig
from netlab.fabric.enter import enter
from netlab.model.distributions import NAMES, SCALE, table
from netlab.model.impairment import GilbertElliott, Impairment
from netlab.wire.frame import VNET
from netlab.wire.ring import Ring, open_socket

MS = 1_000_000
_KIND = 0x88B5  # IEEE 802, for local experiments
_HEADER = bytes.fromhex("020000000002020000000001") + struct.pack("!H", _KIND)
_LONGEST = 9  # bursts longer than this are one class
_CHI_SQUARE_99 = 21.67  # of 9 degrees of freedom
_KS_99 = 1.63  # times 1/sqrt(n)

Probes = Callable[[Rig, int, float], tuple[list[int], list[int]]]


def _numbered(on: Rig, frames: int) -> list[int]:
    """The numbers of the frames that came to b, of `frames` sent by a, some 20,000 a second."""

    def body() -> None:
        enter(on.a)
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as opened:
            opened.bind(("eth0", 0))
            for number in range(frames):
                opened.send(_HEADER + struct.pack("!I", number) + bytes(42))
                if number % 20 == 0:
                    time.sleep(0.001)

    came: list[int] = []

    def take(_index: int, _time_ns: int, data: memoryview) -> None:
        if data[VNET : VNET + 14] == _HEADER:
            came.append(struct.unpack_from("!I", data, VNET + 14)[0])

    with inside(on.b, open_socket) as opened:
        ring, sender, quiet_since = Ring(opened), child(body), time.monotonic()
        while time.monotonic() - quiet_since < 0.5:
            if ring.read(take, 10_000):
                quiet_since = time.monotonic()
            time.sleep(0.001)
        os.waitpid(sender, 0)
    return came


def bursts(backend: Backend, frames: int = 40_000) -> None:
    """Gilbert-Elliott with all lost in the bad state: burst lengths are geometric."""
    model = GilbertElliott(p=0.02, r=0.3)
    with rig(backend, Impairment(loss_model=model)) as on:
        came = _numbered(on, frames)
    found = Counter(after - before - 1 for before, after in pairwise(came) if after > before + 1)
    count = found.total()
    expected = [count * model.r * (1 - model.r) ** (length - 1) for length in range(1, _LONGEST + 1)]
    expected.append(count - sum(expected))
    seen = [found[length] for length in range(1, _LONGEST + 1)]
    seen.append(count - sum(seen))
    square = sum((one - other) ** 2 / other for one, other in zip(seen, expected, strict=True))
    share, wanted = 1 - len(came) / frames, model.p / (model.p + model.r)
    print(
        f"{backend:5} Gilbert-Elliott p 2%, r 30%: {share:.2%} lost ({wanted:.2%}), {count} bursts, "
        f"chi-square {square:.1f} of their lengths   at most {_CHI_SQUARE_99} (99%, 9 degrees)",
        flush=True,
    )


def jitters(backend: Backend, probes: Probes, frames: int = 2000) -> None:
    """One-way times against each distribution's table. Most distance between the two, of 1."""
    delay_ns, jitter_ns = 50 * MS, 5 * MS
    for name in NAMES:
        impairment = Impairment(
            delay_ns=delay_ns, jitter_ns=jitter_ns, distribution=name, table=table(name), limit_packets=10_000
        )
        with rig(backend, impairment) as on:
            times, _ = probes(on, frames, 0.001)
        steps = table(name) or range(-SCALE, SCALE)
        expected = sorted(delay_ns + jitter_ns * step / SCALE for step in steps)
        distance, limit = _distance(times, expected), _KS_99 / math.sqrt(len(times))
        print(
            f"{backend:5} jitter {name:12} 50 ± 5 ms: Kolmogorov-Smirnov {distance:.4f} "
            f"of {len(times)} frames   at most {limit:.4f} (99%)",
            flush=True,
        )


def _distance(found: list[int], expected: list[float]) -> float:
    """The Kolmogorov-Smirnov statistic of two samples: the second is the whole distribution."""
    ordered, at, furthest = sorted(found), 0, 0.0
    for number, value in enumerate(ordered):
        while at < len(expected) and expected[at] <= value:
            at += 1
        share = at / len(expected)
        furthest = max(furthest, abs(share - number / len(ordered)), abs(share - (number + 1) / len(ordered)))
    return furthest
