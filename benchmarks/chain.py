"""A bare chain of 250 routers: `netlab up` and `netlab down`, beside the floor measured in the same run.

Run as root: python -m benchmarks.chain [NODES]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from ipaddress import IPv4Address
from pathlib import Path

NETLAB = str(Path(sys.executable).with_name("netlab"))
ROOT = Path(__file__).parent.parent
LAB = "bench-chain"
ROUNDS = 3
SETTLE_S = 2.0  # the kernel destroys the namespaces of the last round in the background


def topology(nodes: int) -> str:
    """A chain r0 -- r1 -- … of routers, with the /30s of 10.0.0.0/8 one after another."""

    def address(link: int, end: int) -> str:
        return f"{IPv4Address('10.0.0.0') + 4 * link + end}/30"

    lines = ["name: chain", "nodes:"]
    for number in range(nodes):
        ends = [f"left: {address(number - 1, 2)}"] if number else []
        ends += [f"right: {address(number, 1)}"] if number < nodes - 1 else []
        lines.append(f"  r{number}: {{kind: router, interfaces: {{{', '.join(ends)}}}}}")
    lines.append("links:")
    lines += [f"  - {{ends: ['r{number}:right', 'r{number + 1}:left']}}" for number in range(nodes - 1)]
    return "\n".join(lines) + "\n"


def routes(file: Path) -> str:
    """The routes of its plan, as the floor reads them."""
    from netlab.model.capabilities import Capabilities
    from netlab.model.load import load
    from netlab.plan import plan
    from netlab.plan.ops import AddRoute

    lines = []
    for operation in plan(load(file), Capabilities(netem=False)).operations:
        if isinstance(operation, AddRoute):
            network, _, bits = operation.to.partition("/")
            lines.append(f"{operation.node[1:]} {network} {bits} {operation.via}")
    return "\n".join(lines) + "\n"


def seconds(*argv: str) -> float:
    """Wall-clock seconds of one command that must succeed."""
    started = time.perf_counter()
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    elapsed = time.perf_counter() - started
    if done.returncode:
        sys.exit(f"{' '.join(argv)}: status {done.returncode}\n{done.stderr}")
    return elapsed


def floor(nodes: int, routes_file: Path) -> float:
    """Seconds of raw netlink in a process of its own, without the time that Python takes to start."""
    argv = (sys.executable, "-m", "benchmarks.fabric_floor", str(nodes), str(routes_file))
    done = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=ROOT)
    return float(done.stdout.split()[0])


def main() -> None:
    """Print each figure beside what it is measured against; the best of some rounds, all interleaved."""
    if os.geteuid() != 0:
        sys.exit("the benchmark builds a lab: run it as root")
    nodes = int(sys.argv[1]) if len(sys.argv) > 1 else 250
    floors, ups, downs = [], [], []
    with tempfile.TemporaryDirectory() as directory:
        file, routes_file = Path(directory, "chain.yaml"), Path(directory, "routes")
        file.write_text(topology(nodes))
        routes_file.write_text(routes(file))
        for _ in range(ROUNDS):
            floors.append(floor(nodes, routes_file))
            time.sleep(SETTLE_S)
            ups.append(seconds(NETLAB, "up", str(file), "--name", LAB))
            downs.append(seconds(NETLAB, "down", LAB))
            time.sleep(SETTLE_S)
    ratio = min(ups) / min(floors)
    print(f"chain of {nodes}, best of {ROUNDS} rounds")
    _print("raw netlink (the floor)", floors, "")
    _print("netlab up", ups, f"at most 1.0 s, and at most 2 times the floor: {ratio:.1f} times")
    _print("netlab down", downs, "at most 0.3 s")


def _print(what: str, values: list[float], aim: str) -> None:
    rounds = " ".join(f"{value:.2f}" for value in values)
    print(f"{what:27} {min(values):6.2f} s   {aim}   ({rounds})")


if __name__ == "__main__":
    main()
