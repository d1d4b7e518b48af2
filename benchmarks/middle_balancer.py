"""The layer 4 balancer beside HAProxy in TCP mode: bulk throughput, and the latency that it adds.

Each is one process with one thread, on loopback, in rounds in turn. The server sends with sendfile and the
client drops what it reads in the kernel (MSG_TRUNC), so that what is measured is the one in the middle.
"""

from __future__ import annotations

import os
import socket
import statistics
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.middle_load import found
from benchmarks.protocols_load import Side, free_port, print_verdict, program, role
from netlab.model.roles import BalancerSpec

RATIO = 0.5
ADDED_MS = 0.3
ROUNDS = 3
_BULK_S = 1.0
_EXCHANGES = 500
_BULK, _ECHO = b"b", b"e"
_CHUNK = 1024 * 1024
_HAPROXY = """
global
  nbthread 1
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen bench
  bind 127.0.0.1:{port}
  server one 127.0.0.1:{server}
"""


@dataclass(slots=True)
class Measured:
    """Of one way: bytes per second of each round; round trips in ms on an open connection, and on a new
    one for each, the handshake included."""

    name: str
    bulk: list[float] = field(default_factory=list)
    open_ms: list[float] = field(default_factory=list)
    new_ms: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return statistics.median(self.bulk)


@dataclass(frozen=True, slots=True)
class Result:
    """Bytes per second; the ratio of ours to HAProxy's; medians of what ours adds to a round trip on an open
    connection and to one on a new connection, and of what HAProxy adds."""

    ours: float
    haproxy: float
    added_ms: float
    added_new_ms: float
    haproxy_added_ms: float
    haproxy_added_new_ms: float

    @property
    def ratio(self) -> float:
        return self.ours / self.haproxy


def balancer() -> Result:
    """Measure. Raises RuntimeError where HAProxy is not installed."""
    haproxy = found("haproxy")
    if haproxy is None:
        raise RuntimeError("haproxy is not installed")
    with ExitStack() as stack:
        server = free_port()
        argv = [sys.executable, "-m", "benchmarks.middle_balancer", "serve", str(server)]
        direct = stack.enter_context(program("direct", argv, server))
        port = free_port()
        spec = BalancerSpec(listen=port, upstreams=(f"127.0.0.1:{server}",))
        ours = stack.enter_context(role("balancer", spec, port))
        port = free_port()
        config = Path(stack.enter_context(TemporaryDirectory())) / "haproxy.cfg"
        config.write_text(_HAPROXY.format(port=port, server=server))
        other = stack.enter_context(program("haproxy", [haproxy, "-db", "-f", str(config)], port))
        bare, mine, theirs = _measured([direct, ours, other])
    return Result(mine.rate, theirs.rate, *_added(mine, bare), *_added(theirs, bare))


def _added(one: Measured, bare: Measured) -> tuple[float, float]:
    """What is added to round trips, on an open connection and on a new one."""
    return (
        statistics.median(one.open_ms) - statistics.median(bare.open_ms),
        statistics.median(one.new_ms) - statistics.median(bare.new_ms),
    )


def _measured(sides: list[Side]) -> list[Measured]:
    found = [Measured(side.name) for side in sides]
    for _ in range(ROUNDS):
        for side, one in zip(sides, found, strict=True):
            one.bulk.append(_bulk(side.port))
            one.open_ms += _on_one_connection(side.port)
            one.new_ms += _on_new_connections(side.port)
    return found


def _bulk(port: int) -> float:
    """Bytes per second that come."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(_BULK)
        started = now = time.perf_counter()
        got = 0
        buffer = bytearray(_CHUNK)
        while now - started < _BULK_S:
            size = sock.recv_into(buffer, _CHUNK, socket.MSG_TRUNC)
            if not size:
                raise RuntimeError(f"port {port}: the connection ended")
            got += size
            now = time.perf_counter()
        return got / (now - started)


def _on_one_connection(port: int) -> list[float]:
    with _connected(port) as sock:
        return [_exchange(sock) for _ in range(_EXCHANGES)]


def _on_new_connections(port: int) -> list[float]:
    found = []
    for _ in range(_EXCHANGES // 5):
        started = time.perf_counter()
        with _connected(port) as sock:
            _exchange(sock)
            found.append((time.perf_counter() - started) * 1000)
    return found


def _connected(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _exchange(sock: socket.socket) -> float:
    started = time.perf_counter()
    sock.sendall(_ECHO)
    if not sock.recv(1):
        raise RuntimeError("the connection ended")
    return (time.perf_counter() - started) * 1000


def serve(port: int) -> None:
    """The server behind them: what a client's first byte asks for."""
    payload = os.memfd_create("payload")
    os.truncate(payload, _CHUNK)
    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            sock, _ = listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_answer, args=(sock, payload), daemon=True).start()


def _answer(sock: socket.socket, payload: int) -> None:
    with sock:
        try:
            while asked := sock.recv(1):
                if asked == _ECHO:
                    sock.sendall(asked)
                while asked == _BULK:
                    os.sendfile(sock.fileno(), payload, 0, _CHUNK)
        except OSError:
            return  # the client has enough


def main() -> None:
    """Print what was measured, beside the targets."""
    result = balancer()
    print(f"balancer {result.ours / 1e9:.2f} GB/s, haproxy {result.haproxy / 1e9:.2f} GB/s")
    print_verdict(f"{result.ratio:.2f} times haproxy", f"at least {RATIO:g}", met=result.ratio >= RATIO)
    print_verdict(
        f"{result.added_ms:.3f} ms added, median", f"under {ADDED_MS:g} ms", met=result.added_ms < ADDED_MS
    )
    print(f"{result.added_new_ms:.3f} ms added with a new connection, median")
    print(f"haproxy adds {result.haproxy_added_ms:.3f} ms, and {result.haproxy_added_new_ms:.3f} ms")


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(int(sys.argv[2]))
    else:
        main()
