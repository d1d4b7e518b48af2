"""A server's codec that gets raw frames, and what it says of them."""

from __future__ import annotations

from h2.errors import ErrorCodes

from netlab.errors import RemoteProtocolError
from netlab.proto.http import End, HttpEvent, Reset, ResponseHead
from netlab.proto.http2 import Limits, ServerCodec
from tests.kit.http2_peer import GET, Encoding, Fields, faults, opening

ENCODED_GET = Encoding().encoder.encode(GET)  # as the first block of a connection


class Talk:
    """A server that gets frames, and what it says of them."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.server = ServerCodec(limits)
        self.encoding = Encoding()
        self.said = b""
        self.events: list[HttpEvent] = []
        self.error: RemoteProtocolError | None = None

    def hear(self, *parts: bytes) -> Talk:
        for part in parts:
            try:
                self.events += self.server.receive(part)
            except RemoteProtocolError as error:
                self.error = self.error or error
        self.said += self.server.outgoing()
        return self

    def open(self, stream: int = 1, fields: Fields = GET, *, ends: bool = True) -> Talk:
        return self.hear(self.encoding.headers(stream, fields, ends=ends))

    def answer(self, stream: int = 1) -> Talk:
        """The server's whole response."""
        self.server.send(ResponseHead(200, stream=stream), End(stream=stream))
        return self.hear()


def connected(limits: Limits | None = None) -> Talk:
    talk = Talk(limits).hear(opening())
    talk.said = b""
    return talk


def connection_error(talk: Talk, code: ErrorCodes) -> None:
    assert [fault[:2] for fault in faults(talk.said)] == [("goaway", code)], (faults(talk.said), talk.error)
    assert talk.error is not None
    assert code.name in str(talk.error)


def stream_error(talk: Talk, code: ErrorCodes, stream: int = 1) -> None:
    """The stream is reset, and the connection goes on."""
    assert faults(talk.said) == [("reset", code, stream)], (faults(talk.said), talk.error, talk.events)
    assert talk.error is None
    talk.events.clear()
    highest = 101
    talk.open(highest)
    assert [event.stream for event in talk.events if not isinstance(event, Reset)] == [highest, highest]
