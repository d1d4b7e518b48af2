"""What anybody may send to a QUIC port: it gets the protocol's own answer, or none, and nothing is left."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted
from aioquic.quic.packet import QuicErrorCode

from netlab.model.roles import TlsServer
from netlab.net.quic_server import Listener
from netlab.proto.http3_frames import ErrorCode, encode_frame, encode_varint
from netlab.proto.quic_endpoint import VERSIONS, refusal
from netlab.proto.quic_endpoint import long_header as header_of
from tests.kit.http3_pair import NAME, Pair, ask, paired
from tests.kit.roles_in_process import until

CLIENT_ID, SERVER_ID = b"client-1", b"server-1"


class Peer:
    """A client of our own, whose packets the test can bend: aioquic over a plain socket."""

    def __init__(self, port: int, alpn: str = "h3") -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setblocking(False)
        self.sock.connect(("127.0.0.1", port))
        self.quic = QuicConnection(
            configuration=QuicConfiguration(
                alpn_protocols=[alpn], server_name=NAME, verify_mode=ssl.CERT_NONE
            )
        )
        self.address = ("127.0.0.1", port)
        self.loop = asyncio.get_running_loop()
        self.quic.connect(self.address, now=self.loop.time())
        self.ready = False
        self.end: ConnectionTerminated | None = None

    def flush(self) -> None:
        for data, _ in self.quic.datagrams_to_send(now=self.loop.time()):
            self.sock.send(data)

    def turn(self) -> None:
        """Send, receive, and look at what happened."""
        self.flush()
        while True:
            try:
                data = self.sock.recv(65535)
            except BlockingIOError:
                break
            self.quic.receive_datagram(data, self.address, self.loop.time())
        timer = self.quic.get_timer()
        if timer is not None and self.loop.time() >= timer:
            self.quic.handle_timer(self.loop.time())
        while (event := self.quic.next_event()) is not None:
            self.ready = self.ready or isinstance(event, HandshakeCompleted)
            if isinstance(event, ConnectionTerminated):
                self.end = event

    async def connected(self) -> Peer:
        def done() -> bool:
            self.turn()
            return self.ready

        await until(done, "the handshake is done")
        return self

    async def ended(self) -> ConnectionTerminated:
        def done() -> bool:
            self.turn()
            return self.end is not None

        await until(done, "the server closes the connection")
        assert self.end is not None
        return self.end


def answer_to(port: int, *datagrams: bytes) -> bytes:
    """The last answer; b"" where there is none by the time that the server has answered a good one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        sock.settimeout(5)
        for datagram in datagrams:
            sock.send(datagram)
        sock.send(unknown_version())
        got = sock.recv(65535)
        return b"" if got[1:5] == bytes(4) else got


def unknown_version(version: int = 0x1A2A3A4A, size: int = 1200) -> bytes:
    head = b"\xc0" + version.to_bytes(4, "big") + bytes([8]) + SERVER_ID + bytes([8]) + CLIENT_ID
    return head + bytes(size - len(head))


@pytest.fixture
def listeners(monkeypatch: pytest.MonkeyPatch) -> list[Listener]:
    made: list[Listener] = []
    opened = Listener.open

    def remember(listener: Listener, port: int, hosts: tuple[str, ...]) -> int:
        made.append(listener)
        return opened(listener, port, hosts)

    monkeypatch.setattr(Listener, "open", remember)
    return made


def clean(pair: Pair, listener: Listener) -> Callable[[], bool]:
    return lambda: not len(listener.endpoint) and not listener.endpoint.connections


def test_version_negotiation(tmp_path: Path) -> None:
    """RFC 9000 section 6 and RFC 8999 section 6; connection IDs of other versions may be longer."""

    async def work(pair: Pair) -> None:
        def versions(datagram: bytes) -> tuple[bytes, bytes, set[int]]:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.connect(("127.0.0.1", pair.port))
                sock.settimeout(5)
                sock.send(datagram)
                got = sock.recv(65535)
            header = header_of(got)
            assert header is not None
            assert header.version == 0
            rest = got[7 + len(header.destination) + len(header.source) :]
            found = {int.from_bytes(rest[at : at + 4], "big") for at in range(0, len(rest), 4)}
            return header.destination, header.source, found

        assert await asyncio.to_thread(versions, unknown_version()) == (CLIENT_ID, SERVER_ID, set(VERSIONS))
        long = b"\xff\x0a\x0a\x0a\x0a" + bytes([200]) + b"d" * 200 + bytes([255]) + b"s" * 255 + bytes(900)
        assert await asyncio.to_thread(versions, long) == (b"s" * 255, b"d" * 200, set(VERSIONS))
        silent = (unknown_version(size=1199), unknown_version(0))
        assert await asyncio.to_thread(answer_to, pair.port, *silent) == b""

    paired(tmp_path, work)


def test_fuzz(tmp_path: Path, listeners: list[Listener]) -> None:
    """Random bytes, bent Initials, cut and joined datagrams: the server goes on, and nothing is left."""
    rng = random.Random(7)

    def rubbish(initial: bytes) -> bytes:
        kind = rng.randrange(5)
        if kind == 0:
            return rng.randbytes(rng.randrange(1, 1500))
        if kind == 1:
            return initial[: rng.randrange(1, len(initial))]
        if kind == 2:
            return b"\xc0\0\0\0\1" + rng.randbytes(1300)
        bent = bytearray(initial)
        for _ in range(rng.randrange(1, 8)):
            bent[rng.randrange(len(bent) if kind == 3 else 60)] = rng.randrange(256)
        return bytes(bent)

    async def work(pair: Pair) -> None:
        first = Peer(pair.port)
        [(initial, _), *_] = first.quic.datagrams_to_send(now=first.loop.time())
        for number in range(600):
            first.sock.send(rubbish(initial))
            if number % 50 == 0:
                await asyncio.sleep(0)
        async with pair.connection() as connection:
            assert await ask(connection, "/still") == (200, b"/still")
        first.sock.close()
        for link in listeners[0].endpoint.connections:
            link.close(0)
        await until(clean(pair, listeners[0]), "no connection is left")
        assert not pair.server.events("error"), pair.server.events("error")

    paired(tmp_path, work)


def test_fuzzed_frames(tmp_path: Path, listeners: list[Listener]) -> None:
    """Well-encrypted rubbish on streams: each connection ends by a code, or goes on; no traceback."""
    rng = random.Random(11)

    async def work(pair: Pair) -> None:
        for _ in range(25):
            peer = await Peer(pair.port).connected()
            for stream in (0, 2, 4, 6, 10):
                peer.quic.send_stream_data(stream, rng.randbytes(rng.randrange(1, 400)), rng.random() < 0.3)
            peer.turn()
            peer.quic.close()
            peer.flush()
            peer.sock.close()
        await until(clean(pair, listeners[0]), "no connection is left")
        causes = {event["cause"] for event in pair.server.events("error")}
        assert not any("aioquic" in cause for cause in causes), causes

    paired(tmp_path, work)


def test_codes_of_http3(tmp_path: Path, listeners: list[Listener]) -> None:
    """CONNECTION_CLOSE has the code of RFC 9114 section 8.1."""

    async def work(pair: Pair) -> None:
        for stream, content, code in (
            (0, encode_frame(0, b"x"), ErrorCode.FRAME_UNEXPECTED),
            (2, b"\0" + encode_frame(0x21, b""), ErrorCode.MISSING_SETTINGS),
            (2, b"\0" + encode_frame(4, b"\2\0"), ErrorCode.SETTINGS_ERROR),
            (2, b"\1", ErrorCode.STREAM_CREATION_ERROR),
            (0, encode_frame(1, b"\xff" * 20), ErrorCode.QPACK_DECOMPRESSION_FAILED),
            (2, b"\0\4" + encode_varint(1 << 40), ErrorCode.EXCESSIVE_LOAD),
        ):
            peer = await Peer(pair.port).connected()
            peer.quic.send_stream_data(stream, content)
            ended = await peer.ended()
            assert ended.error_code == code, (ended, code)
            peer.sock.close()
        await until(clean(pair, listeners[0]), "no connection is left")

    paired(tmp_path, work)


def too_many_streams(quic: QuicConnection) -> None:
    quic._remote_max_streams_bidi = 10_000
    quic.send_stream_data(4 * 5000, b"x")


def too_far_ahead(quic: QuicConnection) -> None:
    """Data at an offset that no credit was given for."""
    quic.send_stream_data(0, b"")
    stream = quic._streams[0]
    stream.max_stream_data_remote = quic._remote_max_data = 1 << 40
    stream.sender._buffer_start = stream.sender._buffer_stop = 1 << 30
    quic.send_stream_data(0, b"far away")


def test_codes_of_quic(tmp_path: Path, listeners: list[Listener]) -> None:
    """Limits of streams and data, and what the handshake refuses (RFC 9000 section 20.1)."""

    async def work(pair: Pair) -> None:
        peer = Peer(pair.port, alpn="h2")
        assert (await peer.ended()).error_code == QuicErrorCode.CRYPTO_ERROR + 120  # no_application_protocol
        peer.sock.close()
        for bend, code in (
            (too_many_streams, QuicErrorCode.STREAM_LIMIT_ERROR),
            (too_far_ahead, QuicErrorCode.FLOW_CONTROL_ERROR),
        ):
            peer = await Peer(pair.port).connected()
            bend(peer.quic)
            ended = await peer.ended()
            assert ended.error_code == code, (bend, ended)
            peer.sock.close()
        await until(clean(pair, listeners[0]), "no connection is left")

    paired(tmp_path, work)


def test_a_lost_close_is_sent_again(tmp_path: Path, listeners: list[Listener]) -> None:
    """RFC 9000 section 10.2.1: what still comes for a closed connection is answered with its close."""

    async def work(pair: Pair) -> None:
        peer = await Peer(pair.port).connected()
        peer.flush()
        await until(lambda: pair.server.events("quic-handshake"), "the server is done too")
        [link] = listeners[0].endpoint.connections
        link.close(0x100, "bye")
        with contextlib.suppress(BlockingIOError):
            while peer.sock.recv(65535):
                pass  # it is lost, with all that came before
        peer.quic.send_ping(1)
        assert (await peer.ended()).reason_phrase == "bye"
        peer.sock.close()

    paired(tmp_path, work)


def test_refusal_can_be_read(tmp_path: Path) -> None:
    """A connection beyond the limit gets CONNECTION_REFUSED in an Initial packet."""

    async def work(pair: Pair) -> None:
        peer = Peer(pair.port)
        [(initial, _), *_] = peer.quic.datagrams_to_send(now=peer.loop.time())
        header = header_of(initial)
        assert header is not None
        closing = refusal(header, QuicErrorCode.CONNECTION_REFUSED)
        peer.quic.receive_datagram(closing, peer.address, peer.loop.time())
        assert (await peer.ended()).error_code == QuicErrorCode.CONNECTION_REFUSED
        peer.sock.close()

    paired(tmp_path, work)


def test_idle_connections_end(tmp_path: Path, listeners: list[Listener]) -> None:
    async def work(pair: Pair) -> None:
        peer = await Peer(pair.port).connected()
        peer.sock.close()
        await until(clean(pair, listeners[0]), "the silent one is forgotten")
        [closed] = pair.server.events("connection-closed")
        assert closed["cause"] == "Idle timeout", closed

    quic = TlsServer().quic.model_copy(update={"idle_ns": 500_000_000})
    paired(tmp_path, work, tls=TlsServer(quic=quic))
