"""Sections: the legs of a request between two programs that read it, whatever passed the bytes on between.

A layer 4 balancer splices two legs into one section: what it passes on is the same TLS session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from netlab.decode.tls import Message, TlsSession
from netlab.trace.dialogue import Passage, Secured
from netlab.trace.leg import View
from netlab.trace.packet import Packet


@dataclass(frozen=True, slots=True)
class Section:
    """`passages` in the order of the request; at least one."""

    passages: tuple[Passage, ...]

    @property
    def first(self) -> Passage:
        return self.passages[0]

    @property
    def last(self) -> Passage:
        return self.passages[-1]

    @property
    def client(self) -> View:
        """The view of the program that asks."""
        return self.first.client

    @property
    def server(self) -> View:
        """The view of the program that reads the request and answers it."""
        return self.last.server

    @property
    def tls(self) -> TlsSession | None:
        return self.first.dialogue.tls

    @property
    def secured(self) -> Secured | None:
        return self.first.dialogue.secured

    @property
    def speaks(self) -> Callable[[Packet], bool]:
        """Whether a packet at the client says something that the other side may wait for."""
        quic = self.first.dialogue.quic
        if quic is None:
            silent = self.first.dialogue.silent
            return lambda packet: packet.speaks and packet.number not in silent
        speaking = quic.speaking
        return lambda packet: packet.number in speaking

    @property
    def sql(self) -> bool:
        return self.first.dialogue.protocol == "sql"


def sections(passages: Iterable[Passage]) -> tuple[Section, ...]:
    """Passages with the same bytes from the client, one after another, are one section."""
    groups: list[list[Passage]] = []
    for passage in passages:
        if groups and groups[-1][-1].dialogue.opening == passage.dialogue.opening:
            groups[-1].append(passage)
        else:
            groups.append([passage])
    return tuple(Section(tuple(group)) for group in groups)


@dataclass(frozen=True, slots=True)
class Interval:
    """A part of a connection as its client saw it: from packet to packet, and all that prove it."""

    start: Packet
    end: Packet
    frames: tuple[int, ...]


def tcp_handshake(view: View) -> Interval | None:
    """SYN, SYN-ACK and the client's ACK, retransmissions included; None where they aren't all there."""
    opening = next((packet for packet in view.packets if packet.opens), None)
    accepting = next((packet for packet in view.packets if packet.accepts), None)
    if opening is None or accepting is None:
        return None
    done = next(
        (
            packet
            for packet in view.packets
            if view.to_server(packet) and not packet.opens and packet.time_ns >= accepting.time_ns
        ),
        None,
    )
    if done is None:
        return None
    frames = [packet.number for packet in view.packets if packet.opens or packet.accepts]
    return Interval(opening, done, (*frames, done.number))


def tls_handshake(section: Section) -> Interval | None:
    """From the ClientHello until the client has sent its Finished; None where they aren't all there."""
    tls, view = section.tls, section.client
    if tls is None:
        return None
    sent = [message for message in tls.messages if message.direction == "client"]
    finished = next((message for message in sent if message.name == "Finished"), None)
    if finished is None or sent[0].name != "ClientHello":
        return None
    by_number = {packet.number: packet for packet in view.packets}
    own = [number for message in sent if message.end <= finished.end for number in _up(view, message)]
    start, end = by_number[own[0]], by_number[_up(view, finished)[-1]]
    frames = set(own)
    for message in tls.messages:
        if message.direction == "server" and message.name != "NewSessionTicket":
            frames.update(view.down.frames_of(message.start, message.end))
    return Interval(start, end, tuple(sorted(frames)))


def _up(view: View, message: Message) -> tuple[int, ...]:
    return view.up.frames_of(message.start, message.end)


def quic_handshake(section: Section) -> Interval | None:
    """From the first packet until the client has sent its Finished; None where they aren't all there."""
    quic, view = section.first.dialogue.quic, section.client
    if quic is None:
        return None
    own = [one for one in quic.messages if one.sender == "client" and one.space != "Application"]
    if not own or own[0].name != "ClientHello" or own[-1].name != "Finished":
        return None
    by_number = {packet.number: packet for packet in view.packets}
    frames = {number for one in quic.messages if one.space != "Application" for number in one.frames}
    return Interval(view.packets[0], by_number[own[-1].frames[-1]], tuple(sorted(frames)))


def _speaks(packet: Packet) -> bool:
    return packet.speaks


def round_trips(view: View, start_ns: int, end_ns: int, speaks: Callable[[Packet], bool] = _speaks) -> int:
    """How many times the client, having said something, had to wait for the server to say something.

    Counts turns between packets that speak (SYN or payload; in QUIC, handshake or stream content) at the
    client's interface, from `start_ns` to `end_ns`: bare acknowledgements say nothing that it waits for.
    """
    trips, waiting = 0, False
    for packet in view.packets:
        if start_ns <= packet.time_ns <= end_ns and speaks(packet):
            if view.to_server(packet):
                waiting = True
            elif waiting:
                trips, waiting = trips + 1, False
    return trips
