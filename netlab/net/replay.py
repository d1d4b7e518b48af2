"""A request's body that can be sent a second time, as long as little of it has been taken."""

from __future__ import annotations

from collections.abc import AsyncIterator

_KEPT = 64 * 1024


class Replayable:
    """Wraps a body's parts; keeps them, up to `limit` bytes, for a second attempt."""

    def __init__(self, source: AsyncIterator[bytes], limit: int = _KEPT) -> None:
        self._source = source
        self._limit = limit
        self._kept: list[bytes] = []
        self._size = 0

    @property
    def repeatable(self) -> bool:
        """True where `parts` would give the whole body again."""
        return self._size <= self._limit

    async def parts(self) -> AsyncIterator[bytes]:
        """The body from its start; at one time by one reader only."""
        for part in tuple(self._kept):
            yield part
        async for part in self._source:
            self._size += len(part)
            if self.repeatable:
                self._kept.append(part)
            else:
                self._kept.clear()
            yield part
