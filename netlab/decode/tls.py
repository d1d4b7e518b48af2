"""A TLS connection from its two TCP streams and the logged secrets: what was said, and in which bytes.

Sources: RFC 8446 (TLS 1.3), RFC 5246 (TLS 1.2), RFC 6066 (SNI), RFC 7301 (ALPN). Decrypts TLS 1.3
with AES-GCM and ChaCha20-Poly1305, key updates included, and TLS 1.2 with the same. Early data (0-RTT)
is not decrypted. Offsets count from the start of the TCP stream.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from cryptography.exceptions import InvalidTag

from netlab.decode.stream import Stream
from netlab.decode.tls_hello import ClientHello, ServerHello, client_hello, encrypted_extensions, server_hello
from netlab.decode.tls_keys import SUITES_12, SUITES_13, KeyLog, Opener, Suite, next_secret, open_12, open_13
from netlab.decode.tls_messages import (
    CLIENT_HELLO,
    ENCRYPTED_EXTENSIONS,
    FINISHED,
    KEY_UPDATE,
    SERVER_HELLO,
    name_of,
)
from netlab.decode.tls_seen import Alert, Message, Plaintext, Side, TlsRecord
from netlab.errors import RemoteProtocolError
from netlab.proto.proxy_protocol import HeaderReader

__all__ = [
    "Alert",
    "KeyLog",
    "Message",
    "Plaintext",
    "Side",
    "TlsRecord",
    "TlsSession",
    "decrypt",
    "hello_offset",
    "unopened",
]

_CHANGE_CIPHER_SPEC, _ALERT, _HANDSHAKE, _APPLICATION_DATA = 20, 21, 22, 23
_LARGEST_RECORD = 16384 + 2048  # RFC 5246, section 6.2.3; TLS 1.3 allows 256 bytes past 16384
_LARGEST_PROXY_HEADER = 4112  # what netlab.proto.proxy_protocol reads


@dataclass(slots=True)
class TlsSession:
    """What a TLS connection showed. `undecrypted` says why its data is not (all) there; "" where it is.

    `version` "TLS 1.3", `cipher` the suite's IANA name, `sni` and `alpn` "" where there was none.
    `start`: where the client's first record is (after a PROXY protocol header).
    """

    version: str = ""
    cipher: str = ""
    sni: str = ""
    alpn: str = ""
    resumed: bool = False
    start: int = 0
    messages: list[Message] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    records: list[TlsRecord] = field(default_factory=list)
    client_plain: Plaintext = field(default_factory=Plaintext)
    server_plain: Plaintext = field(default_factory=Plaintext)
    undecrypted: str = ""


def hello_offset(client: bytes) -> int | None:
    """Where a client's stream starts to be TLS: 0, or after a PROXY protocol header; None if it isn't TLS."""
    start = 0
    if client[:1] in (b"\r", b"P"):
        proxy, head = HeaderReader(), client[:_LARGEST_PROXY_HEADER]
        try:
            if proxy.receive(head) is None:
                return None
        except RemoteProtocolError:
            return None
        start = len(head) - proxy.buffered()
    head = client[start : start + 6]
    is_hello = len(head) == 6 and head[0] == _HANDSHAKE and head[1] == 3 and head[5] == CLIENT_HELLO
    return start if is_hello else None


def decrypt(
    client: bytes | Stream, server: bytes | Stream, keys: KeyLog, client_offset: int | None = None
) -> TlsSession:
    """Reads both directions. `client_offset`: where the client's TLS starts; by default it is detected.

    Never raises for what the streams hold: `undecrypted` of the session says what was wrong, and
    what could be read before that is there.
    """
    session = TlsSession()
    sent_data, answered_data = _bytes(client), _bytes(server)
    start = hello_offset(sent_data) if client_offset is None else client_offset
    if start is None:
        session.undecrypted = "the client's stream does not start with a TLS ClientHello"
        return session
    session.start = start
    sent, answered = _Direction("client", sent_data, start), _Direction("server", answered_data, 0)
    reasons = [_attempt(lambda: _agree(session, sent, answered, keys))]
    reasons += [_attempt(sent.read), _attempt(answered.read)] if not reasons[0] else []
    reasons += [_gap("client", client), _gap("server", server)]
    session.undecrypted = next((reason for reason in reasons if reason), "")
    session.alpn = session.alpn or answered.alpn
    session.messages = sent.messages + answered.messages
    if session.version == "TLS 1.2":
        session.resumed = session.resumed or _abbreviated(answered)
    session.alerts = sent.alerts + answered.alerts
    session.records = [*sent.seen, *sent.unopened(), *answered.seen, *answered.unopened()]
    session.client_plain, session.server_plain = sent.plain, answered.plain
    return session


def _abbreviated(answered: _Direction) -> bool:
    """TLS 1.2: the server finished without a certificate or keys of its own (RFC 5077, section 3.1: a
    server that takes a ticket need not echo a session ID)."""
    names = {message.name for message in answered.messages}
    return {"ServerHello", "Finished"} <= names and "ServerHelloDone" not in names


def _bytes(stream: bytes | Stream) -> bytes:
    return stream.data if isinstance(stream, Stream) else stream


def _gap(side: Side, stream: bytes | Stream) -> str:
    gaps = stream.gaps if isinstance(stream, Stream) else ()
    return f"the capture lacks bytes {gaps[0][0]} to {gaps[0][1]} of the {side}'s stream" if gaps else ""


class _UnreadableError(Exception):
    """Why a direction can't be read further; its text goes into the session."""


def _attempt(reading: Callable[[], None]) -> str:
    """Why `reading` stopped early; "" where it did not."""
    try:
        reading()
    except _UnreadableError as error:
        return str(error)
    return ""


def _agree(session: TlsSession, sent: _Direction, answered: _Direction, keys: KeyLog) -> None:
    """Reads up to both hellos, and gives both directions what opens their records."""
    while sent.client_hello is None and sent.step():
        pass
    hello = sent.client_hello
    if hello is None:
        raise _UnreadableError("the client's stream ends within its ClientHello")
    session.sni = hello.sni
    while answered.server_hello is None and answered.step():
        pass
    choice = answered.server_hello
    if choice is None:
        raise _UnreadableError("the server's stream has no ServerHello")
    is_13 = choice.version == 0x0304
    session.version = {0x0304: "TLS 1.3", 0x0303: "TLS 1.2"}.get(choice.version, f"0x{choice.version:04x}")
    suite = (SUITES_13 if is_13 else SUITES_12).get(choice.suite)
    session.cipher = suite.name if suite else f"0x{choice.suite:04x}"
    session.alpn = choice.alpn
    session.resumed = choice.psk or (not is_13 and hello.session_id == choice.session_id != b"")
    if suite is None or choice.version not in (0x0303, 0x0304):
        raise _UnreadableError(f"{session.version} with cipher suite {session.cipher} is not supported")
    give_keys = _give_keys_13 if is_13 else _give_keys_12
    give_keys(sent, answered, keys, hello, choice, suite)


def _give_keys_13(
    sent: _Direction, answered: _Direction, keys: KeyLog, hello: ClientHello, _: ServerHello, suite: Suite
) -> None:
    for direction, name in ((sent, "CLIENT"), (answered, "SERVER")):
        handshake = keys.secret(f"{name}_HANDSHAKE_TRAFFIC_SECRET", hello.random)
        application = keys.secret(f"{name}_TRAFFIC_SECRET_0", hello.random)
        if handshake is None or application is None:
            raise _no_secrets(hello)
        direction.start_13(suite, handshake, application)


def _give_keys_12(
    sent: _Direction,
    answered: _Direction,
    keys: KeyLog,
    hello: ClientHello,
    choice: ServerHello,
    suite: Suite,
) -> None:
    master = keys.secret("CLIENT_RANDOM", hello.random)
    if master is None:
        raise _no_secrets(hello)
    sent.after_change, answered.after_change = open_12(master, hello.random, choice.random, suite)


def _no_secrets(hello: ClientHello) -> _UnreadableError:
    return _UnreadableError(f"the key log has no secrets for the client random {hello.random.hex()[:16]}…")


class _Record(NamedTuple):
    kind: int
    head: bytes
    body: bytes
    start: int
    end: int


def _records(side: Side, data: bytes, start: int) -> Iterator[_Record]:
    """The whole records. Raises _UnreadableError at bytes that are no record."""
    while start + 5 <= len(data):
        kind, major, _, length = struct.unpack_from(">BBBH", data, start)
        if not 20 <= kind <= 24 or major != 3 or length > _LARGEST_RECORD:
            raise _UnreadableError(f"byte {start} of the {side}'s stream is not the start of a TLS record")
        end = start + 5 + length
        if end > len(data):
            return
        yield _Record(kind, data[start : start + 5], data[start + 5 : end], start, end)
        start = end


def _unopened(side: Side, record: _Record) -> TlsRecord:
    return TlsRecord(record.kind, side, record.start, record.end, len(record.body), opened=False)


def unopened(side: Side, data: bytes) -> list[TlsRecord]:
    """The records of a stream whose handshake isn't in the capture; none where it doesn't begin with one."""
    return list(_Direction(side, data, 0).unopened())


class _Direction:
    """One side's records, read one after the other, with the keys that hold at that place."""

    def __init__(self, side: Side, data: bytes, start: int) -> None:
        self.side: Side = side
        self.records = _records(side, data, start)
        self.plain = Plaintext()
        self.messages: list[Message] = []
        self.alerts: list[Alert] = []
        self.seen: list[TlsRecord] = []
        self.client_hello: ClientHello | None = None
        self.server_hello: ServerHello | None = None
        self.alpn = ""
        self.opener: Opener | None = None
        self.suite: Suite | None = None  # set in TLS 1.3 only
        self.secret = b""
        self.after_finished = b""  # TLS 1.3: the secret of application data
        self.after_change: Opener | None = None  # TLS 1.2: what ChangeCipherSpec puts in force
        self.unfinished = b""  # a handshake message that goes on in the next record
        self.unfinished_start = 0

    def start_13(self, suite: Suite, handshake: bytes, application: bytes) -> None:
        self.suite = suite
        self.after_finished = application
        self.use_secret(suite, handshake)

    def use_secret(self, suite: Suite, secret: bytes) -> None:
        self.secret = secret
        self.opener = open_13(secret, suite)

    def read(self) -> None:
        """Reads to the end. Raises _UnreadableError where a record can't be opened or makes no sense."""
        while self.step():
            pass

    def step(self) -> bool:
        """Reads one record; False where there is none."""
        record = next(self.records, None)
        if record is None:
            return False
        self.seen.append(_unopened(self.side, record))
        kind, content = self.open(record)
        self.seen[-1] = TlsRecord(kind, self.side, record.start, record.end, len(content), opened=True)
        if kind == _APPLICATION_DATA:
            self.plain.add(content, record.start, record.end)
        elif kind == _HANDSHAKE:
            self.handshake(record, content)
        elif kind == _ALERT and len(content) == 2:
            self.alerts.append(Alert(content[0], content[1], self.side, record.start, record.end))
        elif kind == _CHANGE_CIPHER_SPEC and self.after_change:
            self.opener = self.after_change
        return True

    def unopened(self) -> Iterator[TlsRecord]:
        """The whole records after the place where reading stopped."""
        try:
            for record in self.records:
                yield _unopened(self.side, record)
        except _UnreadableError:
            return

    def open(self, record: _Record) -> tuple[int, bytes]:
        """The record's true type and its content (RFC 8446, section 5.2)."""
        protected = record.kind == _APPLICATION_DATA or (
            self.suite is None and record.kind != _CHANGE_CIPHER_SPEC
        )
        if self.opener is None or not protected:
            if record.kind == _APPLICATION_DATA:
                raise _UnreadableError(
                    f"the {self.side} sent data before the handshake, at byte {record.start}"
                )
            return record.kind, record.body
        try:
            content = self.opener(record.head, record.body)
        except (InvalidTag, ValueError) as error:
            raise _UnreadableError(
                f"the logged secret does not open the {self.side}'s record at byte {record.start}"
            ) from error
        if self.suite is None:
            return record.kind, content
        inner = content.rstrip(b"\0")
        return (inner[-1], inner[:-1]) if inner else (0, b"")

    def handshake(self, record: _Record, content: bytes) -> None:
        """Takes the messages out; each begins with its type and 3 bytes of length (RFC 8446, section 4)."""
        if not self.unfinished:
            self.unfinished_start = record.start
        data = self.unfinished + content
        while len(data) >= 4 and len(data) >= 4 + int.from_bytes(data[1:4], "big"):
            end = 4 + int.from_bytes(data[1:4], "big")
            kind, body, data = data[0], data[4:end], data[end:]
            name = name_of(kind, body)
            self.messages.append(Message(name, self.side, self.unfinished_start, record.end, body))
            self.unfinished_start = record.start
            try:
                self.message(kind, body)
            except ValueError as error:
                raise _UnreadableError(f"damaged {name} at byte {record.start}: {error}") from error
        self.unfinished = data

    def message(self, kind: int, body: bytes) -> None:
        if kind == CLIENT_HELLO and self.client_hello is None:
            self.client_hello = client_hello(body)
        elif kind == SERVER_HELLO:
            hello = server_hello(body)
            self.server_hello = None if hello.retry else hello
        elif self.suite is None:
            return
        elif kind == ENCRYPTED_EXTENSIONS:
            self.alpn = encrypted_extensions(body).alpn
        elif kind == FINISHED and self.after_finished:
            self.use_secret(self.suite, self.after_finished)
            self.after_finished = b""
        elif kind == KEY_UPDATE:
            self.use_secret(self.suite, next_secret(self.secret, self.suite))
