"""A QUIC connection with back-pressure both ways, which aioquic's own lacks.

aioquic doubles a flow-control limit as soon as half of it is used, whether or not anybody read what came, and
takes any amount of data to send. Neither can be changed from outside, so this is a subclass: it overrides
the two methods that write limits, and looks at its own streams. `tests/unit/proto/test_proto_quic.py` proves
the effect, so that another version of aioquic can't undo it unseen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aioquic.buffer import Buffer  # type: ignore[attr-defined] # it is, in its documentation
from aioquic.quic.connection import END_STATES, QuicConnection
from aioquic.quic.events import ConnectionTerminated, QuicEvent, StreamDataReceived, StreamReset
from aioquic.quic.packet import QuicErrorCode
from aioquic.quic.packet_builder import QuicPacketBuilder
from aioquic.quic.stream import QuicStream
from aioquic.tls import Alert, AlertDescription, pull_client_hello
from cryptography import x509

QuicIdentity = tuple[Any, list[Any], Any]  # certificate, chain, key, as aioquic takes them


@dataclass(frozen=True, slots=True)
class ServerTls:
    """What aioquic's configuration has no word for. `ask_certificate`: the client is to show one.
    `identity_of`: the certificate, its chain and its key for the name that a client asks for (""; none);
    None where there is none to be shown."""

    early_data: bool = True
    ask_certificate: bool = False
    identity_of: Callable[[str], QuicIdentity | None] | None = None


class _UnrecognizedNameError(Alert):
    description = AlertDescription.unrecognized_name


class Connection(QuicConnection):
    """`hold` says how many bytes of a stream were given to the application and are not used yet: the peer
    may send as much as its configuration's `max_stream_data` (and `max_data` in all) beyond what is used.
    `unsent` says how many bytes wait to be sent for the first time."""

    def __init__(self, *args: Any, server_tls: ServerTls | None = None, **kwargs: Any) -> None:
        self._server_tls = server_tls or ServerTls()
        super().__init__(*args, **kwargs)
        self._window = self.configuration.max_stream_data
        self._total_window = self.configuration.max_data
        self._held: dict[int, int] = {}
        self._held_total = 0
        self._delivered = 0  # bytes of all streams that were given to the application, or never will be
        self._written: dict[int, int] = {}

    def _initialize(self, peer_cid: bytes) -> None:
        super()._initialize(peer_cid)
        # aioquic's TLS keeps these two to itself: RFC 8446 sections 4.2.10 and 4.3.2.
        if not self._is_client and not self._server_tls.early_data:
            self.tls._max_early_data = None  # noqa: SLF001
        if not self._is_client and self._server_tls.ask_certificate:
            self.tls._request_client_certificate = True  # noqa: SLF001
        if not self._is_client and self._server_tls.identity_of is not None:
            self._choose_identity(self._server_tls.identity_of)

    def _choose_identity(self, identity_of: Callable[[str], QuicIdentity | None]) -> None:
        """Have the name that the client asks for looked at before its hello is answered."""
        tls = self.tls
        answer = tls._server_handle_hello  # noqa: SLF001

        def handle(input_buf: Buffer, initial_buf: Buffer, handshake_buf: Buffer) -> None:
            hello = input_buf.data_slice(input_buf.tell(), input_buf.capacity)
            name = pull_client_hello(Buffer(data=hello)).server_name or ""
            found = identity_of(name)
            if found is None:
                raise _UnrecognizedNameError(f"no certificate is for {name}")
            tls.certificate, tls.certificate_chain, tls.certificate_private_key = found
            answer(input_buf, initial_buf, handshake_buf)

        tls._server_handle_hello = handle  # type: ignore[method-assign] # noqa: SLF001

    @property
    def peer_chain(self) -> tuple[x509.Certificate, ...]:
        """The certificates that the peer showed, leaf first; () where it showed none, as when a session is
        resumed."""
        leaf = self.tls._peer_certificate  # noqa: SLF001 - aioquic has no public name for it
        return (leaf, *self.tls._peer_certificate_chain) if leaf is not None else ()  # noqa: SLF001

    @property
    def cipher(self) -> str:
        """Its name, once the handshake is done."""
        schedule = self.tls.key_schedule
        return f"TLS_{schedule.cipher_suite.name}" if schedule is not None else ""

    @property
    def version(self) -> int:
        """The version that is spoken (RFC 9000 section 15)."""
        return self._version or 0

    @property
    def termination(self) -> ConnectionTerminated | None:
        """Why nothing is sent or taken any more; None while the connection lives. aioquic's event for it
        comes only when the closing period is over (RFC 9000 section 10.2)."""
        return self._close_event if self._state in END_STATES else None

    @property
    def streams_allowed(self) -> int:
        """How many request streams the peer lets us have opened since the beginning."""
        return self._remote_max_streams_bidi

    # What the peer may send.

    def next_event(self) -> QuicEvent | None:
        event = super().next_event()
        if isinstance(event, StreamDataReceived):
            self._delivered += len(event.data)
        elif isinstance(event, StreamReset):
            stream = self._streams.get(event.stream_id)
            if stream is not None:
                self._delivered += stream.receiver.highest_offset - stream.receiver.starting_offset()
        return event

    def hold(self, stream_id: int, size: int) -> None:
        """`size` more bytes of this stream are not used yet; negative: they are used now."""
        self._held_total += size
        held = self._held.get(stream_id, 0) + size
        if held:
            self._held[stream_id] = held
        else:
            self._held.pop(stream_id, None)

    @property
    def held(self) -> int:
        """Bytes of all streams that are not used yet."""
        return self._held_total

    def _write_stream_limits(self, builder: QuicPacketBuilder, space: Any, stream: QuicStream) -> None:
        receiver = stream.receiver
        if not stream.max_stream_data_local or receiver.is_finished:
            return
        used = receiver.starting_offset() - self._held.get(stream.stream_id or 0, 0)
        if used + self._window - stream.max_stream_data_local >= self._window // 4:
            stream.max_stream_data_local = used + self._window
        if stream.max_stream_data_local == stream.max_stream_data_local_sent:
            return
        # The base writes the limit, and doubles one that is half used: it must not see that it is.
        highest, receiver.highest_offset = receiver.highest_offset, 0
        try:
            super()._write_stream_limits(builder=builder, space=space, stream=stream)
        finally:
            receiver.highest_offset = highest

    def _write_connection_limits(self, builder: QuicPacketBuilder, space: Any) -> None:
        limit = self._local_max_data
        allowed = self._delivered - self._held_total + self._total_window
        if allowed - limit.value >= self._total_window // 4:
            limit.value = allowed
        used, limit.used = limit.used, 0  # as above
        try:
            super()._write_connection_limits(builder=builder, space=space)
        finally:
            limit.used = used

    # What we may send.

    def send_stream_data(self, stream_id: int, data: bytes, end_stream: bool = False) -> None:
        super().send_stream_data(stream_id, data, end_stream)
        self._written[stream_id] = self._written.get(stream_id, 0) + len(data)

    def unsent(self, stream_id: int) -> int:
        """Bytes of this stream that have not left yet; 0 where it has ended."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.sender.is_finished or stream.sender.reset_pending:
            return 0
        return self._written.get(stream_id, 0) - stream.sender.highest_offset

    @property
    def delivered(self) -> bool:
        """Whether the peer has all that was sent on streams of both directions."""
        return all(one.sender.is_finished for id_, one in self._streams.items() if not id_ & 2)

    def forget(self, stream_id: int) -> None:
        """Nothing more will be written to it, nor read."""
        self._written.pop(stream_id, None)
        self.hold(stream_id, -self._held.get(stream_id, 0))

    def stop_stream(self, stream_id: int, error_code: int) -> None:
        """Without effect where there is nothing left to stop."""
        stream = self._streams.get(stream_id)
        if stream is not None and not stream.receiver.is_finished:
            super().stop_stream(stream_id, error_code)


def transport_error(code: int) -> str:
    """The name of a QUIC error code (RFC 9000 section 20.1), or the TLS alert's number."""
    if 0x100 <= code < 0x200:
        return f"CRYPTO_ERROR (TLS alert {code - 0x100})"
    try:
        return QuicErrorCode(code).name
    except ValueError:
        return f"{code:#x}"
