"""WebSocket as a reader of captures needs it: every frame of one direction with its place.

Sources: RFC 6455, section 5; RFC 7692 (permessage-deflate). It has no opinion on what may be sent when.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

from netlab.proto.http import members

_OPCODES = {0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}
_LARGEST_MESSAGE = 1 << 26  # bytes after inflation: more is a bomb
_TAIL = b"\0\0\xff\xff"  # RFC 7692, section 7.2.2


class WebSocketFrame(NamedTuple):
    """A frame at [start, end) of the direction's bytes; its header is `header_length` of them, 2 to 14.

    `payload` as sent, without the mask. `message`: the whole message, inflated, with the frame that ends
    it; None with all others. `problem`: why a message could not be inflated.
    """

    opcode: int
    fin: bool
    compressed: bool
    masked: bool
    start: int
    end: int
    header_length: int
    payload: bytes
    message: bytes | None = None
    problem: str = ""

    @property
    def name(self) -> str:
        return _OPCODES.get(self.opcode, f"opcode {self.opcode:#x}")

    @property
    def close_code(self) -> int:
        """Of a close frame; 1005 where it has none (RFC 6455, section 7.1.5), 0 of other frames."""
        if self.opcode != 8:
            return 0
        return int.from_bytes(self.payload[:2], "big") if len(self.payload) >= 2 else 1005


class Deflate(NamedTuple):
    """What permessage-deflate agreed on: whether each side begins every message with an empty window."""

    client_resets: bool = False
    server_resets: bool = False

    @classmethod
    def of(cls, extensions: str) -> Deflate | None:
        """Of the response's Sec-WebSocket-Extensions; None where it isn't used."""
        for extension in members(extensions):
            name, *parameters = (part.strip().lower() for part in extension.split(";"))
            if name == "permessage-deflate":
                return cls(
                    "client_no_context_takeover" in parameters, "server_no_context_takeover" in parameters
                )
        return None


class WebSocketReader:
    """One direction. `deflate`: messages may be compressed; `resets`: each with an empty window."""

    def __init__(self, deflate: bool = False, resets: bool = False) -> None:
        self._held = bytearray()
        self._place = 0
        self._deflate = deflate
        self._resets = resets
        self._inflater = zlib.decompressobj(-15)
        self._parts: list[bytes] = []
        self._compressed = False
        self._broken = ""

    def receive(self, data: bytes) -> list[WebSocketFrame]:
        """The frames that are whole now."""
        self._held += data
        found, used = [], 0
        while (frame := self._frame(used)) is not None:
            used += frame.end - frame.start
            found.append(self._with_message(frame))
        del self._held[:used]
        self._place += used
        return found

    def buffered(self) -> int:
        """Bytes of a frame that isn't whole."""
        return len(self._held)

    def _frame(self, at: int) -> WebSocketFrame | None:
        held = self._held
        if len(held) < at + 2:
            return None
        first, second = held[at], held[at + 1]
        masked, length, place = bool(second & 0x80), second & 0x7F, at + 2
        if length >= 126:
            width = 2 if length == 126 else 8
            length = int.from_bytes(held[place : place + width], "big")
            place += width
        mask_at = place
        place += 4 if masked else 0
        if len(held) < place + length or place > len(held):
            return None
        payload = bytes(held[place : place + length])
        if masked:
            payload = _unmask(payload, bytes(held[mask_at:place]))
        start = self._place + at
        end = start + place - at + length
        return WebSocketFrame(
            first & 15, bool(first & 0x80), bool(first & 0x40), masked, start, end, place - at, payload
        )

    def _with_message(self, frame: WebSocketFrame) -> WebSocketFrame:
        if frame.opcode >= 8:
            return frame
        if frame.opcode:  # text or binary: a new message
            self._parts, self._compressed = [], frame.compressed and self._deflate
        self._parts.append(frame.payload)
        if not frame.fin:
            return frame
        whole, self._parts = b"".join(self._parts), []
        if not self._compressed:
            return frame._replace(message=whole)
        message = self._inflate(whole)
        return frame._replace(message=message, problem="" if message is not None else self._broken)

    def _inflate(self, data: bytes) -> bytes | None:
        if self._broken:
            return None
        try:
            made = self._inflater.decompress(data + _TAIL, _LARGEST_MESSAGE)
        except zlib.error as error:
            self._broken = f"permessage-deflate can't inflate this message, nor any after it: {error}"
            return None
        if self._inflater.unconsumed_tail:
            self._broken = f"a message of more than {_LARGEST_MESSAGE} bytes"
            return None
        if self._resets or self._inflater.eof:
            self._inflater = zlib.decompressobj(-15)
        return made


def _unmask(payload: bytes, mask: bytes) -> bytes:
    """RFC 6455, section 5.3."""
    repeated = mask * (len(payload) // 4 + 1)
    number = int.from_bytes(payload, "big") ^ int.from_bytes(repeated[: len(payload)], "big")
    return number.to_bytes(len(payload), "big")
