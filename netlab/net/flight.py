"""One request to an origin that several requests of clients wait for (request collapsing)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from netlab.errors import LocalProtocolError
from netlab.net.context import RoleContext
from netlab.net.shared_body import SharedBody
from netlab.net.upstream import Response, UpstreamError
from netlab.policy.stored import Stored
from netlab.proto.http import RequestHead


@dataclass(frozen=True, slots=True)
class FromCache:
    """The origin had nothing new, or failed: what is stored is the answer. `status`: for Cache-Status."""

    stored: Stored
    status: str
    validated: bool


@dataclass(frozen=True, slots=True)
class Passing:
    """The origin's response, which streams. `status`: for Cache-Status."""

    response: Response
    body: SharedBody
    status: str


class Flight:
    """The request's `work` runs on its own, so that no client's slowness or leaving stops the others. When
    nobody is interested any more, and it is not `kept` for the cache, it is `given_up`: it gets no answer,
    or not the end of one, and nobody may wait for it."""

    def __init__(self, request: RequestHead, *, kept: bool = False) -> None:
        self.request = request
        self.kept = kept
        self._decided: asyncio.Future[FromCache | Passing] = asyncio.get_running_loop().create_future()
        self._interested = 0
        self.given_up = False
        self._task: asyncio.Task[None] | None = None

    def start(self, ctx: RoleContext, work: Callable[[Flight], Awaitable[None]]) -> None:
        self._task = ctx.tasks.create_task(self._run(work))

    async def _run(self, work: Callable[[Flight], Awaitable[None]]) -> None:
        try:
            await work(self)
        except UpstreamError as error:
            self._fail(error)
        except LocalProtocolError as error:  # a bug of ours that one request has found
            self._fail(UpstreamError(str(error)))
        finally:
            self._fail(UpstreamError("given up before there was an answer"))

    def _fail(self, error: UpstreamError) -> None:
        if not self._decided.done():
            self._decided.set_exception(error)
            self._decided.exception()  # seen, also where nobody waits

    def decide(self, decision: FromCache | Passing) -> None:
        self._decided.set_result(decision)

    @contextmanager
    def interest(self) -> Iterator[None]:
        """While this is entered, somebody waits for the flight, or reads from it."""
        self._interested += 1
        try:
            yield
        finally:
            self._interested -= 1
            self._give_up_if_useless()

    @property
    def decided(self) -> bool:
        return self._decided.done()

    def release(self) -> None:
        """It is not kept for the cache any more."""
        self.kept = False
        self._give_up_if_useless()

    def _give_up_if_useless(self) -> None:
        if not self._interested and not self.kept and self._task is not None:
            self.given_up = True
            self._task.cancel()

    async def decision(self) -> FromCache | Passing:
        """What came of it. Raises UpstreamError."""
        return await asyncio.shield(self._decided)
