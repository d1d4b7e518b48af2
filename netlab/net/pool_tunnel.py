"""A tunnel on a connection of a pool, which gets the connection back at its end."""

from __future__ import annotations

from collections.abc import Callable

from netlab.model.event import Flow
from netlab.net.exchange import Tunnel


class PooledTunnel(Tunnel):
    """The tunnel `inner`; `give_back` is called once, when both sides have ended it, or it is aborted."""

    def __init__(self, inner: Tunnel, give_back: Callable[[], None]) -> None:
        self._inner = inner
        self._give_back = give_back
        self._given = False
        self._we_ended = self._they_ended = False

    @property
    def flow(self) -> Flow:
        return self._inner.flow

    async def read(self) -> bytes:
        try:
            data = await self._inner.read()
        except Exception:
            self._they_ended = True
            self._check()
            raise
        if not data:
            self._they_ended = True
            self._check()
        return data

    async def write(self, data: bytes) -> None:
        await self._inner.write(data)

    async def close(self) -> None:
        self._we_ended = True
        try:
            await self._inner.close()
        finally:
            self._check()

    def abort(self) -> None:
        self._inner.abort()
        self._end()

    def _check(self) -> None:
        if self._we_ended and self._they_ended:
            self._end()

    def _end(self) -> None:
        if not self._given:
            self._given = True
            self._give_back()
