"""One request over HTTP/2 on the client's side, and its response."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Protocol

from netlab.model.event import Flow
from netlab.net.http2_streams import Inbox, Multiplexer
from netlab.net.upstream import Response
from netlab.proto.http import RequestHead, ResponseHead


class BodyError(Exception):
    """The request's body could not be read: its cause is what the request raises."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Asked(Inbox):
    """A request of ours: its response's head, and its body's parts as they come."""

    def __init__(self, multiplexer: Multiplexer, request: RequestHead) -> None:
        super().__init__(multiplexer, request.stream)
        self.request = request
        self.informational: list[ResponseHead] = []
        self.over = False  # nobody asks for more of it
        self.head: asyncio.Future[ResponseHead] = asyncio.get_running_loop().create_future()

    def fail(self, error: Exception) -> None:
        super().fail(error)
        if not self.head.done():
            self.head.set_exception(error)
            self.head.exception()  # whoever waits gets it; nobody may wait any more


class _Connection(Protocol):
    flow: Flow

    async def next_part(self, asked: Asked, timeout_s: float) -> bytes | None: ...

    def emit(self, event: str, request: RequestHead, **data: Any) -> None: ...


class Http2Response(Response):
    def __init__(self, connection: _Connection, asked: Asked, head: ResponseHead, timeout_s: float) -> None:
        self.head = head
        self.flow = connection.flow
        self.informational = tuple(asked.informational)
        self._connection = connection
        self._asked = asked
        self._timeout_s = timeout_s
        self._size = 0
        self._told = False

    async def body(self) -> AsyncIterator[bytes]:
        while (part := await self._connection.next_part(self._asked, self._timeout_s)) is not None:
            self._size += len(part)
            yield part
        self.trailers = self._asked.trailers
        if not self._told:
            self._told = True
            request = self._asked.request
            self._connection.emit("response-received", request, status=self.head.status, bytes=self._size)
