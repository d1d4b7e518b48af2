"""A server's own limits around its work: no more at once than it can bear, and nothing past its deadline."""

from __future__ import annotations

import asyncio
from math import ceil

from netlab.model.roles import Shed
from netlab.net.answers import refuse
from netlab.net.context import RoleContext
from netlab.net.exchange import Exchange, Handler
from netlab.policy import deadline
from netlab.policy.shedding import Shedder


class Protected:
    """Handles what `handler` does, within `shed` (None: whatever comes) and the caller's Request-Timeout."""

    def __init__(self, ctx: RoleContext, shed: Shed | None, handler: Handler) -> None:
        self._ctx = ctx
        self._handler = handler
        self._shedder = Shedder(shed) if shed is not None else None
        self._retry_after = str(ceil(shed.retry_after_ns / 1e9)) if shed is not None else ""

    async def handle(self, exchange: Exchange) -> None:
        if self._shedder is None:
            await self._in_time(exchange)
            return
        cause = self._shedder.enter()
        if cause:
            self._ctx.emit("shed", exchange.flow, cause=cause, traceparent=exchange.traceparent)
            await refuse(exchange, 503, f"too much to do: {cause}", ("Retry-After", self._retry_after))
            return
        started = self._ctx.now()
        try:
            await self._in_time(exchange)
        finally:
            self._shedder.leave(self._ctx.now() - started)

    async def _in_time(self, exchange: Exchange) -> None:
        left_s = deadline.left_s(exchange.request.headers)
        timer = asyncio.timeout(left_s)
        try:
            async with timer:
                await self._handler(exchange)
        except TimeoutError:
            if not timer.expired():
                raise
            cause = f"the caller waits only {left_s:g} s"
            self._ctx.emit("deadline-exceeded", exchange.flow, cause=cause, traceparent=exchange.traceparent)
            if exchange.begun:
                exchange.abort()
            else:
                await refuse(exchange, 504, cause)
