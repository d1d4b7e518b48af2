"""A host's addresses as they come from the resolver, and the first connection to one of them (RFC 8305)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Self, TypeVar

from netlab.net.context import RoleContext
from netlab.net.racing import tried, won
from netlab.net.upstream import UpstreamError
from netlab.policy.happy_eyeballs import HappyEyeballs

Way = TypeVar("Way")
Lookup = Callable[[int], Coroutine[Any, Any, list[str]]]  # an IP version ─► addresses; raises NetlabError


class Addresses:
    """The lookups of one host's addresses, one for each IP version, at the same time.

    `worked` is called with the address that took a connection. Use it as an async context manager: lookups
    that are not over at its end are cancelled.
    """

    def __init__(
        self,
        ctx: RoleContext,
        lookup: Lookup,
        versions: tuple[int, ...],
        preferred: str = "",
        worked: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._lookup = lookup
        self._versions = versions
        self._preferred = preferred
        self._ctx = ctx
        self._now = ctx.now
        self.worked = worked
        self._tasks: dict[asyncio.Task[list[str] | Exception], int] = {}

    async def __aenter__(self) -> Self:
        for version in self._versions:
            asking = self._ctx.tasks.create_task(tried(partial(self._lookup, version)))
            self._tasks[asking] = version
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def machine(self) -> HappyEyeballs:
        """One that has heard what is known; `pending` will tell the rest."""
        made = HappyEyeballs(self._versions, self._preferred)
        for task, version in self._tasks.items():
            if task.done():
                self._tell(made, task, version)
        return made

    def pending(self) -> set[asyncio.Task[Any]]:
        return {task for task in self._tasks if not task.done()}

    def hear(self, machine: HappyEyeballs, done: set[asyncio.Task[Any]]) -> None:
        """Tell the machine of those of the tasks that are lookups of ours."""
        for task in done:
            if task in self._tasks:
                self._tell(machine, task, self._tasks[task])

    def _tell(self, machine: HappyEyeballs, task: asyncio.Task[list[str] | Exception], version: int) -> None:
        found = task.result()
        machine.answered(version, [] if isinstance(found, Exception) else found, self._now())

    async def ready(self) -> list[str]:
        """Those that are known when connecting may begin, in the order in which to try them.

        Raises NetlabError where there is none.
        """
        machine = self.machine()
        while not machine.ready(self._now()):
            deadline = machine.deadline()
            left = None if deadline is None else max(0.0, deadline - self._now())
            done, _ = await asyncio.wait(self.pending(), timeout=left, return_when=asyncio.FIRST_COMPLETED)
            self.hear(machine, done)
        found = []
        while (address := machine.next(self._now())) is not None:
            found.append(address)
            machine.failed(address, self._now())
        if not found and machine.over:
            raise self._failure()
        return found

    def _failure(self) -> Exception:
        """Of IPv4, where both have failed: its words are the usual ones."""
        failures = {version: task.result() for task, version in self._tasks.items() if task.done()}
        failure = failures.get(4) or failures[min(failures)]
        assert isinstance(failure, Exception)  # or there was an address
        return failure


async def first_connected(
    ctx: RoleContext,
    addresses: Addresses,
    attempt: Callable[[str], Coroutine[Any, Any, Way]],
    discard: Callable[[Way], None],
) -> Way:
    """The first connection to one of the addresses. What others reach in the last moment is given to
    `discard`. Raises what the last attempt raised: UpstreamError, NetlabError, OSError."""
    machine = addresses.machine()
    attempts: dict[asyncio.Task[Way | Exception], str] = {}
    kept: asyncio.Task[Way | Exception] | None = None
    failure: Exception = UpstreamError("the host has no address")
    try:
        while kept is None and not machine.over:
            while (address := machine.next(ctx.now())) is not None:
                attempts[ctx.tasks.create_task(tried(partial(attempt, address)))] = address
            kept, failure = await _wait(addresses, machine, attempts, failure, ctx.now)
        if kept is None:
            raise failure
    finally:
        for task in attempts:
            if task is not kept:
                task.cancel()
        await asyncio.gather(*(task for task in attempts if task is not kept), return_exceptions=True)
        for task in attempts:
            if task is not kept and won(task):
                discard(task.result())  # type: ignore[arg-type] # won: it is no Exception
    addresses.worked(attempts[kept])
    return kept.result()  # type: ignore[return-value] # won


async def _wait(
    addresses: Addresses,
    machine: HappyEyeballs,
    attempts: dict[asyncio.Task[Way | Exception], str],
    failure: Exception,
    now: Callable[[], float],
) -> tuple[asyncio.Task[Way | Exception] | None, Exception]:
    """Until an attempt is over, a lookup is, or another attempt is due: the attempt that won, and what the
    last one said that failed."""
    running = {task for task in attempts if not task.done()}
    deadline = machine.deadline()
    left = None if deadline is None else max(0.0, deadline - now())
    done, _ = await asyncio.wait(
        running | addresses.pending(), timeout=left, return_when=asyncio.FIRST_COMPLETED
    )
    addresses.hear(machine, done)
    for task in done & running:
        if won(task):
            return task, failure
        result = task.result()
        assert isinstance(result, Exception)  # as it did not win
        failure = result
        machine.failed(attempts[task], now())
    return None, failure
