"""One QUIC connection on the event loop: datagrams, timers, events; what it carries is an Application's."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Protocol

from aioquic.quic.events import (
    ConnectionTerminated,
    HandshakeCompleted,
    QuicEvent,
)

from netlab.model.event import Flow
from netlab.net.context import RoleContext
from netlab.net.qlog import ConnectionLog
from netlab.net.stream import TlsInfo
from netlab.proto.quic_connection import Connection, transport_error
from netlab.proto.quic_endpoint import Address

_FINE = (0x0, 0x100)  # NO_ERROR, H3_NO_ERROR
_INTERNAL_ERROR = 0x1  # RFC 9000 section 20.1
_VERSIONS = {0x1: "1", 0x6B3343CF: "2"}


class Application(Protocol):
    """What runs on a connection."""

    def received(self, event: QuicEvent) -> None:
        """Anything but the end of the connection."""

    def sent(self) -> None:
        """Datagrams have left: there may be room for more."""

    def stopping(self) -> None:
        """The role stops: take nothing new, and close the connection when all is done."""

    def ended(self, cause: str) -> None:
        """The connection is no more."""


class QuicLink(ABC):
    """Drives a Connection. `flow` follows migration. `tls` is known once the handshake is done."""

    side = ""

    def __init__(self, ctx: RoleContext, quic: Connection, log: ConnectionLog | None) -> None:
        self.ctx = ctx
        self.quic = quic
        self.tls: TlsInfo | None = None
        self.early_data = False  # requests went, or came, before the handshake's end, and were taken
        self.ended = asyncio.Event()
        self.cause = ""
        self.farewell = b""  # the datagram with CONNECTION_CLOSE
        self.application: Application | None = None
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._woken: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    @abstractmethod
    def flow(self) -> Flow: ...

    @abstractmethod
    def send_datagram(self, data: bytes, address: Address) -> None: ...

    @abstractmethod
    def established(self, event: HandshakeCompleted) -> None:
        """The handshake is done."""

    # In.

    def feed(self, data: bytes, address: Address) -> None:
        """A datagram that is for this connection; `pump` must follow."""
        if self.ended.is_set():
            return
        try:
            self.quic.receive_datagram(data, address, self._loop.time())
        except Exception as error:  # noqa: BLE001 - what the library trips over must not end the role
            self._tripped(error)

    def _tripped(self, error: Exception) -> None:
        self.ctx.emit("error", self.flow, cause=f"aioquic could not take a datagram: {error!r}")
        self.quic.close(error_code=_INTERNAL_ERROR, reason_phrase="internal error")

    def pump(self) -> None:
        """Hand on what came, and send what is to be sent."""
        if not self.ended.is_set():
            self._hand_on()
            self.transmit()

    def _hand_on(self) -> None:
        while (event := self.quic.next_event()) is not None:
            if isinstance(event, HandshakeCompleted):
                self.early_data = event.early_data_accepted
                self.established(event)
            self.on_event(event)
            if self.application is not None:
                self.application.received(event)

    @abstractmethod
    def on_event(self, event: QuicEvent) -> None:
        """Before the application hears of it."""

    # Out.

    def wake(self) -> None:
        """There is something to send: soon, with whatever else comes until then."""
        if self._woken is None and not self.ended.is_set():
            self._woken = self._loop.call_soon(self.transmit)

    def transmit(self) -> None:
        if self._woken is not None:
            self._woken.cancel()
            self._woken = None
        if self.ended.is_set():
            return
        last = b""
        for data, address in self.quic.datagrams_to_send(now=self._loop.time()):
            self.send_datagram(data, address)
            last = data
        termination = self.quic.termination
        if termination is not None:
            self.farewell = last  # where we close; empty where the peer did, or time
            self._terminated(termination)
            return
        self._arm()
        if self.application is not None:
            self.application.sent()

    def _arm(self) -> None:
        """A timer that is due too early is left alone: it looks again when it fires."""
        at = self.quic.get_timer()
        if self._timer is not None:
            if at is not None and self._timer.when() <= at:
                return
            self._timer.cancel()
            self._timer = None
        if at is not None:
            self._timer = self._loop.call_at(at, self._expired)

    def _expired(self) -> None:
        self._timer = None
        at, now = self.quic.get_timer(), self._loop.time()
        if at is not None and now >= at:
            self.quic.handle_timer(now)
            self.pump()
        else:
            self._arm()

    # The end.

    def close(self, code: int, cause: str = "") -> None:
        """CONNECTION_CLOSE with an application's code goes out now, and the connection is no more."""
        if self.ended.is_set():
            return
        self.quic.close(error_code=code, reason_phrase=cause)
        self.transmit()
        self._end(cause or "closed")  # where not even that could be sent

    def _terminated(self, event: ConnectionTerminated) -> None:
        """Either side has closed it, or nothing came for too long."""
        fine = event.error_code in _FINE
        what = event.reason_phrase or ("closed" if fine else transport_error(event.error_code))
        self._end(what)

    def _end(self, cause: str) -> None:
        """Timers and log end with it; RFC 9000 section 10.2 lets a closing endpoint drop its state."""
        if self.ended.is_set():
            return
        self.cause = cause
        self.ended.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._woken is not None:
            self._woken.cancel()
        if self.tls is None:
            self.ctx.emit("quic-failed", self.flow, side=self.side, cause=cause)
        if self._log is not None:
            self._log.write(self.flow)
        if self.application is not None:
            self.application.ended(cause)
            self.application = None
        self.on_end()
        self.ctx.emit("connection-closed", self.flow, cause=cause)

    @abstractmethod
    def on_end(self) -> None: ...

    def say_established(self, event: HandshakeCompleted, server_name: str) -> None:
        """Emit `quic-handshake`."""
        self.tls = TlsInfo(
            version="1.3",
            cipher=self.quic.cipher,
            alpn=event.alpn_protocol or "",
            server_name=server_name,
            resumed=event.session_resumed,
        )
        self.ctx.emit(
            "quic-handshake",
            self.flow,
            side=self.side,
            version=_VERSIONS.get(self.quic.version, hex(self.quic.version)),
            cipher=self.tls.cipher,
            alpn=self.tls.alpn,
            server_name=server_name,
            resumed=self.tls.resumed,
            early_data=self.early_data,
        )
