"""The load of the middle tier's benchmarks: h2load over TLS, and servers of others that it is put on."""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
from dataclasses import dataclass, field

from benchmarks.protocols_load import Side

NAME = "bench.example.com"
CONNECTIONS = 32
ROUNDS = 3
_ROUND_S = 2
_RATE = re.compile(r"finished in [\d.]+s, ([\d.]+) req/s")
_STATUS = re.compile(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx")


@dataclass(slots=True)
class Rates:
    """Requests per second of each round."""

    name: str
    rounds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)


def found(program: str) -> str | None:
    """Where a peer is installed: servers are often in /usr/sbin, which users' PATH lacks."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin")


def h2load(side: Side, path: str, *, seconds: int = _ROUND_S) -> float:
    """Requests per second over HTTP/1.1, TLS and keep-alive. Raises RuntimeError where one is no 2xx."""
    url = f"https://{NAME}:{side.port}{path}"
    argv = ["h2load", "--h1", "-t1", f"-c{CONNECTIONS}", f"-D{seconds}", "--warm-up-time=1"]
    argv += [f"--connect-to=127.0.0.1:{side.port}", url]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=seconds + 30)
    rate, status = _RATE.search(done.stdout), _STATUS.search(done.stdout)
    if rate is None or status is None or any(int(one) for one in status.groups()[1:]):
        raise RuntimeError(f"{side.name}: {done.stdout}")
    return float(rate[1])


def compare(sides: list[Side], path: str) -> list[Rates]:
    """Rounds of each side in turn, so that what disturbs the machine disturbs all."""
    rates = [Rates(side.name) for side in sides]
    for _ in range(ROUNDS):
        for side, one in zip(sides, rates, strict=True):
            one.rounds.append(h2load(side, path))
    return rates
