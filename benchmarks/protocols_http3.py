"""Requests per second over HTTP/3: the app role beside hypercorn (which is on aioquic too) with the same
response.

The load, `python -m benchmarks.protocols_http3 PORT CONNECTIONS SECONDS PATH`, keeps STREAMS requests open on
each connection. It is aioquic without an HTTP/3 layer: it makes its frames once and counts the ends of
streams. All the same QUIC costs it nearly as much as the server, so the ratio is a lower bound.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import tempfile
import time
from contextlib import AsyncExitStack, ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pylsqpack
from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, QuicEvent, StreamDataReceived, StreamReset

from benchmarks.protocols_load import compare, free_port, line_of, print_table, program, role
from netlab.model.roles import AppSpec
from netlab.pki.authority import Authority
from netlab.proto.http3_frames import FrameType, StreamType, encode_frame, encode_settings, encode_varint

TARGET = 1.0
STREAMS = 4
CONNECTIONS = 8  # of the load's argument: 32 handshakes would take most of a short round
_NAME = "bench.example.com"


class _Client(QuicConnectionProtocol):
    """One connection with STREAMS requests at a time, until `until`."""

    request: bytes
    until: float
    latencies: list[float]

    def begin(self) -> asyncio.Future[None]:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked: dict[int, float] = {}
        control = self._quic.get_next_available_stream_id(is_unidirectional=True)
        self._quic.send_stream_data(control, encode_varint(StreamType.CONTROL) + encode_settings({}))
        for _ in range(STREAMS):
            self._ask()
        self.transmit()
        return self.done

    def _ask(self) -> None:
        stream = self._quic.get_next_available_stream_id()
        self._asked[stream] = time.perf_counter()
        self._quic.send_stream_data(stream, self.request, end_stream=True)

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, StreamDataReceived) and event.end_stream:
            now = time.perf_counter()
            self.latencies.append(now - self._asked.pop(event.stream_id))
            if now < self.until:
                self._ask()
            elif not self._asked:
                self.done.set_result(None)
        elif isinstance(event, StreamReset | ConnectionTerminated) and not self.done.done():
            self.done.set_exception(ConnectionResetError(f"the server gave up: {event}"))


def _request(port: int, path: str) -> bytes:
    fields = [
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":authority", f"{_NAME}:{port}".encode()),
        (b":path", path.encode()),
        (b"user-agent", b"load"),
        (b"accept", b"*/*"),
    ]
    return encode_frame(FrameType.HEADERS, pylsqpack.Encoder().encode(0, fields)[1])


async def _load(port: int, connections: int, seconds: float, path: str) -> dict[str, float]:
    made = QuicConfiguration(alpn_protocols=["h3"], server_name=_NAME, verify_mode=ssl.CERT_NONE)
    latencies: list[float] = []
    async with asyncio.timeout(seconds + 20):
        clients = []
        async with AsyncExitStack() as stack:
            for _ in range(connections):
                opened = connect("127.0.0.1", port, configuration=made, create_protocol=_Client)
                clients.append(await stack.enter_async_context(opened))
            started = time.perf_counter()
            _Client.request, _Client.latencies = _request(port, path), latencies
            _Client.until = started + seconds
            await asyncio.gather(*(client.begin() for client in clients))  # type: ignore[attr-defined]
            took = time.perf_counter() - started
    return line_of(latencies, took)


def main() -> None:
    """Without arguments: print rates, 99th percentiles and the ratio. Else be the load."""
    if sys.argv[1:]:
        port, _, seconds, path = sys.argv[1:]
        print(json.dumps(asyncio.run(_load(int(port), CONNECTIONS, float(seconds), path))))
    else:
        _compare()


def _compare() -> None:
    identity = Authority.create("bench", datetime.now(UTC)).issue((_NAME,))  # noqa: TID251 - of today
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        files = [directory / "chain.pem", directory / "key.pem"]
        files[0].write_text(identity.chain_pem)
        files[1].write_text(identity.key_pem)
        port = free_port()
        spec = AppSpec(listen=port, names=(_NAME,))
        sides = [stack.enter_context(role("app role", spec, port, identity=identity))]
        for loop in ("asyncio", "uvloop"):
            port = free_port()
            argv = [sys.executable, "-m", "benchmarks.protocols_hypercorn", str(port), loop]
            argv += [str(file) for file in files]
            sides.append(stack.enter_context(program(f"hypercorn on {loop}", argv, port)))
        print_table(compare("benchmarks.protocols_http3", sides, "/health"), TARGET)


if __name__ == "__main__":
    main()
