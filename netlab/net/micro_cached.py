"""A micro-cache before an upstream: of requests for the same at once, one goes on and the others wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from netlab.net.context import RoleContext
from netlab.net.exchange import Body
from netlab.policy.micro_cache import Kept, MicroCache, key_of, may_share
from netlab.proto.http import RequestHead, ResponseHead


class Place:
    """Of one request: `kept` is its answer, if there is one; else what it gets may be `offered`."""

    def __init__(self, ctx: RoleContext, cache: MicroCache | None, key: str, kept: Kept | None) -> None:
        self._cache = cache
        self._key = key
        self._ctx = ctx
        self.kept = kept

    @property
    def age_s(self) -> int:
        return 0 if self.kept is None else int(self._ctx.now() - self.kept.at)

    def offered(self, head: ResponseHead, body: Body) -> None:
        """Keep an answer that others may have, where it is whole."""
        if self._cache is not None and isinstance(body, bytes):
            self._cache.put(self._key, head, body, self._ctx.now())


class MicroCached:
    """`seconds` 0: nothing is kept, and nobody waits."""

    def __init__(self, ctx: RoleContext, seconds: float) -> None:
        self._ctx = ctx
        self._cache = MicroCache(seconds) if seconds else None
        self._going: dict[str, asyncio.Event] = {}

    @asynccontextmanager
    async def place(self, request: RequestHead) -> AsyncIterator[Place]:
        """Entered at once, or when the one before, who asks for the same, has left."""
        cache = self._cache
        if cache is None or not may_share(request):
            yield Place(self._ctx, None, "", None)
            return
        key = key_of(request)
        kept = cache.get(key, self._ctx.now())
        if kept is None and (going := self._going.get(key)) is not None:
            await going.wait()  # once: what could not be kept then is not waited for again
            kept = cache.get(key, self._ctx.now())
        if kept is not None or key in self._going:
            yield Place(self._ctx, cache, key, kept)
            return
        done = self._going[key] = asyncio.Event()
        try:
            yield Place(self._ctx, cache, key, None)
        finally:
            del self._going[key]
            done.set()
