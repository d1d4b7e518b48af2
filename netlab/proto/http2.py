"""HTTP/2 (RFC 9113) for a server and for a client: bytes ⇄ the words of `proto.http`."""

from __future__ import annotations

import struct
from collections import OrderedDict

from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from netlab.errors import LocalProtocolError
from netlab.proto import http2_frames as frames
from netlab.proto.http import End, Headers, HttpEvent, Promise, RequestHead, Reset, ResponseHead
from netlab.proto.http2_codec import NO_FIELDS, STATUS_103, Codec
from netlab.proto.http2_frames import PREFACE, Frame, PeerError
from netlab.proto.http2_headers import (
    Fields,
    MalformedError,
    read_request,
    read_response,
    section_size,
    write_request,
)
from netlab.proto.http2_priority import DEFAULT, Priority, parse_priority
from netlab.proto.http2_state import NO_STREAM_YET, Limits, Stream

__all__ = ["NO_STREAM_YET", "PREFACE", "ClientCodec", "ErrorCodes", "Limits", "ServerCodec"]

_EARLY = 128  # priorities that have come before their requests (RFC 9218 section 7)
_BODILESS = {204, 304}


class ServerCodec(Codec):
    """Receives requests, sends responses and promises."""

    def __init__(self, limits: Limits | None = None) -> None:
        super().__init__(
            client=False,
            limits=limits or Limits(),
            settings={SettingCodes.ENABLE_CONNECT_PROTOCOL: 1, _NO_RFC7540_PRIORITIES: 1},
        )
        self._early: OrderedDict[int, Priority] = OrderedDict()

    @property
    def can_push(self) -> bool:
        """The client takes pushes, and has room for one more."""
        pushed = sum(1 for stream in self._streams if stream % 2 == 0)
        return bool(self._h2.remote_settings.enable_push) and pushed < self.max_concurrent

    def promise(self, stream: int, head: RequestHead) -> int:
        """Promise a response to `head`, on the stream that is returned (RFC 9113 section 8.4)."""
        promised = self._h2.get_next_available_stream_id()
        self.send(
            Promise(RequestHead(head.method, head.target, head.headers, promised, "2", head.scheme), stream)
        )
        return promised

    def _send_promise(self, promise: Promise) -> None:
        promised = promise.head.stream
        self._h2.push_stream(promise.stream, promised, write_request(promise.head))
        self._streams[promised] = Stream(promised, receiving=False, headed=True, told=True)

    def _send_request(self, head: RequestHead, ends: bool) -> None:
        raise LocalProtocolError(f"a server sends no requests: {head}, {ends}")

    def _on_section(self, frame: Frame, fields: Fields, events: list[HttpEvent]) -> None:
        stream = self._streams.get(frame.stream)
        if stream is not None:
            self._on_trailers(stream, frame, fields, events)
        elif self._may_open(frame):
            self._open(frame, fields, events)

    def _may_open(self, frame: Frame) -> bool:
        """Whether HEADERS opens a stream. False: it is to be ignored."""
        stream = frame.stream
        if not self._is_peers(stream):
            raise PeerError(ErrorCodes.PROTOCOL_ERROR, f"HEADERS on stream {stream} of ours")
        if stream <= self._highest:
            if stream not in self._closed:  # passed over, so closed without having been open (section 5.1.1)
                raise PeerError(ErrorCodes.PROTOCOL_ERROR, f"stream {stream} after stream {self._highest}")
            self._absent(stream, "HEADERS")
            return False
        if self.leaving:
            return False  # the client knows by GOAWAY that nobody acts on it
        self._highest = stream
        most = self.limits.streams
        if len(self._streams) >= most and sum(1 for known in self._streams if known % 2) >= most:
            raise PeerError(ErrorCodes.REFUSED_STREAM, "too many streams at once", stream)
        return True

    def _open(self, frame: Frame, fields: Fields, events: list[HttpEvent]) -> None:
        stream = self._streams[frame.stream] = Stream(frame.stream, headed=True)
        self._stand_in(frame, NO_FIELDS)
        stream.receiving = not frame.ends_stream
        if section_size(fields) > self.limits.section:
            self._refuse(stream, 431)
            return
        if frame.depends_on_itself:
            raise PeerError(ErrorCodes.PROTOCOL_ERROR, "a stream that depends on itself", stream.id)
        head = read_request(fields, stream.id)
        self._expect(stream, head.headers, frame)
        known = stream.id in self._early
        stream.priority = self._early.pop(stream.id) if known else _priority(head.headers)
        stream.told = True
        events.append(head)
        if frame.ends_stream:
            events.append(End(stream=stream.id))

    def _refuse(self, stream: Stream, status: int) -> None:
        """Answer a request that the application does not see (RFC 9113 section 10.5.1)."""
        head = ResponseHead(status, Headers((("content-length", "0"),)), "", stream.id, "2")
        self.send(head, End(stream=stream.id), Reset(ErrorCodes.NO_ERROR, stream.id))
        self._bear(self._resets, "requests that are refused")

    def _on_promise(self, stream: int, promised: int, fields: Fields, events: list[HttpEvent]) -> None:
        raise PeerError(ErrorCodes.PROTOCOL_ERROR, "PUSH_PROMISE from a client")

    def _on_priority_update(self, frame: Frame, events: list[HttpEvent]) -> None:
        """RFC 9218 section 7.1."""
        del events
        self._bear(self._chatter, "PRIORITY_UPDATE frames")
        stream = struct.unpack_from(">L", frame.payload)[0] & 0x7FFF_FFFF
        if not stream:
            raise PeerError(ErrorCodes.PROTOCOL_ERROR, "PRIORITY_UPDATE of stream 0")
        if not self._is_peers(stream) and self._is_idle(stream):
            raise PeerError(ErrorCodes.PROTOCOL_ERROR, "PRIORITY_UPDATE of a push that nobody promised")
        priority = parse_priority(frame.payload[4:].decode("latin-1"))
        if stream in self._streams:
            self._streams[stream].priority = priority
        elif self._is_idle(stream):
            self._early[stream] = priority
            if len(self._early) > _EARLY:
                self._early.popitem(last=False)


def _priority(headers: Headers) -> Priority:
    wanted = [value for name, value in headers if name == "priority"]
    return parse_priority(", ".join(wanted)) if wanted else DEFAULT


# RFC 9218 section 2.1: we ignore the priorities of RFC 7540.
_NO_RFC7540_PRIORITIES = 0x9


class ClientCodec(Codec):
    """Sends requests, receives responses; with `push` also promises."""

    def __init__(self, limits: Limits | None = None, *, push: bool = False) -> None:
        super().__init__(
            client=True, limits=limits or Limits(), settings={SettingCodes.ENABLE_PUSH: int(push)}
        )

    @property
    def extended_connect(self) -> bool:
        """The server takes an extended CONNECT (RFC 8441 section 3)."""
        return bool(self._h2.remote_settings.enable_connect_protocol)

    @property
    def exhausted(self) -> bool:
        """No stream identifiers are left (RFC 9113 section 5.1.1)."""
        return self._h2.highest_outbound_stream_id >= NO_STREAM_YET - 2

    def next_stream(self) -> int:
        """The stream of the next request; it must be sent before this is asked again."""
        return self._h2.get_next_available_stream_id()

    def _send_request(self, head: RequestHead, ends: bool) -> None:
        self._h2.send_headers(head.stream, write_request(head), end_stream=ends)
        self._streams[head.stream] = Stream(
            head.stream, sending=not ends, told=True, bodiless=head.method == "HEAD"
        )

    def _send_promise(self, promise: Promise) -> None:
        raise LocalProtocolError(f"a client promises nothing: {promise}")

    def _on_section(self, frame: Frame, fields: Fields, events: list[HttpEvent]) -> None:
        stream = self._streams.get(frame.stream)
        if stream is None:
            self._absent(frame.stream, "HEADERS")
        elif stream.headed:
            self._on_trailers(stream, frame, fields, events)
        else:
            self._on_response(stream, frame, fields, events)

    def _on_response(self, stream: Stream, frame: Frame, fields: Fields, events: list[HttpEvent]) -> None:
        if section_size(fields) > self.limits.section:
            raise PeerError(ErrorCodes.ENHANCE_YOUR_CALM, "a head that is too large", stream.id)
        head = read_response(fields, stream.id)
        if head.informational:
            if frame.ends_stream:
                raise MalformedError("an informational response that ends the stream")
            self._bear(self._chatter, "informational responses")
            self._stand_in(frame, STATUS_103)
            events.append(head)
            return
        stream.headed = True
        stream.bodiless = stream.bodiless or head.status in _BODILESS
        self._expect(stream, head.headers, frame)
        self._stand_in(frame, NO_FIELDS)
        events.append(head)
        if frame.ends_stream:
            self._received_all(stream, End(stream=stream.id), events)

    def _on_promise(self, stream: int, promised: int, fields: Fields, events: list[HttpEvent]) -> None:
        """RFC 9113 sections 6.6 and 8.4.1."""
        parent = self._streams.get(stream)
        if promised % 2 or promised <= self._highest or stream % 2 == 0:
            raise PeerError(ErrorCodes.PROTOCOL_ERROR, f"the promise of stream {promised} on stream {stream}")
        if parent is None or not parent.receiving:
            self._absent(stream, "PUSH_PROMISE")
        self._highest = promised
        pushed = sum(1 for known in self._streams if known % 2 == 0)
        if parent is None or not parent.receiving or pushed >= self.limits.streams:
            self._bear(self._resets, "promises that are refused")
            self._raw(frames.rst_stream(promised, ErrorCodes.REFUSED_STREAM))
            self._remember(promised, "ours")
            return
        self._feed(
            frames.frame(
                frames.PUSH_PROMISE, frames.END_HEADERS, stream, struct.pack(">L", promised) + NO_FIELDS
            )
        )
        stream_of_push = self._streams[promised] = Stream(promised, sending=False)
        head = read_request(fields, promised)
        if (
            head.method not in {"GET", "HEAD"}
            or head.protocol
            or head.headers.get("content-length", "0") != "0"
        ):
            raise MalformedError("the promise of a response to a request that is not safe, or has a body")
        stream_of_push.bodiless, stream_of_push.told = head.method == "HEAD", True
        events.append(Promise(head, stream))

    def _on_priority_update(self, frame: Frame, events: list[HttpEvent]) -> None:
        raise PeerError(ErrorCodes.PROTOCOL_ERROR, "PRIORITY_UPDATE from a server")
