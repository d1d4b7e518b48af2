"""An exchange that a task of its own keeps open, so that several can be tried at once."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager

from netlab.net.context import RoleContext
from netlab.net.upstream import Response


class Held:
    """`answer`: the response, or what became of it instead. Whoever has it may read its body from any task,
    until `close`."""

    def __init__(self, ctx: RoleContext, opening: AbstractAsyncContextManager[Response]) -> None:
        self.answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._over = asyncio.Event()
        self._task = ctx.tasks.create_task(self._hold(opening))

    @property
    def good(self) -> bool:
        """An answer came, and no server's failure."""
        answer = self.answer
        if not answer.done() or answer.cancelled() or answer.exception() is not None:
            return False
        return answer.result().head.status < 500

    async def close(self) -> None:
        """Leave the exchange; what has no answer yet is given up."""
        self._over.set()
        if not self.answer.done():
            self._task.cancel()
        await asyncio.wait({self._task})
        if self.answer.done() and not self.answer.cancelled():
            self.answer.exception()  # seen, as nobody may have asked

    async def _hold(self, opening: AbstractAsyncContextManager[Response]) -> None:
        try:
            async with opening as response:
                self.answer.set_result(response)
                await self._over.wait()
        except Exception as error:  # noqa: BLE001 - whoever waits gets it
            if not self.answer.done():
                self.answer.set_exception(error)
        finally:
            self.answer.cancel()  # where it is not done
