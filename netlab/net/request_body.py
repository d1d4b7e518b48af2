"""A request's body on its way through a gateway: its beginning looked at first, its length bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator

from netlab.net.exchange import Exchange
from netlab.net.upstream import Outgoing
from netlab.proto.http import RequestHead, end_to_end


class BodyTooLongError(Exception):
    """More came than is allowed."""


class RequestBody:
    """Of one exchange. `limit`: the most bytes that may come; 0: no bound."""

    def __init__(self, exchange: Exchange, limit: int) -> None:
        self._exchange = exchange
        self._limit = limit
        self._came = 0
        self._first: deque[bytes] = deque()  # read, and not passed on yet
        self._source: AsyncIterator[bytes] | None = None

    def check(self) -> None:
        """Raises BodyTooLongError where the head says already that the body is too long."""
        length = self._exchange.request.headers.get("content-length")
        if self._limit and length.isdigit() and int(length) > self._limit:
            raise BodyTooLongError(f"a body of {length} bytes, more than {self._limit}")

    async def beginning(self, size: int) -> bytes:
        """At most `size` bytes of the body, which `outgoing` passes on all the same. Raises BodyTooLongError,
        RemoteProtocolError, OSError."""
        held = 0
        if size and self._exchange.has_body:
            async for part in self._parts():
                self._first.append(part)
                held += len(part)
                if held >= size:
                    break
        return b"".join(self._first)[:size]

    def outgoing(self, head: RequestHead) -> Outgoing:
        """The request to send on: its body streams through, and its trailers follow it. The body's end may
        be BodyTooLongError, which comes out where the response is waited for."""
        if not self._exchange.has_body:
            return Outgoing(head)
        return Outgoing(head, self._passing(), lambda: end_to_end(self._exchange.trailers))

    async def _passing(self) -> AsyncIterator[bytes]:
        while self._first:
            yield self._first.popleft()
        async for part in self._parts():
            yield part

    async def _parts(self) -> AsyncIterator[bytes]:
        """What has not come yet."""
        if self._source is None:
            self._source = self._exchange.body()
        async for part in self._source:
            self._came += len(part)
            if self._limit and self._came > self._limit:
                raise BodyTooLongError(f"a body of more than {self._limit} bytes")
            yield part
