"""TLS at both ends of a TcpPath, and something on top: HTTP/1.1, HTTP/2 by h2, WebSocket frames."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded

from tests.kit.tcp_path import End, TcpPath

NAME = "api.example.com"


@dataclass
class Secure:
    """An end that speaks TLS. `heard` gets plain bytes, `ready` is called when the handshake is done."""

    end: End
    context: ssl.SSLContext
    session: ssl.SSLSession | None = None
    heard: Callable[[bytes], None] = lambda _: None
    ready: Callable[[], None] = lambda: None
    is_ready: bool = False

    def __post_init__(self) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        name = NAME if self.end.is_client else None
        server = not self.end.is_client
        self.tls = self.context.wrap_bio(self.incoming, self.outgoing, server, name, self.session)
        self.end.heard = self._heard

    def start(self) -> None:
        self._pump()

    def send(self, data: bytes) -> None:
        self.tls.write(data)
        self._flush()

    def _heard(self, data: bytes) -> None:
        self.incoming.write(data)
        self._pump()

    def _pump(self) -> None:
        if not self.is_ready:
            try:
                self.tls.do_handshake()
                self.is_ready = True
            except ssl.SSLWantReadError:
                self._flush()
                return
            self.ready()
        self._flush()
        while True:
            try:
                data = self.tls.read(65536)
            except ssl.SSLWantReadError:
                break
            if not data:
                break
            self.heard(data)

    def _flush(self) -> None:
        data = self.outgoing.read()
        if data:
            self.end.send(data)


@dataclass
class Http2:
    """h2 at both ends. `answer`: the body for a path, cut into pieces of `piece` bytes, which are sent in
    turn for all streams that are asked for at once (`together`)."""

    client: Secure
    server: Secure
    together: int = 1
    piece: int = 1000
    headers: tuple[tuple[str, str], ...] = ()
    answer: Callable[[str], bytes] = lambda path: b"answer to " + path.encode()
    done: set[int] = field(default_factory=set)
    waiting: list[tuple[int, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.asks = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.answers = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.client.heard, self.server.heard = self._at_client, self._at_server

    def ask(self, *paths: str) -> None:
        if not self.asks.local_settings or self.asks.highest_outbound_stream_id == 0:
            self.asks.initiate_connection()
            self.asks.increment_flow_control_window(1 << 24)
        for path in paths:
            stream = self.asks.get_next_available_stream_id()
            fields = [(":method", "GET"), (":scheme", "https"), (":authority", NAME), (":path", path)]
            fields += self.headers
            self.asks.send_headers(stream, fields, end_stream=True)
        self.client.send(self.asks.data_to_send())

    def _at_client(self, data: bytes) -> None:
        for event in self.asks.receive_data(data):
            if isinstance(event, StreamEnded):
                self.done.add(event.stream_id)
            elif isinstance(event, DataReceived) and event.flow_controlled_length:
                self.asks.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        if more := self.asks.data_to_send():
            self.client.send(more)

    def _at_server(self, data: bytes) -> None:
        for event in self.answers.receive_data(data):
            if isinstance(event, RequestReceived):
                path = next(str(value) for name, value in event.headers if str(name) == ":path")
                self.waiting.append((event.stream_id, self.answer(path)))
        if len(self.waiting) >= self.together:
            self._reply()
        if more := self.answers.data_to_send():
            self.server.send(more)

    def _reply(self) -> None:
        """A record for each piece, so that packets hold bytes of few streams."""
        for stream, _ in self.waiting:
            self.answers.send_headers(stream, [(":status", "200")])
        left = self.waiting
        self.waiting = []
        while left:
            following = []
            for stream, body in left:
                rest = body[self.piece :]
                self.answers.send_data(stream, body[: self.piece], end_stream=not rest)
                self.server.send(self.answers.data_to_send())
                if rest:
                    following.append((stream, rest))
            left = following


def secure(path: TcpPath, contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> tuple[Secure, Secure]:
    """TLS at both ends; the client starts as soon as TCP is open."""
    client, server = Secure(path.client, contexts[0]), Secure(path.server, contexts[1])
    client.start()
    return client, server
