"""Requests per second over HTTP/2 by prior knowledge: the app role beside hypercorn with the same response.

The load, `python -m benchmarks.protocols_http2 PORT CONNECTIONS SECONDS PATH`, keeps STREAMS requests open on
each connection. It makes its frames once and counts the ends of streams, so that the servers, and not the
load, are what is measured.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import ExitStack
from typing import cast

from hpack import Decoder, Encoder
from hyperframe.frame import SettingsFrame, WindowUpdateFrame

from benchmarks.protocols_load import compare, free_port, line_of, print_table, program, role
from netlab.model.roles import AppSpec

TARGET = 1.5
STREAMS = 4
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADERS, _RST_STREAM, _SETTINGS, _GOAWAY = 1, 3, 4, 7


class _Client(asyncio.Protocol):
    """One connection with STREAMS requests at a time, until `until`."""

    def __init__(self, first: bytes, block: bytes, until: float, latencies: list[float]) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._first = first
        self._block = block
        self._until = until
        self._latencies = latencies
        self._decoder = Decoder()
        self._asked: dict[int, float] = {}
        self._next = 1
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is no subclass
        window = WindowUpdateFrame(0, window_increment=2**30).serialize()
        first = b"".join(self._ask() for _ in range(STREAMS))
        self._transport.write(_PREFACE + SettingsFrame(0).serialize() + window + first)

    def _ask(self) -> bytes:
        stream, self._next = self._next, self._next + 2
        self._asked[stream] = time.perf_counter()
        block = self._first if stream == 1 else self._block
        return len(block).to_bytes(3, "big") + b"\x01\x05" + stream.to_bytes(4, "big") + block

    def data_received(self, data: bytes) -> None:
        data, at, ended = self._got + data, 0, 0
        while len(data) - at >= 9:
            size = int.from_bytes(data[at : at + 3], "big")
            if len(data) - at < 9 + size:
                break
            ended += self._frame(data[at + 3], data[at + 4], data[at + 5 : at + 9 + size])
            at += 9 + size
        self._got = data[at:]
        if time.perf_counter() < self._until:
            self._transport.write(b"".join(self._ask() for _ in range(ended)))
        elif not self._asked and not self.done.done():
            self.done.set_result(None)
            self._transport.close()

    def _frame(self, kind: int, flags: int, rest: bytes) -> int:
        """1 where it ends a response."""
        stream = int.from_bytes(rest[:4], "big")
        if kind == _SETTINGS and not flags:
            self._transport.write(SettingsFrame(0, flags=["ACK"]).serialize())
        elif kind in {_RST_STREAM, _GOAWAY}:
            raise RuntimeError(f"the server gave up: {rest!r}")
        elif kind == _HEADERS and stream == 1:
            status = next(iter(self._decoder.decode(rest[4:], raw=True)))
            if status != (b":status", b"200"):
                raise RuntimeError(f"not a 200: {status}")
        if kind > _HEADERS or not flags & 1:
            return 0
        self._latencies.append(time.perf_counter() - self._asked.pop(stream))
        return 1

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionResetError("the server closed the connection"))


def _blocks(port: int, path: str) -> tuple[bytes, bytes]:
    """The request's fields, compressed: for the first request, and for any that follows."""
    fields = [(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", f"127.0.0.1:{port}")]
    fields += [("user-agent", "load"), ("accept", "*/*")]
    encoder = Encoder()
    return encoder.encode(fields), encoder.encode(fields)


async def _load(port: int, connections: int, seconds: float, path: str) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    started = time.perf_counter()
    blocks = _blocks(port, path)
    clients = [_Client(*blocks, started + seconds, latencies) for _ in range(connections)]
    for client in clients:
        await loop.create_connection(lambda client=client: client, "127.0.0.1", port)  # type: ignore[misc]
    async with asyncio.timeout(seconds + 10):
        await asyncio.gather(*(client.done for client in clients))
    return line_of(latencies, time.perf_counter() - started)


def main() -> None:
    """Without arguments: print rates, 99th percentiles and the ratio. Else be the load."""
    if sys.argv[1:]:
        import uvloop

        port, connections, seconds, path = sys.argv[1:]
        print(json.dumps(uvloop.run(_load(int(port), int(connections), float(seconds), path))))
    else:
        _compare()


def _compare() -> None:
    with ExitStack() as stack:
        port = free_port()
        sides = [stack.enter_context(role("app role", AppSpec(listen=port), port))]
        for loop in ("asyncio", "uvloop"):
            port = free_port()
            argv = [sys.executable, "-m", "benchmarks.protocols_hypercorn", str(port), loop]
            sides.append(stack.enter_context(program(f"hypercorn on {loop}", argv, port)))
        print_table(compare("benchmarks.protocols_http2", sides, "/health"), TARGET)


if __name__ == "__main__":
    main()
