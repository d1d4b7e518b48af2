"""A body that is kept while it passes."""

from __future__ import annotations

from collections.abc import AsyncIterator


class BodyCopy:
    """Keeps what passes until it is more than `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, part: bytes) -> None:
        self._size += len(part)
        if self._size <= self._limit:
            self._parts.append(part)
        else:
            self._parts.clear()

    async def while_passing(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for part in body:
            self.add(part)
            yield part

    def whole(self) -> bytes | None:
        return b"".join(self._parts) if self._size <= self._limit else None
