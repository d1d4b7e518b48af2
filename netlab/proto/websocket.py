"""WebSocket messages on a byte stream, either side (RFC 6455), with permessage-deflate (RFC 7692).

Frames are taken apart by wsproto's FrameDecoder; what it leaves open is here: the order of fragments,
limits before memory is spent, UTF-8 checked as it comes, compression, and the closing handshake.
"""

from __future__ import annotations

import codecs
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from wsproto.extensions import Extension
from wsproto.frame_protocol import (
    CloseReason,
    FrameDecoder,
    FrameProtocol,
    Header,
    Opcode,
    ParseFailed,
    RsvBits,
    XorMaskerSimple,
)

from netlab.errors import LocalProtocolError, RemoteProtocolError
from netlab.proto.websocket_deflate import Deflate, TooBigError, squeezed

NORMAL, GOING_AWAY, PROTOCOL_ERROR, UNSUPPORTED = 1000, 1001, 1002, 1003
NO_CODE, ABNORMAL = 1005, 1006  # never on the wire (section 7.4.1)
INVALID_DATA, POLICY, TOO_BIG, INTERNAL_ERROR, TRY_LATER = 1007, 1008, 1009, 1011, 1013
MAX_MESSAGE = 16 * 1024 * 1024
_MAX_CONTROL = 125
_SMALL = 64  # bytes; compressing less makes it longer
_FIN, _RSV1, _MASKED = 0x80, 0x40, 0x80
_PLAIN = RsvBits(False, False, False)
_COMPRESSED = RsvBits(True, False, False)


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message. The data of a text message is valid UTF-8. `wire` is its payload's size in its
    frames, before inflating."""

    data: bytes
    is_text: bool = True
    wire: int = field(default=0, compare=False)

    @property
    def text(self) -> str:
        return self.data.decode()


@dataclass(frozen=True, slots=True)
class Ping:
    payload: bytes = b""


@dataclass(frozen=True, slots=True)
class Pong:
    payload: bytes = b""


@dataclass(frozen=True, slots=True)
class Closing:
    """The peer closes: to be answered by `close(code)`. `code` is NO_CODE where it gives none."""

    code: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """The peer broke the protocol: `close(code)` tells it so, and nothing else it sends is read."""

    code: int
    reason: str


WebSocketEvent = Message | Ping | Pong | Closing | Failed


def valid_close_code(code: int) -> bool:
    """May `code` be on the wire (RFC 6455 section 7.4, and the IANA registry)?"""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def frame(
    opcode: int, payload: bytes, *, mask: bytes = b"", fin: bool = True, compressed: bool = False
) -> bytes:
    """One frame (section 5.2). `mask`: four random bytes of a client; b"" of a server."""
    first = opcode | (_FIN if fin else 0) | (_RSV1 if compressed else 0)
    size, masked = len(payload), _MASKED if mask else 0
    if size <= _MAX_CONTROL:
        head = struct.pack("!BB", first, masked | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, masked | 126, size)
    else:
        head = struct.pack("!BBQ", first, masked | 127, size)
    if not mask:
        return head + payload
    return b"".join((head, mask, XorMaskerSimple(mask).process(bytearray(payload))))


class Prepared:
    """A message to many: each form of its frame is made once, whoever gets it.

    Compressed forms have no context, so they fit every connection whose peer inflates at least that window.
    """

    __slots__ = ("_forms", "message")

    def __init__(self, message: Message) -> None:
        self.message = message
        self._forms: dict[int, bytes] = {}

    def form(self, bits: int = 0) -> bytes:
        """A server's frame, compressed with a window of 2^`bits`; 0: as it is."""
        if bits not in self._forms:
            opcode = Opcode.TEXT if self.message.is_text else Opcode.BINARY
            payload = squeezed(self.message.data, bits) if bits else self.message.data
            self._forms[bits] = frame(opcode, payload, compressed=bits > 0)
        return self._forms[bits]


class _Rules(Extension):
    """What is checked when a frame's head is there, before its payload is waited for."""

    name = "netlab-rules"

    def __init__(self, codec: WebSocketCodec) -> None:
        self._codec = codec
        self.header = Header(True, _PLAIN, Opcode.TEXT, 0, None)

    def enabled(self) -> bool:
        return True

    def offer(self) -> bool:
        return False

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        # Asked again where the mask has not come yet: nothing is changed here.
        return self._codec.check_head(opcode, payload_length)

    def frame_inbound_payload_data(self, proto: FrameDecoder | FrameProtocol, data: bytes) -> bytes:
        assert isinstance(proto, FrameDecoder)
        assert proto.header is not None  # as there is payload
        self.header = proto.header
        return data


class WebSocketCodec:
    """One side of a WebSocket whose handshake is done.

    `receive` raises nothing: what the peer broke is its last event, after all that came before it.
    """

    __slots__ = (
        "_decoder",
        "_deflate",
        "_is_compressed",
        "_is_text",
        "_mask",
        "_max_message",
        "_over",
        "_parts",
        "_rules",
        "_size",
        "_utf8",
        "_wire",
        "close_received",
        "close_sent",
    )

    def __init__(
        self,
        *,
        client: bool,
        deflate: Deflate | None = None,
        max_message: int = MAX_MESSAGE,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._rules = _Rules(self)
        self._decoder = FrameDecoder(client, [self._rules])
        self._deflate = deflate
        self._max_message = max_message
        self._mask: Callable[[int], bytes] | None = entropy if client else None
        self.close_sent = False
        self.close_received = False
        self._over = False  # nothing that comes is read any more
        self._parts: bytearray | None = None  # of a message that has begun
        self._is_text = False
        self._is_compressed = False
        self._utf8: codecs.IncrementalDecoder | None = None
        self._size = 0  # of the parts, inflated
        self._wire = 0

    # What comes in.

    def buffered(self) -> int:
        """Bytes of frames and messages that are not whole yet."""
        return len(self._decoder.buffer) + len(self._parts or b"")

    def receive(self, data: bytes) -> list[WebSocketEvent]:
        """What `data` makes whole. The last event may be Closing or Failed; after it nothing is read."""
        events: list[WebSocketEvent] = []
        if self._over:
            return events
        self._decoder.receive_bytes(data)
        try:
            while not self._over and (event := self._next(events)) is not None:
                events.append(event)
        except ParseFailed as error:
            events.append(self._failed(int(error.code), str(error)))
        except TooBigError:
            events.append(self._failed(TOO_BIG, f"a message has more than {self._max_message} bytes"))
        except RemoteProtocolError as error:
            events.append(self._failed(INVALID_DATA, str(error)))
        return events

    def _failed(self, code: int, reason: str) -> Failed:
        self._over = True
        self._parts = None
        if code == TOO_BIG:
            reason = f"a message has more than {self._max_message} bytes"
        return Failed(code, reason)

    def check_head(self, opcode: Opcode, size: int) -> CloseReason | RsvBits:
        """The order of fragments (section 5.4), and the size of the message; reserved bits that the
        frame may have."""
        if opcode.iscontrol():
            return _PLAIN
        if (opcode is Opcode.CONTINUATION) != (self._parts is not None):
            return CloseReason.PROTOCOL_ERROR
        if self._wire + size > self._max_message + 64:  # a little more, for what deflate can't squeeze
            return CloseReason.MESSAGE_TOO_BIG
        return _COMPRESSED if self._deflate and opcode is not Opcode.CONTINUATION else _PLAIN

    def _next(self, events: list[WebSocketEvent]) -> WebSocketEvent | None:
        """The next event; None where more bytes are needed."""
        while (found := self._decoder.process_buffer()) is not None:
            assert isinstance(found.payload, bytes)  # as this decoder gives nothing else
            if found.opcode.iscontrol():
                return self._control(found.opcode, found.payload)
            if found.opcode is not Opcode.CONTINUATION:
                self._begin(found.opcode)
            last = found.frame_finished and found.message_finished
            message = self._part(found.payload, last=last)
            if message is not None:
                return message
        return None

    def _control(self, opcode: Opcode, payload: bytes) -> WebSocketEvent:
        if opcode is Opcode.PING:
            return Ping(payload)
        if opcode is Opcode.PONG:
            return Pong(payload)
        closing = _closing(payload)
        self._over = True
        self.close_received = True
        return closing

    def _begin(self, opcode: Opcode) -> None:
        self._parts = bytearray()
        self._size = self._wire = 0
        self._is_text = opcode is Opcode.TEXT
        self._is_compressed = self._rules.header.rsv.rsv1
        self._utf8 = codecs.getincrementaldecoder("utf-8")() if self._is_text else None

    def _part(self, data: bytes, *, last: bool) -> Message | None:
        assert self._parts is not None  # check_head saw to it
        self._wire += len(data)
        if self._is_compressed:
            assert self._deflate is not None  # else RSV1 was refused
            data = self._deflate.inflate(data, self._max_message - self._size, last=last)
        self._size += len(data)
        if self._size > self._max_message:
            raise TooBigError
        if self._utf8 is not None:
            _check_utf8(self._utf8, data, last=last)
        self._parts += data
        if not last:
            return None
        message = Message(bytes(self._parts), self._is_text, self._wire)
        self._parts, self._utf8, self._wire = None, None, 0
        return message

    # What goes out.

    def send(self, message: Message | Prepared) -> bytes:
        """The message as one frame. Raises LocalProtocolError after `close`."""
        self._check_open()
        prepared = message if isinstance(message, Prepared) else None
        content = message.message if isinstance(message, Prepared) else message
        compress = self._deflate is not None and len(content.data) >= _SMALL
        if prepared is not None and self._mask is None and not (compress and self._takeover):
            return prepared.form(self._deflate.bits if compress and self._deflate else 0)
        payload = self._deflate.squeeze(content.data) if compress and self._deflate else content.data
        opcode = Opcode.TEXT if content.is_text else Opcode.BINARY
        return frame(opcode, payload, mask=self._new_mask(), compressed=compress)

    @property
    def _takeover(self) -> bool:
        return self._deflate is not None and self._deflate.takeover

    def ping(self, payload: bytes = b"") -> bytes:
        self._check_open()
        return self._control_frame(Opcode.PING, payload)

    def pong(self, payload: bytes = b"") -> bytes:
        self._check_open()
        return self._control_frame(Opcode.PONG, payload)

    def close(self, code: int = NORMAL, reason: str = "") -> bytes:
        """A Close frame; b"" where one has gone already. NO_CODE: without a code. A reason that is too
        long is cut."""
        if self.close_sent:
            return b""
        payload = b""
        if code != NO_CODE:
            if not valid_close_code(code):
                raise LocalProtocolError(f"{code} is no close code to send")
            cut = reason.encode()[: _MAX_CONTROL - 2].decode(errors="ignore")
            payload = struct.pack("!H", code) + cut.encode()
        sent = self._control_frame(Opcode.CLOSE, payload)
        self.close_sent = True
        return sent

    def _check_open(self) -> None:
        if self.close_sent:
            raise LocalProtocolError("the WebSocket is closing: nothing more can be sent")

    def _control_frame(self, opcode: Opcode, payload: bytes) -> bytes:
        if len(payload) > _MAX_CONTROL:
            raise LocalProtocolError("a control frame has at most 125 bytes")
        return frame(opcode, payload, mask=self._new_mask())

    def _new_mask(self) -> bytes:
        """Not to be foreseen (section 5.3)."""
        return self._mask(4) if self._mask is not None else b""


def _check_utf8(decoder: codecs.IncrementalDecoder, data: bytes, *, last: bool) -> None:
    """Raises RemoteProtocolError at the first byte that can't belong to any text (section 8.1)."""
    try:
        decoder.decode(data, last)
    except UnicodeDecodeError as error:
        raise RemoteProtocolError(f"text that is not UTF-8: {error.reason}") from error


def _closing(payload: bytes) -> Closing:
    """A Close frame's code and reason (section 5.5.1). Raises ParseFailed."""
    if not payload:
        return Closing(NO_CODE)
    code = int.from_bytes(payload[:2], "big")
    if len(payload) < 2 or not valid_close_code(code):
        raise ParseFailed("a Close frame without a valid code")
    try:
        return Closing(code, payload[2:].decode())
    except UnicodeDecodeError as error:
        cause = "the reason of a Close frame is not UTF-8"
        raise ParseFailed(cause, CloseReason.INVALID_FRAME_PAYLOAD_DATA) from error
