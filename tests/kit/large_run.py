"""A run as large as wanted, without a lab: downloads over TCP across a NAT and a router."""

from __future__ import annotations

from pathlib import Path

from netlab.decode.frame import ACK, Frame
from netlab.decode.tls import KeyLog
from netlab.trace.claim import Claim, Verdict
from netlab.trace.findings import Findings
from netlab.trace.recording import Recording
from netlab.trace.run import RunCapture
from tests.kit.story import CLICK, outside_path, run
from tests.kit.wire_capture import MS, Tcp, Wire

_SEGMENTS = 300  # of one connection, each acknowledged: 600 packets and 3 of the handshake, 6 sightings each


def large(packets: int) -> tuple[Recording, Findings]:
    """At least so many, of whole connections; claims point into all of them."""
    wire, number = Wire(), 0
    while len(wire.seen) < packets:
        path = outside_path(40_000 + number, 40_000 + number)
        tcp = Tcp(wire, path, client_seq=1000 + number, server_seq=900_000 + number)
        at = tcp.handshake(CLICK + number * 200 * MS)
        at = tcp.send(at, True, b"GET / HTTP/1.1\r\nHost: origin.example.com\r\n\r\n")
        size = 1000 * _SEGMENTS
        for piece in range(_SEGMENTS):
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size if not piece else b""
            tcp.segment(at + piece * MS // 4, False, ACK, head + bytes(1000))
            tcp.segment(at + piece * MS // 4 + 20 * MS, True, ACK)
        number += 1
    frames = wire.frames()
    ran = run().model_copy(update={"capture": RunCapture(packets=len(frames))})
    read = Recording(Path("run"), ran, (), KeyLog())
    read.__dict__["frames"] = frames
    return read, Findings(claims=tuple(_claims(frames)))


def _claims(frames: tuple[Frame, ...]) -> list[Claim]:
    """Twenty, from the first packet to the last."""
    made = []
    for at in range(0, len(frames), max(len(frames) // 20, 1)):
        evidence = {"all": tuple(range(at + 1, min(at + 10, len(frames))))}
        made.append(Claim(f"c{at}", "1", "a statement", "one", "two", Verdict.HOLDS, evidence))
    return made
