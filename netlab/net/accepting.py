"""Accepting TCP connections as bare sockets, for who moves bytes without streams."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from netlab.model.event import Flow
from netlab.net import sockets
from netlab.net.context import RoleContext

Handler = Callable[[socket.socket, Flow], Coroutine[Any, Any, None]]
_AT_ONCE = 64  # taken before others have their turn
_PAUSE_S = 1.0  # when there are no descriptors left


class Acceptor:
    """Serves `handler(socket, flow)` for each connection, until `close`. The handler closes the socket; an
    OSError ends its connection only."""

    def __init__(self, ctx: RoleContext, handler: Handler) -> None:
        self._ctx = ctx
        self._handler = handler
        self._listening: list[socket.socket] = []

    def listen(self, port: int) -> int:
        """The port's number. Raises LabError where it can't be had."""
        self._listening = sockets.bound(port, socket.SOCK_STREAM)
        for sock in self._listening:
            self._resume(sock)
        return int(self._listening[0].getsockname()[1])

    def close(self) -> None:
        """Accept no more; connections that are open go on."""
        for sock in self._listening:
            asyncio.get_running_loop().remove_reader(sock.fileno())
            sock.close()
        self._listening.clear()

    def _resume(self, sock: socket.socket) -> None:
        if sock in self._listening:
            asyncio.get_running_loop().add_reader(sock.fileno(), self._take, sock)

    def _take(self, sock: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                made, _ = sock.accept()
            except (BlockingIOError, ConnectionError):
                return
            except OSError as error:
                self._ctx.emit("error", cause=f"can't accept: {error.strerror}")
                loop = asyncio.get_running_loop()
                loop.remove_reader(sock.fileno())
                loop.call_later(_PAUSE_S, self._resume, sock)
                return
            made.setblocking(False)
            try:
                flow = sockets.flow_of(made)
            except OSError:  # the peer has reset it already
                made.close()
                continue
            self._ctx.in_flight(self._serve(made, flow))

    async def _serve(self, sock: socket.socket, flow: Flow) -> None:
        self._ctx.emit("connection-opened", flow, side="server")
        cause = "done"
        try:
            await self._handler(sock, flow)
        except OSError as error:
            cause = str(error) or type(error).__name__
        finally:
            sock.close()
            self._ctx.emit("connection-closed", flow, cause=cause)
