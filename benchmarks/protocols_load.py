"""Two servers, one process each, under the same load in one call; and the load of HTTP/1.1.

Each side serves on loopback for rounds in turn, so that what disturbs the machine disturbs both. The load
comes from a process of its own: `python -m benchmarks.protocols_load PORT CONNECTIONS SECONDS` prints one
JSON line. Another version of HTTP brings its own module with the same arguments and line.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from netlab.model.launch import Launch
from netlab.model.roles import RoleSpec

CONNECTIONS = 32
ROUNDS = 3
ROUND_S = 2.0
_START_S = 10.0


@dataclass(frozen=True)
class Load:
    """What a load saw: requests, in so many seconds, and the latency that 1% of them exceeded."""

    requests: int
    seconds: float
    p99_ms: float

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


@dataclass(frozen=True)
class Side:
    """One server that is up."""

    name: str
    port: int
    pid: int


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def role(
    name: str, spec: RoleSpec, port: int, *, events: Path | None = None, **launch: Any
) -> Iterator[Side]:
    """A role by the process contract. Its events are read from a pipe, as the supervisor does, and go to
    the file `events`, or nowhere."""
    made = Launch(lab="bench", node=name, role=spec.kind, spec=spec, **launch)
    document, spec_in = os.pipe()
    events_out, events_in = os.pipe()
    environment = {**os.environ, "NETLAB_SPEC_FD": str(document), "NETLAB_EVENTS_FD": str(events_in)}
    with (events or Path(os.devnull)).open("wb") as file:
        reader = subprocess.Popen(["cat"], stdin=events_out, stdout=file)
    argv = [sys.executable, "-m", "netlab.roles"]
    process = subprocess.Popen(argv, env=environment, pass_fds=(document, events_in))
    for descriptor in (document, events_out, events_in):
        os.close(descriptor)
    with os.fdopen(spec_in, "w") as launch_document:
        launch_document.write(made.model_dump_json())
    try:
        _wait_for(port, process)
        yield Side(name, port, process.pid)
    finally:
        _end(process)
        reader.wait(10)


@contextmanager
def program(name: str, argv: list[str], port: int, *, quiet: bool = False) -> Iterator[Side]:
    """Another server. `quiet`: nothing of its standard error is shown."""
    errors = subprocess.DEVNULL if quiet else None
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=errors)
    try:
        _wait_for(port, process)
        yield Side(name, port, process.pid)
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"no server on port {port} in {_START_S:g} s (status {process.poll()})")


def loaded(side: Side, module: str, *more: str, seconds: float = ROUND_S) -> Load:
    """One round of `module`'s load."""
    argv = [sys.executable, "-m", module, str(side.port), str(CONNECTIONS), str(seconds), *more]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=seconds + 30)
    return Load(**json.loads(done.stdout))


def compare(module: str, sides: list[Side], *more: str) -> dict[str, list[Load]]:
    """Rounds of each side in turn; the first, which warms up, is not counted."""
    for side in sides:
        loaded(side, module, *more, seconds=0.5)
    found: dict[str, list[Load]] = {side.name: [] for side in sides}
    for _ in range(ROUNDS):
        for side in sides:
            found[side.name].append(loaded(side, module, *more))
    return found


def print_table(found: dict[str, list[Load]], target: float) -> None:
    """Medians of the rounds, and how many times the first side is as fast as each other. The target is
    against the first peer, as it comes; the others are for who asks more of us."""
    rates = {name: statistics.median(load.rate for load in loads) for name, loads in found.items()}
    ours, *others = rates
    for name, loads in found.items():
        p99 = statistics.median(load.p99_ms for load in loads)
        spread = f"{min(load.rate for load in loads):,.0f} to {max(load.rate for load in loads):,.0f}"
        print(f"{name:24} {rates[name]:10,.0f} requests/s ({spread})   p99 {p99:7.2f} ms")
    for name in others:
        ratio = rates[ours] / rates[name]
        print_verdict(f"{ratio:.2f} times {name}", f"at least {target:g}", met=ratio >= target)


def print_verdict(figure: str, target: str, *, met: bool) -> None:
    """A figure beside what was asked of it."""
    print(f"{figure} (target: {target}): {'met' if met else 'missed'}")


# The load of HTTP/1.1.


class _Client(asyncio.Protocol):
    """One connection that asks again as soon as it is answered, until `until`."""

    def __init__(self, request: bytes, until: float, latencies: list[float]) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request = request
        self._until = until
        self._latencies = latencies
        self._size = 0  # of a response, which is always the same
        self._got = b""
        self._asked = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is no subclass
        self._ask()

    def _ask(self) -> None:
        self._asked = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._got = data = self._got + data if self._got else data
        size = self._size or self._measured(data)
        if not size or len(data) < size:
            return
        self._size, self._got = size, data[size:]
        now = time.perf_counter()
        self._latencies.append(now - self._asked)
        if now < self._until:
            self._ask()
        elif not self.done.done():
            self.done.set_result(None)
            self._transport.close()

    def _measured(self, data: bytes) -> int:
        head, empty, _ = data.partition(b"\r\n\r\n")
        if not empty:
            return 0
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"not a 200: {head!r}")
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        return len(head) + 4 + int(length)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionResetError("the server closed the connection"))


async def _load(port: int, connections: int, seconds: float, path: str) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    request = (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: load\r\nAccept: */*\r\n\r\n"
    ).encode()
    latencies: list[float] = []
    started = time.perf_counter()
    clients = [_Client(request, started + seconds, latencies) for _ in range(connections)]
    for client in clients:
        await loop.create_connection(lambda client=client: client, "127.0.0.1", port)  # type: ignore[misc]
    async with asyncio.timeout(seconds + 10):
        await asyncio.gather(*(client.done for client in clients))
    return line_of(latencies, time.perf_counter() - started)


def line_of(latencies: list[float], seconds: float) -> dict[str, float]:
    """What a load prints, of latencies in seconds."""
    latencies.sort()
    p99 = latencies[min(len(latencies) - 1, int(len(latencies) * 0.99))]
    return {"requests": len(latencies), "seconds": seconds, "p99_ms": p99 * 1000}


def main() -> None:
    """Arguments: port, connections, seconds, path."""
    import uvloop

    port, connections, seconds, path = sys.argv[1:]
    print(json.dumps(uvloop.run(_load(int(port), int(connections), float(seconds), path))))


if __name__ == "__main__":
    main()
