"""QUIC, HTTP/3, TLS and HTTP/2 as we decode them, and as tshark does: the same, packet by packet."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from netlab.decode.frame import Frame
from netlab.decode.quic_frames import QuicFrame
from netlab.decode.tls import KeyLog
from netlab.proto import pcapng
from netlab.trace.connection import Connection, connections
from netlab.trace.streams import http2_dialogue, http3_dialogue
from tests.kit.quic_bytes import MS, Network, Tickets, network
from tests.kit.tcp_path import TcpPath
from tests.kit.tls_bytes import contexts
from tests.kit.tls_path import NAME, Http2, secure

# Frame types that tshark prints as numbers (RFC 9000, section 19); a STREAM is any of 8 to 15.
_TYPES = {
    "PADDING": {0},
    "PING": {1},
    "ACK": {2, 3},
    "RESET_STREAM": {4},
    "STOP_SENDING": {5},
    "CRYPTO": {6},
    "NEW_TOKEN": {7},
    "STREAM": set(range(8, 16)),
    "MAX_DATA": {0x10},
    "MAX_STREAM_DATA": {0x11},
    "MAX_STREAMS_BIDI": {0x12},
    "MAX_STREAMS_UNI": {0x13},
    "NEW_CONNECTION_ID": {0x18},
    "RETIRE_CONNECTION_ID": {0x19},
    "PATH_CHALLENGE": {0x1A},
    "PATH_RESPONSE": {0x1B},
    "CONNECTION_CLOSE": {0x1C, 0x1D},
    "HANDSHAKE_DONE": {0x1E},
}
_HTTP2 = ("DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY")
_HTTP2_TYPES = {name: number for number, name in enumerate((*_HTTP2, "WINDOW_UPDATE", "CONTINUATION"))}


def tshark(path: Path, shown: str, *fields: str) -> Iterator[list[str]]:
    """The values of `fields`, all occurrences with commas, for each packet that `shown` selects."""
    chosen = [part for field in fields for part in ("-e", field)]
    argv = [
        "tshark",
        "-r",
        str(path),
        "-o",
        "nameres.network_name:FALSE",
        "-Y",
        shown,
        "-T",
        "fields",
        *chosen,
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    for line in done.stdout.splitlines():
        yield (line.split("\t") + [""] * len(fields))[: len(fields)]


def written(path: Path, frames: tuple[Frame, ...], keys: str) -> tuple[Frame, ...]:
    """A pcapng file with the secrets, as netlab writes one per hop; its frames, numbered as there."""
    blocks = [pcapng.section("test"), pcapng.interface("client:eth0"), pcapng.secrets(keys)]
    blocks += [pcapng.packet(0, one.time_ns, one.data) for one in frames]
    path.write_bytes(b"".join(blocks))
    return tuple(
        Frame(number, one.time_ns, one.node, one.interface, one.length, one.data)
        for number, one in enumerate(frames, 1)
    )


def compare_quic(path: Path, made: Network) -> Connection:
    frames = written(path, made.frames("client"), made.secrets.getvalue())
    (connection,) = connections(frames, made.keys)
    assert connection.quic is not None
    ours: dict[int, list[int]] = {}
    inside: dict[int, list[QuicFrame]] = {}
    for packet in connection.quic.packets:
        ours.setdefault(packet.frame, []).append(packet.number)
        inside.setdefault(packet.frame, []).extend(packet.frames)
    compared = 0
    for number, packets, types in tshark(
        path, "quic", "frame.number", "quic.packet_number", "quic.frame_type"
    ):
        frame = int(number)
        assert [int(one) for one in packets.split(",") if one] == ours[frame], frame
        theirs = [int(one) for one in types.split(",") if one]
        names = [one.name for one in inside[frame]]
        assert len(theirs) == len(names), (frame, theirs, names)
        assert all(kind in _TYPES[name] for kind, name in zip(theirs, names, strict=True)), (frame, names)
        compared += 1
    assert compared == len(ours)
    return connection


_HTTP3_TYPES = {"DATA": 0, "HEADERS": 1, "CANCEL_PUSH": 3, "SETTINGS": 4, "PUSH_PROMISE": 5, "GOAWAY": 7}


@pytest.mark.needs("tshark")
def test_http3(tmp_path: Path) -> None:
    made = network()
    made.connect()
    made.fetch("/a", "/b")
    made.settle(200 * MS)
    made.fetch("/a")
    connection = compare_quic(tmp_path / "quic.pcapng", made)
    assert connection.quic is not None
    shown = tshark(tmp_path / "quic.pcapng", "http3", "http3.frame_type")
    known = set(_HTTP3_TYPES.values())
    theirs = [int(one) for (types,) in shown for one in types.split(",") if one and int(one) in known]
    ours = [_HTTP3_TYPES.get(one.type) for one in http3_dialogue(connection.quic).frames]
    assert sorted(theirs) == sorted(one for one in ours if one is not None)


@pytest.mark.needs("tshark")
def test_quic_with_losses_updates_and_a_migration(tmp_path: Path) -> None:
    rng = random.Random(3)
    made = network(
        lost_down=lambda number, _: number > 9 and rng.random() < 0.03, answer=lambda _: bytes(30_000)
    )
    made.connect()
    made.fetch("/a", "/b", "/c")
    made.settle(300 * MS)
    made.client.request_key_update()
    made.fetch("/d")
    made.settle(300 * MS)
    made.client_address = ("198.51.100.9", 6000)
    made.client.change_connection_id()
    made.fetch("/e")
    made.client.close()
    made.settle(300 * MS)
    connection = compare_quic(tmp_path / "quic.pcapng", made)
    assert len(connection.requests) == 5


@pytest.mark.needs("tshark")
def test_quic_retry_and_early_data(tmp_path: Path) -> None:
    tickets = Tickets()
    ways: tuple[dict[str, object], ...] = ({"retry": True}, {"tickets": tickets}, {"tickets": tickets})
    for number, options in enumerate(ways):
        made = network(**options)  # type: ignore[arg-type]
        made.connect()
        made.fetch("/a")
        made.settle(300 * MS)
        path = tmp_path / f"{number}.pcapng"
        if "retry" not in options:
            compare_quic(path, made)
            continue
        frames = written(path, made.frames("client"), made.secrets.getvalue())
        (connection,) = connections(frames, made.keys)
        assert connection.quic is not None
        retry = next(one for one in connection.quic.packets if one.type == "Retry")
        ((token,),) = tshark(path, "quic.long.packet_type == 3", "quic.retry_token")
        assert bytes.fromhex(token.replace(":", "")) == retry.sealed.token


@pytest.mark.needs("tshark")
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_http2_over_tls(tmp_path: Path, version: str) -> None:
    client, server, log = contexts(tmp_path, NAME, version, ("h2",))
    path = TcpPath()
    http = Http2(*secure(path, (client, server)), together=2, answer=lambda _: bytes(9000))
    http.client.ready = lambda: http.ask("/a", "/b")
    path.connect()
    path.run(lambda: len(http.done) == 2)
    path.settle()
    capture = tmp_path / "tcp.pcapng"
    frames = written(capture, path.frames("client"), log.read_text())
    (connection,) = connections(frames, KeyLog.parse(log.read_text()))
    read = http2_dialogue(*connection.plain)
    theirs = [
        (int(kind), int(stream))
        for kinds, streams in tshark(capture, "http2", "http2.type", "http2.streamid")
        for kind, stream in zip(kinds.split(","), streams.split(","), strict=True)
        if kind
    ]
    ours = [(_HTTP2_TYPES[one.type], one.stream) for one in (*read.sent, *read.answered)]
    assert sorted(theirs) == sorted(ours)
    shown = list(tshark(capture, "tls.handshake.type", "frame.number", "tls.handshake.type"))
    told = sorted((message.done, message.name) for message in connection.handshake.messages)
    assert sum(len(kinds.split(",")) for _, kinds in shown) == len(told), (shown, told)
    assert {int(number) for number, _ in shown} == {number for number, _ in told}
