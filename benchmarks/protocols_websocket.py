"""Ten thousand WebSockets on one app process: what each costs in memory, and a broadcast to all of them.

The peer is the `websockets` library's server with its own `broadcast`. The load,
`python -m benchmarks.protocols_websocket load PORT PATH COUNT`, opens COUNT WebSockets, and for each line on
its stdin sends one message on the first of them; it prints when all had opened, and for each broadcast how
long after its sending the first, the median and the last WebSocket had it.
"""

from __future__ import annotations

import asyncio
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

from benchmarks.protocols_load import Side, free_port, print_verdict, program, role
from netlab.model.roles import AppSpec

COUNT = 10_000
BROADCASTS = 5
_TEXT = b"hello to everybody"
_MASK = b"\0\0\0\0"
_AT_ONCE = 64  # connections being opened: fewer than a listener's backlog
_OPEN_S = 120.0
_HEARD_S = 30.0
_TEXT_FRAME, _PING = 0x81, 0x89


class _Receiver(asyncio.Protocol):
    """One WebSocket: takes its handshake, notes when messages come, answers pings."""

    def __init__(self, request: bytes, heard: list[float]) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request = request
        self._heard = heard
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is no subclass
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        data = self._got + data
        if not self.opened.done():
            head, empty, data = data.partition(b"\r\n\r\n")
            if not empty:
                self._got = head
                return
            if not head.startswith(b"HTTP/1.1 101"):
                raise RuntimeError(f"no WebSocket: {head!r}")
            self.opened.set_result(None)
        while len(data) >= 2 and len(data) >= 2 + data[1]:  # nothing here is as long as 126 bytes
            self._frame(data[0], data[2 : 2 + data[1]])
            data = data[2 + data[1] :]
        self._got = data

    def _frame(self, kind: int, payload: bytes) -> None:
        if kind == _TEXT_FRAME and _TEXT in payload:
            self._heard.append(time.perf_counter())
        elif kind == _PING:
            self.send(0x8A, payload)
        else:
            raise RuntimeError(f"unexpected frame {kind:#x}: {payload!r}")

    def send(self, kind: int, payload: bytes) -> None:
        self._transport.write(bytes((kind, 0x80 | len(payload))) + _MASK + payload)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(exc or ConnectionResetError("the server closed the connection"))


async def _load(port: int, path: str, count: int) -> None:
    heard: list[float] = []
    begun = time.perf_counter()
    receivers: list[_Receiver] = []
    while len(receivers) < count:
        receivers += await _opened(port, path, min(_AT_ONCE, count - len(receivers)), heard)
    print(json.dumps({"opened": len(receivers), "seconds": time.perf_counter() - begun}), flush=True)
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        heard.clear()
        sent = time.perf_counter()
        receivers[0].send(_TEXT_FRAME, _TEXT)
        async with asyncio.timeout(_HEARD_S):
            while len(heard) < count:  # noqa: ASYNC110 - what fills it, ten thousand times, should wake nobody
                await asyncio.sleep(0.005)
        took = sorted((one - sent) * 1000 for one in heard)
        found = {"first_ms": took[0], "median_ms": took[count // 2], "last_ms": took[-1], "heard": len(took)}
        print(json.dumps(found), flush=True)


async def _opened(port: int, path: str, count: int, heard: list[float]) -> list[_Receiver]:
    loop = asyncio.get_running_loop()
    fields = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13"
    fields += f"\r\nHost: 127.0.0.1:{port}\r\nSec-WebSocket-Key: {'A' * 22}=="
    head = f"GET {path} HTTP/1.1\r\n{fields}\r\n\r\n"
    receivers = [_Receiver(head.encode(), heard) for _ in range(count)]
    factories = [partial(lambda one: one, receiver) for receiver in receivers]
    await asyncio.gather(*(loop.create_connection(one, "127.0.0.1", port) for one in factories))
    await asyncio.gather(*(receiver.opened for receiver in receivers))
    return receivers


# The peer.


async def _serve(port: int) -> None:
    from websockets.asyncio.server import ServerConnection, broadcast, serve
    from websockets.exceptions import ConnectionClosed

    async def handler(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            async for message in connection:
                broadcast(server.connections, message)

    async with serve(handler, "127.0.0.1", port) as server:
        await server.serve_forever()


# The comparison.


@contextmanager
def _listening(side: Side, path: str, count: int) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-m", "benchmarks.protocols_websocket", "load", str(side.port), path, str(count)]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _line(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError("the load failed")
    found: dict[str, Any] = json.loads(line)
    return found


def _resident(pid: int) -> int:
    """Bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def _measure(side: Side, path: str, count: int) -> int:
    """How many WebSockets it held, all of which heard every broadcast."""
    with _listening(side, path, 1) as warm:
        _line(warm)
    before = _resident(side.pid)
    with _listening(side, path, count) as load:
        opened = _line(load)
        each = (_resident(side.pid) - before) / opened["opened"]
        rounds = []
        for _ in range(BROADCASTS):
            assert load.stdin is not None
            load.stdin.write("\n")
            load.stdin.flush()
            rounds.append(_line(load))
    last, median = (statistics.median(one[key] for one in rounds) for key in ("last_ms", "median_ms"))
    print(
        f"{side.name:24} {opened['opened']:,} open in {opened['seconds']:.1f} s   {each / 1024:.1f} KiB each"
        f"   a broadcast reaches half in {median:.0f} ms and all in {last:.0f} ms"
    )
    return int(min(one["heard"] for one in rounds))


def main() -> None:
    """Without arguments: print both servers' figures. `load` and `peer` are the other processes."""
    match sys.argv[1:]:
        case ["load", port, path, count]:
            import uvloop

            uvloop.run(_load(int(port), path, int(count)))
        case ["peer", port]:
            asyncio.run(_serve(int(port)))
        case _:
            _compare()


def _compare() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < COUNT + 200:
        print(f"a process may have {hard} open files here, which is too few for {COUNT:,} WebSockets")
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, COUNT + 200), hard))
    port = free_port()
    with role("app role", AppSpec(listen=port), port) as side:
        held = _measure(side, "/channels/all/ws", COUNT)
    port = free_port()
    peer = [sys.executable, "-m", "benchmarks.protocols_websocket", "peer", str(port)]
    with program("websockets", peer, port) as side:
        _measure(side, "/", COUNT)
    print_verdict(f"{held:,} WebSockets on one app process", f"{COUNT:,}", met=held >= COUNT)


if __name__ == "__main__":
    main()
