"""What both ends of an HTTP/2 connection share (RFC 9113), over the h2 library.

h2 keeps stream states, windows and the compression of what we send, and makes our frames. What the peer
sends is split, checked and decompressed here first: h2 gets sound frames only, and in place of the peer's
header blocks a stand-in. So each fault gets the error that the RFC asks for (h2 ends the whole
connection for most), header lists cost what we allow, and GOAWAY leaves streams in flight alone (for h2 the
connection is over with it).
"""

from __future__ import annotations

import struct
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes
from hpack import HPACKError, OversizedHeaderListError

from netlab.errors import RemoteProtocolError
from netlab.proto import http2_frames as frames
from netlab.proto.http import Data, End, GoAway, Headers, HttpEvent, Reset
from netlab.proto.http2_budget import Budget
from netlab.proto.http2_compression import SectionDecoder
from netlab.proto.http2_frames import Frame, FrameReader, PeerError
from netlab.proto.http2_headers import (
    Fields,
    MalformedError,
    content_length,
    read_trailers,
)
from netlab.proto.http2_state import Limits, Sender, Stream

_GOAWAY_SIZE = 17
_KNOWN = frozenset(SettingCodes)  # h2 would remember any other for good
_TABLE = 4096  # of the compression of what we send, whatever more the peer would hold (RFC 7541 section 4.2)

# All that h2 sees of the peer's field sections: no field at all, or that a response is informational.
NO_FIELDS = b""
STATUS_103 = b"\x08\x03103"  # a literal that is not indexed (RFC 7541 section 6.2.2)


@dataclass(slots=True)
class _Block:
    """A header block of which CONTINUATION frames are still to come."""

    first: Frame
    fragment: bytes
    promised: int = 0
    parts: int = 1


class Codec(Sender):
    """One end of a connection, as far as it receives."""

    def __init__(self, *, client: bool, limits: Limits, settings: dict[SettingCodes | int, int]) -> None:
        super().__init__(client=client, limits=limits, settings=settings)
        self._reader = FrameReader(preface=not client)
        self._decoder = SectionDecoder(4 * limits.section)
        self._block: _Block | None = None
        self._dead = False
        self._handlers = {
            frames.DATA: self._on_data,
            frames.HEADERS: self._on_headers,
            frames.PRIORITY: self._on_priority,
            frames.RST_STREAM: self._on_rst_stream,
            frames.SETTINGS: self._on_settings,
            frames.PUSH_PROMISE: self._on_push_promise,
            frames.PING: self._on_ping,
            frames.GOAWAY: self._on_goaway,
            frames.WINDOW_UPDATE: self._on_window_update,
            frames.CONTINUATION: self._on_continuation,
            frames.PRIORITY_UPDATE: self._on_priority_update,
        }

    def buffered(self) -> int:
        """Bytes received that have not become events: of a frame, or of a header block."""
        return self._reader.buffered() + (len(self._block.fragment) if self._block else 0)

    @property
    def in_block(self) -> bool:
        """A header block has begun, and must be ended next."""
        return self._block is not None

    def receive(self, data: bytes) -> list[HttpEvent]:
        """Events of the peer's bytes; b"" says that it sends no more.

        Raises RemoteProtocolError after the peer's last fault; GOAWAY is then in `outgoing`.
        """
        if self._dead:
            raise RemoteProtocolError("the connection has ended by an error")
        if not data:
            if self.buffered():
                raise RemoteProtocolError("the connection ended within a frame")
            return []
        events: list[HttpEvent] = []
        try:
            for frame in self._frames(data, events):
                self._take(frame, events)
        except PeerError as fault:
            self._dead = True
            self.go_away(fault.code, str(fault))
            self._streams.clear()  # nothing more is sent on any, nor is read of it
            raise RemoteProtocolError(f"{fault.code.name}: {fault}") from fault
        return events

    def _frames(self, data: bytes, events: list[HttpEvent]) -> Iterable[Frame]:
        """The frames of `data`. One whose shape is a fault of its stream only is left out."""
        while True:
            try:
                yield from self._reader.receive(data)
            except PeerError as fault:
                if self._block is not None or not self.settled:
                    raise PeerError(ErrorCodes.PROTOCOL_ERROR, str(fault)) from fault
                self._stream_fault(fault, events)
                data = b""
            else:
                return

    def _take(self, frame: Frame, events: list[HttpEvent]) -> None:
        block = self._block
        if block is not None and (frame.kind != frames.CONTINUATION or frame.stream != block.first.stream):
            raise PeerError(ErrorCodes.PROTOCOL_ERROR, "another frame within a header block")
        if not self.settled and (frame.kind != frames.SETTINGS or frame.flags & frames.ACK):
            raise PeerError(ErrorCodes.PROTOCOL_ERROR, "SETTINGS must come first")
        handler = self._handlers.get(frame.kind)
        if handler is None:
            self._bear(self._chatter, "frames of unknown types")
            return
        try:
            handler(frame, events)
        except PeerError as fault:
            self._stream_fault(fault, events)

    def _stream_fault(self, fault: PeerError, events: list[HttpEvent]) -> None:
        """A fault of a stream ends the stream. Each counts as a reset, as the peer has brought it about."""
        stream = fault.stream
        if not stream:
            raise fault
        if self._is_idle(stream):
            raise PeerError(fault.code, str(fault)) from fault
        known = self._streams.get(stream)
        if known is None:
            self._raw(frames.rst_stream(stream, fault.code))
            self._remember(stream, "ours")
        else:
            self._reset(stream, fault.code)
            if known.told:
                events.append(Reset(fault.code, stream))
        self._bear(self._resets, "stream errors")

    def _bear(self, budget: Budget, what: str) -> None:
        if not budget.spend():
            raise PeerError(ErrorCodes.ENHANCE_YOUR_CALM, f"too many {what}")

    def _is_peers(self, stream: int) -> bool:
        return stream % 2 == (0 if self._client else 1)

    def _is_idle(self, stream: int) -> bool:
        highest = self._highest if self._is_peers(stream) else self._h2.highest_outbound_stream_id
        return stream > highest

    def _absent(self, stream: int, what: str) -> None:
        """For a frame on a stream that is idle or closed (RFC 9113 section 5.1): returns where it is to be
        ignored."""
        if self._is_idle(stream):
            raise PeerError(ErrorCodes.PROTOCOL_ERROR, f"{what} on the idle stream {stream}")
        how = self._closed.get(stream)
        if how == "ours":
            return
        at = stream if how == "theirs" else 0
        raise PeerError(ErrorCodes.STREAM_CLOSED, f"{what} on the closed stream {stream}", at)

    def _feed(self, data: bytes) -> None:
        """Let h2 see a frame that is in order. What it still objects to concerns the connection: windows."""
        try:
            self._h2.receive_data(data)
        except ProtocolError as error:
            self._out += self._h2.data_to_send()[:-_GOAWAY_SIZE]  # its own comes last, and ours instead
            raise PeerError(ErrorCodes(error.error_code), str(error)) from error

    # Frames.

    def _on_data(self, frame: Frame, events: list[HttpEvent]) -> None:
        data = frames.unpadded(frame)
        stream = self._streams.get(frame.stream)
        try:
            if stream is None:
                self._absent(frame.stream, "DATA")
                self._give_back(frame)
                return
            self._check_data(stream, frame, data)
        except PeerError as fault:
            if fault.stream:
                self._give_back(frame)
            raise
        self._feed(frame.serialize())
        if padding := len(frame.payload) - len(data):
            self._h2.acknowledge_received_data(padding, frame.stream)
        if data:
            stream.unread += len(data)
            events.append(Data(data, frame.stream))
        elif not frame.ends_stream:
            self._bear(self._chatter, "empty DATA frames")
        if frame.ends_stream:
            self._received_all(stream, End(stream=frame.stream), events)

    def _give_back(self, frame: Frame) -> None:
        """DATA that h2 does not see counts for the connection's window all the same (section 6.9)."""
        if frame.payload:
            self._raw(frames.window_update(0, len(frame.payload)))

    def _check_data(self, stream: Stream, frame: Frame, data: bytes) -> None:
        if not stream.receiving:
            at = stream.id if stream.sending else 0
            raise PeerError(ErrorCodes.STREAM_CLOSED, "DATA after END_STREAM", at)
        if not stream.headed:
            raise PeerError(ErrorCodes.PROTOCOL_ERROR, "DATA before a head", stream.id)
        stream.received += len(data)
        self._check_length(stream, ended=frame.ends_stream)

    def _check_length(self, stream: Stream, *, ended: bool) -> None:
        """A body of another length than was said makes its message malformed (RFC 9113 section 8.1.1)."""
        expected = 0 if stream.bodiless else stream.expected
        if expected is not None and (stream.received > expected or (ended and stream.received < expected)):
            raise PeerError(ErrorCodes.PROTOCOL_ERROR, "the body's length is not Content-Length", stream.id)

    def _received_all(self, stream: Stream, end: End, events: list[HttpEvent]) -> None:
        stream.receiving = False
        events.append(end)
        self._close_if_done(stream)

    def _on_headers(self, frame: Frame, events: list[HttpEvent]) -> None:
        fragment = frames.unpadded(frame)
        if frame.flags & frames.HAS_PRIORITY:
            if len(fragment) < 5:
                raise PeerError(ErrorCodes.FRAME_SIZE_ERROR, "HEADERS too short for its priority")
            if struct.unpack_from(">L", fragment)[0] & 0x7FFF_FFFF == frame.stream:
                frame.depends_on_itself = True
            fragment = fragment[5:]
        self._begin_block(_Block(frame, fragment), events)

    def _on_continuation(self, frame: Frame, events: list[HttpEvent]) -> None:
        block = self._block
        if block is None:
            raise PeerError(ErrorCodes.PROTOCOL_ERROR, "CONTINUATION without a header block")
        block.parts += 1
        block.fragment += frame.payload
        # As many frames as its bytes need, and some: others are a flood (CVE-2024-27316).
        most = 8 + len(block.fragment) // 512
        if len(block.fragment) > self.limits.block or block.parts > most:
            raise PeerError(ErrorCodes.ENHANCE_YOUR_CALM, "a header block without end")
        if frame.flags & frames.END_HEADERS:
            self._end_block(block, events)

    def _begin_block(self, block: _Block, events: list[HttpEvent]) -> None:
        self._block = block
        if block.first.flags & frames.END_HEADERS:
            self._end_block(block, events)

    def _end_block(self, block: _Block, events: list[HttpEvent]) -> None:
        """Every block is decompressed, whatever becomes of its message (RFC 9113 section 4.3)."""
        self._block = None
        try:
            fields: Fields = self._decoder.decode(block.fragment)
        except OversizedHeaderListError as error:
            raise PeerError(ErrorCodes.ENHANCE_YOUR_CALM, str(error)) from error
        except HPACKError as error:
            raise PeerError(ErrorCodes.COMPRESSION_ERROR, str(error) or type(error).__name__) from error
        try:
            if block.promised:
                self._on_promise(block.first.stream, block.promised, fields, events)
            else:
                self._on_section(block.first, fields, events)
        except MalformedError as error:
            at = block.promised or block.first.stream
            raise PeerError(ErrorCodes.PROTOCOL_ERROR, str(error), at) from error

    @abstractmethod
    def _on_section(self, frame: Frame, fields: Fields, events: list[HttpEvent]) -> None:
        """A field section has come: a head, or trailers."""

    @abstractmethod
    def _on_promise(self, stream: int, promised: int, fields: Fields, events: list[HttpEvent]) -> None: ...

    def _stand_in(self, frame: Frame, fields: bytes) -> None:
        """Show h2 a section of the same effect, of which its decompression keeps no state."""
        flags = frames.END_HEADERS | (frame.flags & frames.END_STREAM)
        self._feed(frames.frame(frames.HEADERS, flags, frame.stream, fields))

    def _on_trailers(self, stream: Stream, frame: Frame, fields: Fields, events: list[HttpEvent]) -> None:
        if not stream.receiving:
            at = stream.id if stream.sending else 0
            raise PeerError(ErrorCodes.STREAM_CLOSED, "HEADERS after END_STREAM", at)
        if not frame.ends_stream:
            raise PeerError(ErrorCodes.PROTOCOL_ERROR, "trailers without END_STREAM", stream.id)
        trailers = read_trailers(fields)
        self._check_length(stream, ended=True)
        self._stand_in(frame, NO_FIELDS)
        self._received_all(stream, End(trailers, stream.id), events)

    def _expect(self, stream: Stream, headers: Headers, frame: Frame) -> None:
        """Note what the message says of its body's length."""
        stream.expected = content_length(headers)
        self._check_length(stream, ended=frame.ends_stream)

    def _on_priority(self, frame: Frame, events: list[HttpEvent]) -> None:
        """RFC 7540's priorities are read and ignored (RFC 9113 section 5.3.2), a loop apart."""
        del events
        self._bear(self._chatter, "PRIORITY frames")
        if struct.unpack_from(">L", frame.payload)[0] & 0x7FFF_FFFF == frame.stream:
            raise PeerError(ErrorCodes.PROTOCOL_ERROR, "a stream that depends on itself", frame.stream)

    def _on_rst_stream(self, frame: Frame, events: list[HttpEvent]) -> None:
        if self._is_idle(frame.stream):
            raise PeerError(ErrorCodes.PROTOCOL_ERROR, f"RST_STREAM on the idle stream {frame.stream}")
        stream = self._streams.get(frame.stream)
        if stream is not None and (stream.receiving or stream.sending):
            self._feed(frame.serialize())
            self._forget(stream, "theirs")
            if stream.told:
                events.append(Reset(struct.unpack(">L", frame.payload)[0], frame.stream))
        if not self._client:  # asking and taking back costs the server, and not the peer (CVE-2023-44487)
            self._bear(self._resets, "resets")

    def _on_settings(self, frame: Frame, events: list[HttpEvent]) -> None:
        del events
        if frame.flags & frames.ACK:
            self._feed(frame.serialize())
            return
        self._bear(self._chatter, "SETTINGS frames")
        settings = frames.Settings.parse(frame.payload)
        pairs = tuple((key, self._setting(key, value)) for key, value in settings.pairs if key in _KNOWN)
        self._feed(frames.Settings(pairs).serialize())
        self.settled = True

    def _setting(self, key: int, value: int) -> int:
        if key == SettingCodes.HEADER_TABLE_SIZE:
            return min(value, _TABLE)
        if key == SettingCodes.ENABLE_PUSH and (value > 1 or (value and self._client)):
            raise PeerError(ErrorCodes.PROTOCOL_ERROR, f"ENABLE_PUSH is {value}")
        return value  # h2 checks the others

    def _on_push_promise(self, frame: Frame, events: list[HttpEvent]) -> None:
        if not self._h2.local_settings.enable_push or not self._client:
            raise PeerError(ErrorCodes.PROTOCOL_ERROR, "PUSH_PROMISE where push is off")
        body = frames.unpadded(frame)
        if len(body) < 4:
            raise PeerError(ErrorCodes.FRAME_SIZE_ERROR, "PUSH_PROMISE too short")
        promised = struct.unpack_from(">L", body)[0] & 0x7FFF_FFFF
        if not promised:
            raise PeerError(ErrorCodes.PROTOCOL_ERROR, "the promise of stream 0")
        self._begin_block(_Block(frame, body[4:], promised), events)

    def _on_ping(self, frame: Frame, events: list[HttpEvent]) -> None:
        del events
        if frame.flags & frames.ACK:
            self.pongs.append(frame.payload)
            del self.pongs[:-16]
            return
        self._bear(self._chatter, "PING frames")
        self._raw(frames.frame(frames.PING, frames.ACK, 0, frame.payload))

    def _on_goaway(self, frame: Frame, events: list[HttpEvent]) -> None:
        last, code = struct.unpack_from(">LL", frame.payload)
        events.append(GoAway(code, last & 0x7FFF_FFFF))

    def _on_window_update(self, frame: Frame, events: list[HttpEvent]) -> None:
        stream = frame.stream
        if stream and self._is_idle(stream):
            raise PeerError(ErrorCodes.PROTOCOL_ERROR, f"WINDOW_UPDATE on the idle stream {stream}")
        increment = struct.unpack(">L", frame.payload)[0] & 0x7FFF_FFFF
        if not increment:
            raise PeerError(ErrorCodes.PROTOCOL_ERROR, "WINDOW_UPDATE by 0", stream)
        known = self._streams.get(stream)
        if stream and known is None:
            return  # it may have crossed our END_STREAM
        if known is not None and self._stream_window(known) + increment > 2**31 - 1:
            raise PeerError(ErrorCodes.FLOW_CONTROL_ERROR, "a window above 2^31-1", stream)
        self._feed(frame.serialize())

    def _stream_window(self, stream: Stream) -> int:
        return self._h2.streams[stream.id].outbound_flow_control_window

    @abstractmethod
    def _on_priority_update(self, frame: Frame, events: list[HttpEvent]) -> None: ...
