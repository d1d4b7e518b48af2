"""A QUIC connection as one interface saw it: packets opened with the logged secrets, frames, streams.

Sources: RFC 9000, RFC 9001. Whatever can't be read is kept, with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from netlab.decode import quic_packet as wire
from netlab.decode.quic_frames import QuicFrame, frames
from netlab.decode.quic_keys import VERSIONS, Keys, initial_keys
from netlab.decode.quic_packet import Opened, Sealed
from netlab.decode.quic_parameters import Parameters, parameters
from netlab.decode.quic_seen import Address, Datagram, Path, QuicMessage, QuicPacket, Side
from netlab.decode.quic_stream import QuicStream, Repeat
from netlab.decode.tls_hello import ClientHello, client_hello, encrypted_extensions, server_hello
from netlab.decode.tls_keys import SUITES_13, KeyLog, Suite
from netlab.decode.tls_messages import name_of

_GENERATIONS = 4  # how many key updates the capture may have missed at once
_LABELS = {
    wire.ZERO_RTT: "{}_EARLY_TRAFFIC_SECRET",
    wire.HANDSHAKE: "{}_HANDSHAKE_TRAFFIC_SECRET",
    wire.ONE_RTT: "{}_TRAFFIC_SECRET_0",
}


class _Space:
    """One side's packets of one number space."""

    def __init__(self) -> None:
        self.largest = -1
        self.seen: set[int] = set()
        self.crypto = QuicStream(-1)
        self.read = 0  # how much of `crypto` has been taken apart into messages


@dataclass
class QuicConnection:
    """`early_data`: "" where the client sent none, "accepted", "rejected", or "offered" where the capture
    doesn't show the server's answer. `streams` by id and sender. `cipher`, `sni`, `alpn` "" where unknown.
    `problems`: what could not be read, each reason once, with how many packets it holds for."""

    client: Address
    server: Address
    keys: KeyLog
    version: str = ""
    cipher: str = ""
    sni: str = ""
    alpn: str = ""
    resumed: bool = False
    early_data: str = ""
    retry: bool = False
    negotiated: bool = False
    packets: list[QuicPacket] = field(default_factory=list)
    messages: list[QuicMessage] = field(default_factory=list)
    streams: dict[tuple[int, Side], QuicStream] = field(default_factory=dict)
    paths: list[Path] = field(default_factory=list)
    ids: dict[bytes, Side] = field(default_factory=dict)  # connection ID ─► who is called so
    reset_tokens: set[bytes] = field(default_factory=set)
    parameters: dict[Side, Parameters] = field(default_factory=dict)
    _spaces: dict[tuple[str, Side], _Space] = field(default_factory=dict)
    _held: dict[tuple[str, Side], Keys] = field(default_factory=dict)
    _starts: list[bytes] = field(default_factory=list)  # what Initial keys may come from, latest first
    _initial: dict[tuple[bytes, int], tuple[Keys, Keys]] = field(default_factory=dict)
    _hello: ClientHello | None = None
    _suite: Suite | None = None
    _waiting: list[QuicPacket] = field(default_factory=list)

    def begin(self, destination: bytes) -> None:
        """A client's Initial packet to `destination`, which is the server's name until it chooses another."""
        if destination not in self._starts:
            self._starts.insert(0, destination)
            self.ids.setdefault(destination, "server")

    def add(self, datagram: Datagram, sealed: Sealed, sender: Side) -> QuicPacket:
        """Takes a packet that belongs here; a short header's `number_at` has been set."""
        packet = QuicPacket(datagram, sealed, sender)
        self.packets.append(packet)
        self._path(packet)
        if sealed.source:
            self.ids.setdefault(sealed.source, sender)
        if sealed.type in (wire.RETRY, wire.NEGOTIATION):
            self._start_over(sealed)
        elif sealed.type in (wire.INITIAL, wire.ZERO_RTT, wire.HANDSHAKE, wire.ONE_RTT):
            if sealed.type == wire.INITIAL and sender == "client" and self._starts_anew(sealed):
                self.begin(sealed.destination)
            self._take(packet, packet.frame)
        return packet

    def _starts_anew(self, sealed: Sealed) -> bool:
        return not self._starts or bool(sealed.token and self.retry)

    def _path(self, packet: QuicPacket) -> None:
        one, other = packet.datagram.src, packet.datagram.dst
        ends = (one, other) if packet.sender == "client" else (other, one)
        if not any((path.client, path.server) == ends for path in self.paths):
            self.paths.append(Path(*ends, packet.frame))

    def _start_over(self, sealed: Sealed) -> None:
        """The client begins anew (RFC 9000, sections 6.2 and 17.2.5): its next Initial packet brings keys.
        Once the server has said anything else, neither means anything (17.2.5.2)."""
        if self._suite is not None or ("Initial", "server") in self._spaces:
            return
        self.retry = self.retry or sealed.type == wire.RETRY
        self.negotiated = self.negotiated or sealed.type == wire.NEGOTIATION
        if sealed.type == wire.RETRY and sealed.source is not None:
            self.begin(sealed.source)
        self._spaces.clear()
        self._held.clear()
        self._hello = None

    # ------------------------------------------------------------------------------------ opening

    def _take(self, packet: QuicPacket, now: int) -> None:
        """Opens a packet and what waited for its secrets; `now`: the frame with which it could be read."""
        space = self._spaces.setdefault((packet.space, packet.sender), _Space())
        opened, packet.problem = self._open(packet, space)
        if opened is None:
            if packet.problem.startswith("no keys"):
                self._waiting.append(packet)
            return
        packet.number, packet.header_length = opened.number, opened.header_length
        packet.key_phase, packet.spin, packet.generation = opened.key_phase, opened.spin, opened.generation
        packet.frames, packet.problem = frames(opened.plain)
        if opened.number in space.seen:
            return  # a copy that the network made: RFC 9000, section 12.3
        space.seen.add(opened.number)
        space.largest = max(space.largest, opened.number)
        if self._apply(packet, space, now):
            waiting, self._waiting = self._waiting, []
            for one in waiting:
                self._take(one, now)

    def _open(self, packet: QuicPacket, space: _Space) -> tuple[Opened | None, str]:
        sealed, data = packet.sealed, packet.datagram.data
        if sealed.type == wire.INITIAL:
            choices = [self._initial_keys(start, sealed.version, packet.sender) for start in self._starts]
        else:
            choices = self._secrets(packet)
            if not choices:
                return None, self._lacking(packet)
        for keys in choices:
            found = wire.unprotect(data, sealed, keys, space.largest, lambda phase, k=keys: _tries(k, phase))  # type: ignore[misc]
            if found is not None:
                self._hold(packet, keys, found)
                return found, ""
        return None, "the secrets that there are don't open it"

    def _initial_keys(self, start: bytes, version: int, sender: Side) -> Keys:
        pair = self._initial.get((start, version))
        if pair is None:
            pair = self._initial[start, version] = initial_keys(start, version)
        return pair[0] if sender == "client" else pair[1]

    def _secrets(self, packet: QuicPacket) -> list[Keys]:
        """The keys for a packet that isn't Initial, or all that may fit."""
        held = self._held.get((packet.type, packet.sender))
        if held is not None:
            return [held]
        secret = self._secret(packet)
        if secret is None:
            return []
        if packet.type == wire.ZERO_RTT:  # of an earlier connection's suite, before this one has any
            offered = self._hello.suites if self._hello else ()
            fits = [SUITES_13[one] for one in offered if one in SUITES_13 and _fits(SUITES_13[one], secret)]
        else:
            fits = [self._suite] if self._suite else []
        version = packet.sealed.version or self._version_number
        return [Keys(secret, suite, version) for suite in fits]

    @property
    def _version_number(self) -> int:
        return next((number for number, name in VERSIONS.items() if name == self.version), 1)

    def _secret(self, packet: QuicPacket) -> bytes | None:
        if self._hello is None:
            return None
        return self.keys.secret(_LABELS[packet.type].format(packet.sender.upper()), self._hello.random)

    def _lacking(self, packet: QuicPacket) -> str:
        label = _LABELS[packet.type].format(packet.sender.upper())
        if self._hello is None:
            return f"no keys: the capture has no ClientHello to look {label} up by"
        if self._secret(packet) is None:
            random = self._hello.random.hex()[:16]
            return f"no keys: the key log has no {label} for the client random {random}…"
        return "no keys: the capture has no ServerHello, which names the cipher suite"

    def _hold(self, packet: QuicPacket, keys: Keys, opened: Opened) -> None:
        if packet.type == wire.INITIAL:
            self.version = VERSIONS[packet.sealed.version]
            return
        held = keys
        while held.generation < opened.generation:
            held = held.next
        self._held[packet.type, packet.sender] = held

    # ----------------------------------------------------------------------------------- contents

    def _apply(self, packet: QuicPacket, space: _Space, now: int) -> bool:
        """Takes in the frames; whether new secrets can be looked up since."""
        learnt = False
        for one in packet.frames:
            if one.name == "CRYPTO":
                space.crypto.add(
                    one.integer("offset"), one.octets("data"), False, (packet.frame, packet.number), now
                )
                learnt = self._messages(packet, space) or learnt
            elif one.name in ("STREAM", "RESET_STREAM"):
                self._stream(packet, one, now)
            elif one.name == "NEW_CONNECTION_ID":
                self.ids.setdefault(one.octets("connection_id"), packet.sender)
                self.reset_tokens.add(one.octets("stateless_reset_token"))
        return learnt

    def _stream(self, packet: QuicPacket, one: QuicFrame, now: int) -> None:
        key = one.integer("stream_id"), packet.sender
        stream = self.streams.setdefault(key, QuicStream(key[0]))
        if one.name == "RESET_STREAM":
            stream.reset, stream.final_size = one.integer("error_code"), one.integer("final_size")
            return
        carrier = packet.frame, packet.number
        stream.add(one.integer("offset"), one.octets("data"), bool(one.integer("fin")), carrier, now)

    def _messages(self, packet: QuicPacket, space: _Space) -> bool:
        """Takes whole handshake messages out of the CRYPTO stream (RFC 8446, section 4)."""
        learnt = False
        while True:
            data = space.crypto.since(space.read)
            end = 4 + int.from_bytes(data[1:4], "big")
            if len(data) < 4 or len(data) < end:
                return learnt
            start, space.read = space.read, space.read + end
            carriers = space.crypto.frames_of(start, space.read)
            name = name_of(data[0], data[4:end])
            done = space.crypto.frame_at(space.read - 1)
            self.messages.append(QuicMessage(name, packet.sender, packet.space, carriers, done, data[4:end]))
            try:
                learnt = self._message(name, data[4:end], packet.sender) or learnt
            except ValueError as error:
                packet.problem = f"damaged {name}: {error}"

    def _message(self, name: str, body: bytes, sender: Side) -> bool:
        if name == "ClientHello" and sender == "client":
            self._hello = hello = client_hello(body)
            self.sni = hello.sni
            self.early_data = "offered" if hello.early_data else ""
            self._parameters("client", hello.quic)
            return True
        if name == "ServerHello" and sender == "server":
            choice = server_hello(body)
            self._suite = SUITES_13.get(choice.suite)
            self.cipher = self._suite.name if self._suite else f"0x{choice.suite:04x}"
            self.resumed = choice.psk
            return True
        if name == "EncryptedExtensions" and sender == "server":
            found = encrypted_extensions(body)
            self.alpn = found.alpn
            if self.early_data:
                self.early_data = "accepted" if found.early_data else "rejected"
            self._parameters("server", found.quic)
        return False

    def _parameters(self, side: Side, data: bytes | None) -> None:
        if data is None:
            return
        self.parameters[side] = found = parameters(data)
        token = found.get("stateless_reset_token")
        if isinstance(token, bytes):
            self.reset_tokens.add(token)

    # -------------------------------------------------------------------------------------- views

    @property
    def speaking(self) -> frozenset[int]:
        """The frames of packets that speak."""
        return frozenset(one.frame for one in self.packets if one.speaks)

    @property
    def client_random(self) -> bytes:
        """Of the latest ClientHello; no other connection has it. Empty where there is none."""
        return self._hello.random if self._hello is not None else b""

    @property
    def problems(self) -> tuple[str, ...]:
        counts: dict[str, int] = {}
        for packet in self.packets:
            if packet.problem:
                text = f"{packet.type} packets of the {packet.sender}: {packet.problem}"
                counts[text] = counts.get(text, 0) + 1
        return tuple(f"{count} {text}" for text, count in counts.items())

    @property
    def repeats(self) -> tuple[Repeat, ...]:
        """Stream bytes that were carried again, in the order of the capture."""
        found = [one for stream in self.streams.values() for one in stream.repeats]
        return tuple(sorted(found, key=lambda one: one.again.frame))

    def missing(self, sender: Side) -> tuple[tuple[str, int], ...]:
        """Packets of `sender` that did not come here although later ones did: (space, packet number).

        Lost on the way here, or not captured; an implementation may also skip numbers. Some count all
        their spaces with one counter (no number is in two spaces): there, a number that another space
        has isn't missing.
        """
        spaces = {name: space for (name, side), space in self._spaces.items() if side == sender}
        every = [number for space in spaces.values() for number in space.seen]
        together = set(every) if len(set(every)) == len(every) and len(spaces) > 1 else set[int]()
        return tuple(
            (name, number)
            for name, space in spaces.items()
            for number in range(min(space.seen, default=0) if together else 0, space.largest)
            if number not in space.seen and number not in together
        )

    @property
    def close(self) -> QuicPacket | None:
        """The first packet with CONNECTION_CLOSE."""
        return next(
            (one for one in self.packets if any(frame.name == "CONNECTION_CLOSE" for frame in one.frames)),
            None,
        )


def _fits(suite: Suite, secret: bytes) -> bool:
    return len(secret) == (48 if suite.hash == "sha384" else 32)


def _tries(keys: Keys, phase: int) -> tuple[Keys, ...]:
    """Keys of this and later generations with the key phase of the packet, and the one before these."""
    found, one = [], keys
    for _ in range(_GENERATIONS):
        if one.generation % 2 == phase:
            found.append(one)
        one = one.next
    if keys.previous is not None and keys.previous.generation % 2 == phase:
        found.append(keys.previous)  # it was overtaken by the update
    return tuple(found)
