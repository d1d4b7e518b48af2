"""The state of one end of an HTTP/2 connection, and what it sends (RFC 9113), over the h2 library."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings
from hpack import HeaderTuple

from netlab.errors import LocalProtocolError
from netlab.proto import http2_frames as frames
from netlab.proto.http import Data, End, GoAway, HttpEvent, Promise, RequestHead, Reset, ResponseHead
from netlab.proto.http2_budget import Budget
from netlab.proto.http2_compression import SectionEncoder
from netlab.proto.http2_headers import write_response, write_trailers
from netlab.proto.http2_priority import DEFAULT, Priority

NO_STREAM_YET = 2**31 - 1  # last stream of the first GOAWAY of a shutdown (RFC 9113 section 6.8)
_WINDOW = 65_535  # that each connection begins with, and nobody can make smaller (section 6.9.2)
_REMEMBERED = 1024  # closed streams of which we know how they ended


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection may take. Windows, `section` (a decompressed field section) and `block` (a
    compressed one) in bytes. Resets, and frames that carry nothing: so many at once and so many a second."""

    streams: int = 100
    section: int = 32 * 1024
    block: int = 64 * 1024
    stream_window: int = 256 * 1024
    connection_window: int = 4 * 1024 * 1024
    resets: tuple[float, float] = (200, 30)
    chatter: tuple[float, float] = (500, 100)


@dataclass(slots=True, eq=False)
class Stream:
    """A stream that is not closed. `expected` and `received`: bytes of the peer's body. `unread`: bytes
    that the application has not consumed."""

    id: int
    receiving: bool = True
    sending: bool = True
    headed: bool = False  # the peer's head has come (a client: the final one)
    told: bool = False  # the application knows of it
    expected: int | None = None
    received: int = 0
    unread: int = 0
    bodiless: bool = False  # whatever Content-Length says (RFC 9110 section 6.4.1)
    priority: Priority = DEFAULT


class Sender(ABC):
    """One end of a connection, as far as it sends. `outgoing` has what must be written, whoever wanted it
    written."""

    def __init__(self, *, client: bool, limits: Limits, settings: dict[SettingCodes | int, int]) -> None:
        self.limits = limits
        self._client = client
        self._h2 = H2Connection(
            H2Configuration(
                client_side=client,
                header_encoding=None,
                validate_inbound_headers=False,
                normalize_inbound_headers=False,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        initial = {
            SettingCodes.MAX_CONCURRENT_STREAMS: limits.streams,
            SettingCodes.INITIAL_WINDOW_SIZE: limits.stream_window,
            SettingCodes.MAX_HEADER_LIST_SIZE: limits.section,
        }
        self._h2.encoder = SectionEncoder()
        self._h2.local_settings = Settings(client, {**initial, **settings})  # type: ignore[dict-item]
        self._h2.initiate_connection()
        if not client:
            self._h2.receive_data(frames.PREFACE)  # which the FrameReader takes
        if limits.connection_window > _WINDOW:
            self._h2.increment_flow_control_window(limits.connection_window - _WINDOW)
        self._out = bytearray()
        self._streams: dict[int, Stream] = {}
        self._closed: OrderedDict[int, str] = OrderedDict()  # "ended", "ours" or "theirs"
        self._highest = 0  # of the streams that the peer has opened
        self._resets = Budget(*limits.resets)
        self._chatter = Budget(*limits.chatter)
        self.pongs: list[bytes] = []  # what came back of pings, the last few
        self.settled = False  # the peer's SETTINGS have come
        self.leaving = False  # we said GOAWAY

    # What the application asks.

    def is_open(self, stream: int) -> bool:
        """We may still send on it."""
        known = self._streams.get(stream)
        return known is not None and known.sending

    def is_known(self, stream: int) -> bool:
        """It is not closed."""
        return stream in self._streams

    def is_receiving(self, stream: int) -> bool:
        """The peer may still send on it."""
        known = self._streams.get(stream)
        return known is not None and known.receiving

    def priority(self, stream: int) -> Priority:
        known = self._streams.get(stream)
        return known.priority if known is not None else DEFAULT

    @property
    def active(self) -> int:
        """Streams that are not closed."""
        return len(self._streams)

    @property
    def max_concurrent(self) -> int:
        """How many streams of ours the peer takes at once."""
        return self._h2.remote_settings.max_concurrent_streams

    def window(self, stream: int) -> int:
        """Bytes of Data that may be sent now, by the stream's window and the connection's."""
        if not self.is_open(stream):
            return 0
        return max(0, self._h2.local_flow_control_window(stream))

    def consumed(self, stream: int, size: int) -> None:
        """The application took `size` bytes of Data: the peer may send as many more (section 5.2)."""
        known = self._streams.get(stream)
        if known is not None:
            size = min(size, known.unread)
            known.unread -= size
            if size:
                self._h2.acknowledge_received_data(size, stream)
                self._close_if_done(known)

    def tick(self, now: float) -> None:
        """The time in seconds, by which budgets refill."""
        self._resets.tick(now)
        self._chatter.tick(now)

    def outgoing(self) -> bytes:
        """What to write now."""
        if not self._out:
            return self._h2.data_to_send()
        self._out += self._h2.data_to_send()
        data = bytes(self._out)
        self._out.clear()
        return data

    def ping(self, data: bytes) -> None:
        """Ask the peer for a sign of life: 8 bytes, which `pongs` gets back."""
        self._raw(frames.frame(frames.PING, 0, 0, data))

    def go_away(self, code: int = 0, cause: str = "", *, last: int | None = None) -> None:
        """Take no more streams (RFC 9113 section 6.8). With `last` NO_STREAM_YET it is a first warning,
        after which the streams that were on their way are still taken."""
        self.leaving = self.leaving or last is None
        self._raw(frames.goaway(self._highest if last is None else last, code, cause))

    # Sending.

    def send(self, *events: HttpEvent) -> None:
        """Put events into `outgoing`. Data must fit `window`. A head or Data and an End after it, in one
        call, make one frame. Raises LocalProtocolError where an event may not come now."""
        try:
            for index, event in enumerate(events):
                following = events[index + 1] if index + 1 < len(events) else None
                if type(event) is End and index and _ends(events[index - 1], event):
                    continue  # it went with the one before it
                self._send(event, type(following) is End and _ends(event, following))
        except (ProtocolError, KeyError, UnicodeEncodeError, ValueError) as error:
            raise LocalProtocolError(f"{error!r}, sending {event}") from error

    def _send(self, event: HttpEvent, ends: bool) -> None:
        match event:
            case RequestHead():
                self._send_request(event, ends)
            case ResponseHead():
                self._send_fields(event.stream, write_response(event), ends)
            case Data():
                self._send_data(event, ends)
            case End():
                self._send_end(event)
            case Reset():
                self._reset(event.stream, event.code)
            case GoAway():
                self.go_away(event.code, last=event.stream)
            case Promise():
                self._send_promise(event)

    @abstractmethod
    def _send_request(self, head: RequestHead, ends: bool) -> None: ...

    @abstractmethod
    def _send_promise(self, promise: Promise) -> None: ...

    def _send_fields(self, stream: int, fields: Iterable[HeaderTuple], ends: bool) -> None:
        if not self.is_open(stream):
            raise LocalProtocolError(f"stream {stream} is closed")
        self._h2.send_headers(stream, fields, end_stream=ends)
        if ends:
            self._sent_all(stream)

    def _send_data(self, event: Data, ends: bool) -> None:
        data, most = event.data, min(self._h2.max_outbound_frame_size, frames.MAX_FRAME)
        if not self.is_open(event.stream) or len(data) > self.window(event.stream):
            raise LocalProtocolError(f"{len(data)} bytes do not fit the window of stream {event.stream}")
        for start in range(0, len(data) or 1, most):
            part = data[start : start + most]
            self._h2.send_data(event.stream, part, end_stream=ends and start + most >= len(data))
        if ends:
            self._sent_all(event.stream)

    def _send_end(self, event: End) -> None:
        if event.trailers:
            self._send_fields(event.stream, write_trailers(event.trailers), ends=True)
            return
        self._h2.end_stream(event.stream)
        self._sent_all(event.stream)

    def _sent_all(self, stream: int) -> None:
        known = self._streams[stream]
        known.sending = False
        self._close_if_done(known)

    def _reset(self, stream: int, code: int) -> None:
        """End a stream. Nothing happens to one that is closed."""
        known = self._streams.get(stream)
        if known is None:
            return
        if known.sending or known.receiving:
            self._h2.reset_stream(stream, code)
        self._forget(known, "ours")

    def _raw(self, data: bytes) -> None:
        self._out += self._h2.data_to_send()
        self._out += data

    # The ends of streams.

    def _close_if_done(self, stream: Stream) -> None:
        if not stream.sending and not stream.receiving and not stream.unread:
            self._forget(stream, "ended")

    def _forget(self, stream: Stream, how: str) -> None:
        """What the application has not read of it, it won't: the connection's window gets it back."""
        self._streams.pop(stream.id, None)
        self._remember(stream.id, how)
        if stream.unread:
            self._h2.acknowledge_received_data(stream.unread, stream.id)

    def _remember(self, stream: int, how: str) -> None:
        self._closed[stream] = how
        if len(self._closed) > _REMEMBERED:
            self._closed.popitem(last=False)


def _ends(event: HttpEvent, end: End) -> bool:
    """`end` may be a flag on the frame of `event`."""
    if end.trailers or type(event) not in _WITH_END:
        return False
    return event.stream == end.stream and not (type(event) is ResponseHead and event.informational)


_WITH_END = (RequestHead, ResponseHead, Data)
