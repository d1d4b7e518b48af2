"""A micro-cache before an upstream: of requests for the same at once, one goes on and the others wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from netlab.net.context import RoleContext
from netlab.net.exchange import Body
from netlab.policy.micro_cache import Kept, MicroCache, key_of, may_share
from netlab.proto.http import RequestHead, ResponseHead


class Place:
    """Of one request: `kept` is its answer, if there is one, `age_s` old; else what it gets is `offered`."""

    def __init__(
        self,
        kept: Kept | None = None,
        age_s: int = 0,
        offer: Callable[[ResponseHead, Body], None] | None = None,
    ) -> None:
        self.kept = kept
        self.age_s = age_s
        self._offer = offer

    def offered(self, head: ResponseHead, body: Body) -> None:
        """An answer, which others may have where it is whole; who waits for it goes on now anyway."""
        if self._offer is not None:
            self._offer(head, body)


class MicroCached:
    """`seconds` 0: nothing is kept, and nobody waits."""

    def __init__(self, ctx: RoleContext, seconds: float) -> None:
        self._ctx = ctx
        self._cache = MicroCache(seconds) if seconds else None
        self._going: dict[str, asyncio.Event] = {}

    @asynccontextmanager
    async def place(self, request: RequestHead) -> AsyncIterator[Place]:
        """Entered at once, or when the one before, who asks for the same, has its answer."""
        cache = self._cache
        if cache is None or not may_share(request):
            yield Place()
            return
        key = key_of(request)
        kept = cache.get(key, self._ctx.now())
        if kept is None and (going := self._going.get(key)) is not None:
            await going.wait()  # once: what could not be kept then is not waited for again
            kept = cache.get(key, self._ctx.now())
        if kept is not None or key in self._going:
            yield Place(kept, 0 if kept is None else int(self._ctx.now() - kept.at))
            return
        done = self._going[key] = asyncio.Event()

        def offer(head: ResponseHead, body: Body) -> None:
            if isinstance(body, bytes):
                cache.put(key, head, body, self._ctx.now())
            self._release(key, done)

        try:
            yield Place(offer=offer)
        finally:
            self._release(key, done)

    def _release(self, key: str, done: asyncio.Event) -> None:
        if self._going.get(key) is done:
            del self._going[key]
        done.set()
