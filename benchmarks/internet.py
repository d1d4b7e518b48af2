"""The default lab: how long `up` takes with every role ready, and how true its round trips are."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

NETLAB = str(Path(sys.executable).with_name("netlab"))
LAB = "bench-internet"
TARGET = "93.184.216.34"  # US East, as client-a reaches it


def seconds(*argv: str) -> float:
    """Wall-clock seconds of one command that must succeed; its output goes to stderr."""
    started = time.perf_counter()
    subprocess.run(argv, check=True, stdout=sys.stderr, stderr=sys.stderr)
    return time.perf_counter() - started


def python_floor() -> float:
    """Seconds that Python and typer alone take to start: nothing of netlab's can be faster."""
    return min(seconds(sys.executable, "-c", "import typer") for _ in range(5))


def round_trips(count: int) -> list[float]:
    """Round trips in ms from client-a to the balancer, by ping over the lab."""
    argv = [
        NETLAB,
        "exec",
        "--lab",
        LAB,
        "client-a",
        "--",
        "ping",
        "-n",
        "-c",
        str(count),
        "-i",
        "0.05",
        TARGET,
    ]
    result = subprocess.run(argv, check=True, capture_output=True, text=True)
    return [float(ms) for ms in re.findall(r"time=([\d.]+) ms", result.stdout)]


def main() -> None:
    """Print each figure beside what it is measured against."""
    if os.geteuid() != 0:
        sys.exit("the benchmark builds a lab: run it as root")
    help_s = min(seconds(NETLAB, "--help") for _ in range(5))
    floor_s = python_floor()
    print(f"netlab --help               {help_s:6.2f} s   at most 0.25 s; import typer {floor_s:.2f} s")
    up_s = seconds(NETLAB, "up", "internet", "--name", LAB)
    try:
        print(f"netlab up internet          {up_s:6.2f} s   at most 4 s")
        trips = round_trips(200)
        median = statistics.median(trips)
        print(
            f"client-a to US East         {median:6.2f} ms  40 ms within 2%: {100 * (median - 40) / 40:+.2f}%"
            f"   (min {min(trips):.2f}, p99 {sorted(trips)[int(len(trips) * 0.99)]:.2f}, n {len(trips)})"
        )
    finally:
        down_s = seconds(NETLAB, "down", LAB)
    print(f"netlab down internet        {down_s:6.2f} s")


if __name__ == "__main__":
    main()
