"""HTTP/3 (RFC 9114): events of a QUIC connection ⇄ the words of `proto.http`. QPACK is pylsqpack's.

The state of a connection is here; what frames are is in `http3_frames`, what may come when in
`http3_streams`, control and QPACK streams are in `http3_control`, and field sections are as in HTTP/2.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import assert_never

from aioquic.quic.events import QuicEvent, StopSendingReceived, StreamDataReceived, StreamReset

from netlab.errors import LocalProtocolError
from netlab.proto import http2_headers
from netlab.proto.http import (
    NO_HEADERS,
    Data,
    End,
    GoAway,
    Headers,
    HttpEvent,
    Promise,
    RequestHead,
    Reset,
    ResponseHead,
)
from netlab.proto.http2_headers import MalformedError
from netlab.proto.http3_control import OneWayStreams, QuicStreams
from netlab.proto.http3_frames import ErrorCode, Frame, FrameType, Http3Error, Setting, encode_frame
from netlab.proto.http3_streams import MAX_FIELDS, Message, Phase, StreamFailedError

_MAX_INFORMATIONAL = 64  # before one final response: a flood of them is no answer
_BODILESS = {204, 205, 304}
_REJECTED = "the connection takes no new requests"


class Http3:
    """One connection's side. `receive` gives HTTP events for QUIC events; `send` takes HTTP events.

    A stream that the peer breaks ends by RESET_STREAM and STOP_SENDING with the code of RFC 9114
    section 8.1, and as a Reset event where it had been told of; a broken connection is closed: `failed`
    says why.
    """

    def __init__(self, quic: QuicStreams, *, is_client: bool) -> None:
        self._quic = quic
        self._is_client = is_client
        self._messages: dict[int, Message] = {}
        self._one_way = OneWayStreams(quic, is_client)
        self._next_peer_stream = 0  # the lowest request stream above all that the client has used
        self._passed: set[int] = set()  # below it, and still to come: packets change places
        self._limit: int | None = None  # GOAWAY of ours: request streams from here on are refused
        self.failed = ""

    # What came in.

    def receive(self, event: QuicEvent) -> list[HttpEvent]:
        """The HTTP events that it makes. Events that are not about streams make none."""
        if self.failed:
            return []
        try:
            return list(self._received(event))
        except Http3Error as error:
            self.failed = str(error)
            self._quic.close(error_code=error.code, reason_phrase=str(error))
            return []

    def _received(self, event: QuicEvent) -> Iterator[HttpEvent]:
        if isinstance(event, StreamDataReceived):
            if event.stream_id & 2:
                yield from self._one_way.receive(event)
            else:
                yield from self._on_request_stream(event)
        elif isinstance(event, StreamReset):
            yield from self._on_reset(event.stream_id, event.error_code)
        elif isinstance(event, StopSendingReceived):
            yield from self._on_stop(event.stream_id, event.error_code)

    def _on_request_stream(self, event: StreamDataReceived) -> Iterator[HttpEvent]:
        message = self._message(event.stream_id)
        if message is None or message.ended:
            return
        try:
            for frame in message.reader.receive(event.data):
                yield from self._on_frame(message, frame)
            if event.end_stream:
                message.finish()
                if message.phase is not Phase.TRAILERS_SEEN:  # with trailers, the end has been told
                    yield End(stream=message.stream)
                self._forget_if_done(message)
        except StreamFailedError as error:
            yield from self._break(message, error)

    def _message(self, stream: int) -> Message | None:
        """None where nothing more is wanted of the stream."""
        if stream & 1:
            raise Http3Error(ErrorCode.STREAM_CREATION_ERROR, "a bidirectional stream opened by a server")
        if stream in self._messages or self._is_client:
            return self._messages.get(stream)
        if stream < self._next_peer_stream and stream not in self._passed:
            return None  # ended before
        self._open(stream)
        if self._limit is not None and stream >= self._limit:
            self._refuse(stream)
            return None
        message = self._messages[stream] = Message(stream)
        return message

    def _open(self, stream: int) -> None:
        for passed in range(self._next_peer_stream, stream, 4):
            self._passed.add(passed)
        self._passed.discard(stream)
        self._next_peer_stream = max(self._next_peer_stream, stream + 4)

    def _refuse(self, stream: int) -> None:
        self._quic.reset_stream(stream, ErrorCode.REQUEST_REJECTED)
        self._quic.stop_stream(stream, ErrorCode.REQUEST_REJECTED)

    def _on_frame(self, message: Message, frame: Frame) -> Iterator[HttpEvent]:
        if frame.kind == FrameType.DATA:
            message.count(len(frame.payload))
            if frame.payload:
                yield Data(frame.payload, message.stream)
        elif frame.kind == FrameType.HEADERS:
            fields = self._decode(message.stream, frame.payload)
            try:
                yield from self._on_fields(message, fields)
            except MalformedError as error:
                raise StreamFailedError(ErrorCode.MESSAGE_ERROR, str(error)) from error

    def _decode(self, stream: int, block: bytes) -> http2_headers.Fields:
        fields = self._one_way.decode(stream, block)
        if http2_headers.section_size(fields) > MAX_FIELDS:
            raise StreamFailedError(ErrorCode.EXCESSIVE_LOAD, "a field section that is too large", 431)
        return fields

    def _on_fields(self, message: Message, fields: http2_headers.Fields) -> Iterator[HttpEvent]:
        if message.phase is Phase.BODY:
            message.phase = Phase.TRAILERS_SEEN
            yield End(http2_headers.read_trailers(fields), message.stream)
        elif self._is_client:
            yield self._on_response(message, fields)
        else:
            yield self._on_request(message, fields)

    def _on_request(self, message: Message, fields: http2_headers.Fields) -> RequestHead:
        head = replace(http2_headers.read_request(fields, message.stream), version="3")
        if head.scheme in ("http", "https") and not head.authority:
            raise MalformedError("a request without an authority")  # RFC 9114 section 4.3.1
        message.method = head.method
        message.expected = http2_headers.content_length(head.headers)
        message.tunnel = bool(head.protocol) or head.method == "CONNECT"
        message.phase, message.told = Phase.BODY, True
        return head

    def _on_response(self, message: Message, fields: http2_headers.Fields) -> ResponseHead:
        head = replace(http2_headers.read_response(fields, message.stream), version="3")
        if head.informational:
            message.informational += 1
            if message.informational > _MAX_INFORMATIONAL:
                raise MalformedError(f"more than {_MAX_INFORMATIONAL} informational responses")
        else:
            message.phase = Phase.BODY
            message.tunnel = message.method == "CONNECT" and head.status < 300
            expected = http2_headers.content_length(head.headers)
            bodiless = message.method == "HEAD" or head.status in _BODILESS
            message.expected = 0 if bodiless else expected
        return head

    def _break(self, message: Message, error: StreamFailedError) -> Iterator[HttpEvent]:
        """End one stream for the peer's fault; a server says why where a status does."""
        told, message.told = message.told, False
        if error.status and not self._is_client and not message.head_sent:
            self.send(ResponseHead(error.status, Headers((("content-length", "0"),)), stream=message.stream))
            self.send(End(stream=message.stream))
            self._quic.stop_stream(message.stream, ErrorCode.NO_ERROR)
            self._drop(message)
        else:
            self._cut(message, error.code)
        if told:
            yield Reset(error.code, message.stream)

    def _on_reset(self, stream: int, code: int) -> Iterator[HttpEvent]:
        if stream & 2:
            self._one_way.closed(stream)
            return
        message = self._message(stream)
        if message is None:
            return
        message.ended = True
        if not self._is_client and not message.sent:
            self._quic.reset_stream(stream, ErrorCode.REQUEST_INCOMPLETE if not message.told else code)
        self._drop(message)
        if message.told:
            yield Reset(code, stream)

    def _on_stop(self, stream: int, code: int) -> Iterator[HttpEvent]:
        """The peer reads no more; the QUIC layer has reset our direction already.

        A client goes on reading: a server that needs no more of a request says so by NO_ERROR, and its
        response is whole (RFC 9114 section 4.1).
        """
        if self._one_way.is_ours(stream):
            raise Http3Error(ErrorCode.CLOSED_CRITICAL_STREAM, "STOP_SENDING for a critical stream")
        message = self._messages.get(stream)
        if message is None:
            return
        message.sent = True
        if not self._is_client:
            self._quic.stop_stream(stream, code)
            self._drop(message)
            if message.told:
                yield Reset(code, stream)

    # What goes out.

    @property
    def allows_connect(self) -> bool:
        """Whether the peer takes extended CONNECT (RFC 9220 section 3)."""
        settings = self._one_way.settings
        return bool(settings and settings.get(Setting.ENABLE_CONNECT_PROTOCOL))

    @property
    def settings_known(self) -> bool:
        """Whether the peer's SETTINGS have come."""
        return self._one_way.settings is not None

    def send(self, event: HttpEvent, *, end: bool = False) -> None:
        """Give it to the QUIC connection; `end` ends our direction of the stream with it.

        Raises LocalProtocolError where it may not be sent now. On a stream that the peer has ended or given
        up, it goes nowhere: the Reset event says so.
        """
        match event:
            case RequestHead():
                self._open_message(event.stream, "CONNECT" if event.protocol else event.method)
                self._send_fields(event.stream, http2_headers.write_request(event), end)
            case ResponseHead():
                self._send_response(event, end)
            case Data():
                frame = encode_frame(FrameType.DATA, event.data) if event.data else b""
                self._write(event.stream, frame, end)
            case End():
                self._send_end(event)
            case Reset():
                self.reset(event.stream, event.code)
            case GoAway():
                self.go_away()
            case Promise():
                raise LocalProtocolError("HTTP/3 pushes are not made")
            case _:
                assert_never(event)

    def next_stream(self) -> int:
        """The request stream that the next RequestHead goes on."""
        return self._quic.get_next_available_stream_id()

    def _open_message(self, stream: int, method: str) -> None:
        if self._one_way.peer_limit is not None:
            raise LocalProtocolError(_REJECTED)
        self._messages[stream] = Message(stream, method, told=True, is_client=True)

    def _send_response(self, head: ResponseHead, end: bool) -> None:
        message = self._messages.get(head.stream)
        if message is not None and not head.informational:
            message.head_sent = True
        self._send_fields(head.stream, http2_headers.write_response(head), end)

    def _send_end(self, event: End) -> None:
        if event.trailers != NO_HEADERS:
            self._send_fields(event.stream, http2_headers.write_trailers(event.trailers), end=True)
        else:
            self._write(event.stream, b"", end=True)

    def _send_fields(self, stream: int, fields: Sequence[tuple[bytes, bytes]], end: bool) -> None:
        if not self.writable(stream):
            return
        block = self._one_way.encode(stream, fields)
        self._write(stream, encode_frame(FrameType.HEADERS, block), end)

    def writable(self, stream: int) -> bool:
        """Whether anything can still be sent on it."""
        message = self._messages.get(stream)
        return message is not None and not message.sent and not self.failed

    def _write(self, stream: int, data: bytes, end: bool) -> None:
        if not self.writable(stream):
            return
        message = self._messages[stream]
        self._quic.send_stream_data(stream, data, end)
        message.sent = end
        self._forget_if_done(message)

    def reset(self, stream: int, code: int = ErrorCode.REQUEST_CANCELLED) -> None:
        """Give up a stream, both directions."""
        message = self._messages.get(stream)
        if message is not None:
            self._cut(message, code)

    def reset_unsent(self, stream: int, code: int = ErrorCode.INTERNAL_ERROR) -> None:
        """End our direction by a reset, where it has not ended: what was sent is not whole."""
        message = self._messages.get(stream)
        if message is not None and not message.sent:
            self._quic.reset_stream(stream, code)
            message.sent = True
            self._forget_if_done(message)

    def stop_reading(self, stream: int, code: int = ErrorCode.NO_ERROR) -> None:
        """The rest of the peer's message is not wanted (RFC 9114 section 4.1)."""
        message = self._messages.get(stream)
        if message is not None and not message.ended:
            self._quic.stop_stream(stream, code)
            message.ended = True
            self._forget_if_done(message)

    def go_away(self) -> None:
        """Take no new requests (RFC 9114 section 5.2); those that come are refused."""
        if self._limit is None and not self.failed:
            self._limit = 0 if self._is_client else self._next_peer_stream
            self._one_way.go_away(self._limit)

    def _cut(self, message: Message, code: int) -> None:
        if not message.sent:
            self._quic.reset_stream(message.stream, code)
        if not message.ended:
            self._quic.stop_stream(message.stream, code)
        self._drop(message)

    def _drop(self, message: Message) -> None:
        message.sent = message.ended = True
        self._messages.pop(message.stream, None)

    def _forget_if_done(self, message: Message) -> None:
        if message.sent and message.ended:
            self._messages.pop(message.stream, None)

    @property
    def headless(self) -> frozenset[int]:
        """Streams on which the peer's head is not whole yet."""
        waiting = (one.stream for one in self._messages.values() if one.phase is Phase.HEAD)
        return frozenset(waiting)
