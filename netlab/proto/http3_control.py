"""The unidirectional streams of HTTP/3: control (RFC 9114 section 6.2.1), and QPACK's two (RFC 9204).

Neither side's dynamic table is used: field sections are static references and Huffman code. So no stream
waits for another one's packets (RFC 9204 section 2.1.2), and a small section can't become a huge one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import pylsqpack
from aioquic.quic.events import StreamDataReceived

from netlab.proto.http import GoAway
from netlab.proto.http2_headers import Fields
from netlab.proto.http3_frames import (
    ErrorCode,
    Frame,
    FrameType,
    Http3Error,
    Setting,
    StreamType,
    decode_id,
    decode_settings,
    encode_frame,
    encode_settings,
    encode_varint,
    read_varint,
)
from netlab.proto.http3_streams import MAX_FIELDS, ControlStream, OneWay

_TABLE = 0  # bytes of QPACK's dynamic table
_EMPTY = b"\0\0"  # a section without fields, which pylsqpack does not take


class QuicStreams(Protocol):
    """What HTTP/3 needs of a QUIC connection."""

    def get_next_available_stream_id(self, is_unidirectional: bool = False) -> int: ...

    def send_stream_data(self, stream_id: int, data: bytes, end_stream: bool = False) -> None: ...

    def reset_stream(self, stream_id: int, error_code: int) -> None: ...

    def stop_stream(self, stream_id: int, error_code: int) -> None: ...

    def close(
        self, error_code: int = ..., frame_type: int | None = ..., reason_phrase: str = ...
    ) -> None: ...


class OneWayStreams:
    """Those of both sides. Raises Http3Error where the peer breaks one: all of them are critical."""

    def __init__(self, quic: QuicStreams, is_client: bool) -> None:
        self._quic = quic
        self._is_client = is_client
        self._decoder = pylsqpack.Decoder(_TABLE, 0)
        self._encoder = pylsqpack.Encoder()
        self._streams: dict[int, OneWay] = {}  # of the peer
        self._control = ControlStream(is_client)
        self._max_push = -1
        self.settings: dict[int, int] | None = None  # of the peer
        self.peer_limit: int | None = None  # GOAWAY of the peer
        kinds = (StreamType.CONTROL, StreamType.QPACK_ENCODER, StreamType.QPACK_DECODER)
        self._ours = tuple(self._open(kind) for kind in kinds)
        self._control_id, self._encoder_id, self._decoder_id = self._ours
        quic.send_stream_data(self._control_id, encode_settings(self._our_settings()))

    def _open(self, kind: StreamType) -> int:
        stream = self._quic.get_next_available_stream_id(is_unidirectional=True)
        self._quic.send_stream_data(stream, encode_varint(kind))
        return stream

    def _our_settings(self) -> dict[int, int]:
        settings = {
            int(Setting.QPACK_MAX_TABLE_CAPACITY): _TABLE,
            int(Setting.QPACK_BLOCKED_STREAMS): 0,
            int(Setting.MAX_FIELD_SECTION_SIZE): MAX_FIELDS,
        }
        return settings if self._is_client else settings | {int(Setting.ENABLE_CONNECT_PROTOCOL): 1}

    def is_ours(self, stream: int) -> bool:
        return stream in self._ours

    # QPACK.

    def decode(self, stream: int, block: bytes) -> Fields:
        if block == _EMPTY:
            return []
        try:
            _, fields = self._decoder.feed_header(stream, block)
        except (pylsqpack.DecompressionFailed, pylsqpack.StreamBlocked) as error:
            code = ErrorCode.QPACK_DECOMPRESSION_FAILED
            raise Http3Error(code, "a field section that QPACK refuses") from error
        return fields

    def encode(self, stream: int, fields: Sequence[tuple[bytes, bytes]]) -> bytes:
        _, block = self._encoder.encode(stream, list(fields))
        return block

    # The peer's streams.

    def receive(self, event: StreamDataReceived) -> Iterator[GoAway]:
        stream = self._streams.setdefault(event.stream_id, OneWay())
        data = event.data
        if stream.kind < 0:
            stream.head += data
            found = read_varint(stream.head, 0)
            if found is None:
                if event.end_stream:  # before its type is known: no error (RFC 9114 section 6.2)
                    del self._streams[event.stream_id]
                return
            stream.kind, data, stream.head = found[0], stream.head[found[1] :], b""
            self._check_kind(stream)
        yield from self._on_data(stream, data)
        if event.end_stream:
            self.closed(event.stream_id)

    def closed(self, stream: int) -> None:
        """The peer has ended or reset it."""
        if self._streams.pop(stream, OneWay()).critical:
            raise Http3Error(ErrorCode.CLOSED_CRITICAL_STREAM, "a critical stream has ended")

    def _check_kind(self, new: OneWay) -> None:
        if new.critical and sum(one.kind == new.kind for one in self._streams.values()) > 1:
            raise Http3Error(ErrorCode.STREAM_CREATION_ERROR, f"a second stream of type {new.kind}")
        if new.kind == StreamType.PUSH:
            # A client that sent no MAX_PUSH_ID takes none (RFC 9114 sections 4.6 and 6.2.2).
            code = ErrorCode.ID_ERROR if self._is_client else ErrorCode.STREAM_CREATION_ERROR
            raise Http3Error(code, "a push stream that was not allowed")

    def _on_data(self, stream: OneWay, data: bytes) -> Iterator[GoAway]:
        """Streams of unknown types are read and forgotten (RFC 9114 section 9)."""
        try:
            if stream.kind == StreamType.CONTROL:
                for frame in self._control.reader.receive(data):
                    yield from self._on_control(frame)
            elif stream.kind == StreamType.QPACK_ENCODER and data:
                self._decoder.feed_encoder(data)
            elif stream.kind == StreamType.QPACK_DECODER and data:
                self._encoder.feed_decoder(data)
        except pylsqpack.EncoderStreamError as error:
            raise Http3Error(ErrorCode.QPACK_ENCODER_STREAM_ERROR, "a broken QPACK encoder stream") from error
        except pylsqpack.DecoderStreamError as error:
            raise Http3Error(ErrorCode.QPACK_DECODER_STREAM_ERROR, "a broken QPACK decoder stream") from error

    # The control stream.

    def _on_control(self, frame: Frame) -> Iterator[GoAway]:
        if frame.kind == FrameType.SETTINGS:
            self.settings = decode_settings(frame.payload)
        elif frame.kind == FrameType.GOAWAY:
            yield self._on_goaway(decode_id(frame.payload))
        elif frame.kind == FrameType.CANCEL_PUSH:
            decode_id(frame.payload)
            raise Http3Error(ErrorCode.ID_ERROR, "CANCEL_PUSH of a push that was never promised")
        elif frame.kind == FrameType.MAX_PUSH_ID:
            self._on_max_push(decode_id(frame.payload))

    def _on_max_push(self, push: int) -> None:
        if push < self._max_push:
            raise Http3Error(ErrorCode.ID_ERROR, "MAX_PUSH_ID took back what it had allowed")
        self._max_push = push

    def _on_goaway(self, limit: int) -> GoAway:
        """A server's names a request stream, a client's a push (RFC 9114 section 5.2)."""
        if self._is_client and limit % 4:
            raise Http3Error(ErrorCode.ID_ERROR, "GOAWAY with the number of no request stream")
        if self.peer_limit is not None and limit > self.peer_limit:
            raise Http3Error(ErrorCode.ID_ERROR, "GOAWAY that takes back an earlier one")
        self.peer_limit = limit
        return GoAway(int(ErrorCode.NO_ERROR), limit - 4 if self._is_client else 0)

    def go_away(self, limit: int) -> None:
        """Say that no request from this stream on is answered (of a client: no push)."""
        self._quic.send_stream_data(self._control_id, encode_frame(FrameType.GOAWAY, encode_varint(limit)))
