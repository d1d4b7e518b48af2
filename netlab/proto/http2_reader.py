"""HTTP/2 as a reader of captures needs it: every frame of one direction with its place, field by field.

Sources: RFC 9113, sections 4 and 6; RFC 7541 (HPACK). Unlike an endpoint it has no opinion on what may be
sent when, and goes on after frames that an endpoint would end the connection for.
"""

from __future__ import annotations

from typing import NamedTuple

import hyperframe.frame as hf
from hpack import Decoder
from hpack.exceptions import HPACKError
from hyperframe.exceptions import HyperframeError

from netlab.errors import RemoteProtocolError

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER_LENGTH = 9
_BLOCKS = ("HEADERS", "PUSH_PROMISE", "CONTINUATION")
_LARGEST_HEADERS = 1 << 20  # bytes of a decoded field section: more is a bomb
_LARGEST_TABLE = 1 << 24

Fields = tuple[tuple[str, str], ...]


class Http2Frame(NamedTuple):
    """A frame at [start, end) of the direction's bytes, its header of 9 bytes included.

    `type` "HEADERS", or "type 0xc9" for one that isn't known. `content`: DATA without its padding, and
    what the payload of others is without flags' fields. `facts`: its fields by name. `headers`: of the
    frame that ends a field block, which is whole then; `block_start`: where the first frame of that block
    began. `problem`: what is wrong with it.
    """

    type: str
    flags: tuple[str, ...]
    stream: int
    start: int
    end: int
    content: bytes
    facts: tuple[tuple[str, int], ...] = ()
    headers: Fields | None = None
    block_start: int = 0
    promised: int = 0
    problem: str = ""

    @property
    def ends_stream(self) -> bool:
        return "END_STREAM" in self.flags

    def fact(self, name: str) -> int | None:
        return dict(self.facts).get(name)


class _Block(NamedTuple):
    """A field block that goes on in CONTINUATION frames."""

    stream: int
    start: int
    promised: int
    ends_stream: bool
    data: bytes


class Http2Reader:
    """One direction. `client`: the direction that begins with the connection preface."""

    def __init__(self, client: bool) -> None:
        self._preface = client
        self._held = bytearray()
        self._place = 0
        self._decoder = Decoder(_LARGEST_HEADERS)
        self._decoder.max_allowed_table_size = _LARGEST_TABLE  # its true bound is in the other's SETTINGS
        self._broken = ""
        self._block: _Block | None = None

    def receive(self, data: bytes) -> list[Http2Frame]:
        """The frames that are whole now. Raises RemoteProtocolError where the client's bytes don't begin
        with the connection preface (RFC 9113, section 3.4)."""
        self._held += data
        if self._preface and not self._skip_preface():
            return []
        found, used, held = [], 0, memoryview(bytes(self._held))
        while len(held) - used >= HEADER_LENGTH:
            end = used + HEADER_LENGTH + int.from_bytes(held[used : used + 3], "big")
            if end > len(held):
                break
            found.append(self._frame(held[used:end], self._place + used))
            used = end
        del self._held[:used]
        self._place += used
        return found

    def buffered(self) -> int:
        """Bytes of a frame that isn't whole."""
        return len(self._held)

    def _skip_preface(self) -> bool:
        if not PREFACE.startswith(self._held[: len(PREFACE)]):
            raise RemoteProtocolError("the client's bytes do not begin with HTTP/2's preface")
        if len(self._held) < len(PREFACE):
            return False
        del self._held[: len(PREFACE)]
        self._place, self._preface = len(PREFACE), False
        return True

    def _frame(self, data: memoryview, start: int) -> Http2Frame:
        end = start + len(data)
        try:
            parsed, _ = hf.Frame.parse_frame_header(data[:HEADER_LENGTH])
            parsed.parse_body(data[HEADER_LENGTH:])
        except (HyperframeError, ValueError) as error:
            kind = hf.FRAMES.get(data[3])
            name = kind.__name__.removesuffix("Frame") if kind else f"type {data[3]:#x}"
            stream = int.from_bytes(data[5:9], "big") & 0x7FFFFFFF
            problem = f"malformed: {error}" if str(error) else "malformed"
            return Http2Frame(_name(name), (), stream, start, end, bytes(data[9:]), problem=problem)
        if isinstance(parsed, hf.ExtensionFrame):
            kind_name = f"type {parsed.type:#x}"
            return Http2Frame(kind_name, (), parsed.stream_id, start, end, parsed.body)
        name = _name(type(parsed).__name__.removesuffix("Frame"))
        flags = tuple(sorted(parsed.flags))
        content = bytes(getattr(parsed, "data", b"") or b"")
        made = Http2Frame(name, flags, parsed.stream_id, start, end, content, _facts(parsed))
        return self._with_headers(made, parsed) if name in _BLOCKS else made

    def _with_headers(self, made: Http2Frame, parsed: hf.Frame) -> Http2Frame:
        """Adds to the field block, and decodes it where this frame ends it (RFC 9113, section 4.3)."""
        if made.type == "CONTINUATION":
            block = self._block
            if block is None or block.stream != made.stream:
                return made._replace(problem="a CONTINUATION of no field block")
            block = block._replace(data=block.data + made.content)
        else:
            promised = parsed.promised_stream_id if isinstance(parsed, hf.PushPromiseFrame) else 0
            block = _Block(made.stream, made.start, promised, made.ends_stream, made.content)
        if "END_HEADERS" not in made.flags:
            self._block = block
            return made
        self._block = None
        headers = self._decode(block.data)
        flags = (*made.flags, "END_STREAM") if block.ends_stream and not made.ends_stream else made.flags
        return made._replace(
            flags=flags,
            headers=headers,
            block_start=block.start,
            promised=block.promised,
            problem="" if headers is not None else self._broken,
        )

    def _decode(self, block: bytes) -> Fields | None:
        if self._broken:
            return None
        try:
            fields = self._decoder.decode(block, raw=True)
        except (HPACKError, ValueError, IndexError) as error:
            self._broken = f"a field block that HPACK can't decode, so none after it: {error}"
            return None
        return tuple((_text(name), _text(value)) for name, value, *_ in fields)


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else bytes(value).decode("latin-1")


_NAMES = {
    "Data": "DATA",
    "Headers": "HEADERS",
    "Priority": "PRIORITY",
    "RstStream": "RST_STREAM",
    "Settings": "SETTINGS",
    "PushPromise": "PUSH_PROMISE",
    "Ping": "PING",
    "GoAway": "GOAWAY",
    "WindowUpdate": "WINDOW_UPDATE",
    "Continuation": "CONTINUATION",
    "AltSvc": "ALTSVC",
}
_SETTINGS = {
    1: "HEADER_TABLE_SIZE",
    2: "ENABLE_PUSH",
    3: "MAX_CONCURRENT_STREAMS",
    4: "INITIAL_WINDOW_SIZE",
    5: "MAX_FRAME_SIZE",
    6: "MAX_HEADER_LIST_SIZE",
    8: "ENABLE_CONNECT_PROTOCOL",
    9: "NO_RFC7540_PRIORITIES",
}


def _name(python: str) -> str:
    return _NAMES.get(python, python)


def _facts(frame: hf.Frame) -> tuple[tuple[str, int], ...]:
    """The numbers in a frame, by the names of RFC 9113, section 6."""
    if isinstance(frame, hf.SettingsFrame):
        return tuple((_SETTINGS.get(one, f"{one:#x}"), value) for one, value in frame.settings.items())
    if isinstance(frame, hf.WindowUpdateFrame):
        return (("window_size_increment", frame.window_increment),)
    if isinstance(frame, hf.RstStreamFrame):
        return (("error_code", frame.error_code),)
    if isinstance(frame, hf.GoAwayFrame):
        return (("last_stream_id", frame.last_stream_id), ("error_code", frame.error_code))
    if isinstance(frame, hf.PushPromiseFrame):
        return (("promised_stream_id", frame.promised_stream_id),)
    if isinstance(frame, (hf.HeadersFrame, hf.PriorityFrame)) and (
        isinstance(frame, hf.PriorityFrame) or "PRIORITY" in frame.flags
    ):
        return (("depends_on", frame.depends_on), ("weight", frame.stream_weight))
    return ()
