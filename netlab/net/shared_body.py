"""One body that several read while it comes: of a response that several requests wait for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from netlab.net.upstream import UpstreamError

_WINDOW = 256 * 1024  # how far the slowest reader may be behind once not all is kept; bytes


class SharedBody:
    """Keeps the first `limit` bytes, from which any reader may still begin. Of a longer body it keeps only
    what some reader has yet to take, and its source waits for the slowest."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: dict[int, bytes] = {}  # by the position at which each begins
        self._size = 0
        self._readers: dict[object, int] = {}
        self._ended = False
        self._error: UpstreamError | None = None
        self._changed = asyncio.Event()

    @property
    def joinable(self) -> bool:
        """Whether a reader may begin now."""
        return self._size <= self._limit and self._error is None

    def whole(self) -> bytes | None:
        """All of it, where it has ended well and was not too long."""
        whole = self._ended and self._error is None and self._size <= self._limit
        return b"".join(self._parts.values()) if whole else None

    async def add(self, part: bytes) -> None:
        """Returns when the readers' slowness allows more."""
        if part:
            self._parts[self._size] = part
            self._size += len(part)
            self._say()
        while self._size > self._limit and self._size - self._slowest() > _WINDOW:
            await self._changed.wait()

    def end(self, error: UpstreamError | None = None) -> None:
        """No more comes; with an error the body is not whole, and readers get the error."""
        self._ended, self._error = True, error
        self._say()

    @contextmanager
    def reader(self) -> Iterator[AsyncIterator[bytes]]:
        """The parts from the beginning. The source waits for who has entered this."""
        token = object()
        self._readers[token] = 0
        try:
            yield self._read(token)
        finally:
            del self._readers[token]
            self._forget()
            self._say()

    async def _read(self, token: object) -> AsyncIterator[bytes]:
        position = 0
        while True:
            part = self._parts.get(position)
            if part is not None:
                yield part
                position += len(part)
                self._took(token, position)
            elif self._error is not None:
                raise self._error
            elif self._ended:
                return
            else:
                await self._changed.wait()

    def _took(self, token: object, position: int) -> None:
        self._readers[token] = position
        if self._size > self._limit:
            self._forget()
            self._say()

    def _forget(self) -> None:
        """What is too long to be kept is kept only as far as someone has yet to read it."""
        if self._size <= self._limit:
            return
        slowest = self._slowest()
        for start in list(self._parts):
            if start >= slowest:
                break
            del self._parts[start]

    def _slowest(self) -> int:
        return min(self._readers.values(), default=0)

    def _say(self) -> None:
        """Wakes all who wait now."""
        self._changed.set()
        self._changed = asyncio.Event()
