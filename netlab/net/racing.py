"""Two ways to the same end: the second starts later, and whichever is ready first wins (as in RFC 8305)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from netlab.errors import NetlabError
from netlab.net.upstream import UpstreamError

Way = TypeVar("Way")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Way]):
    """What won. `first`: it was the first way; else `lost` is why the first did not win, None where it
    was simply too slow."""

    won: Way
    first: bool
    lost: Exception | None = None


async def race(
    first: Callable[[], Coroutine[Any, Any, Way]],
    second: Callable[[], Coroutine[Any, Any, Way]],
    head_start_s: float,
    discard: Callable[[Way], None],
) -> Outcome[Way]:
    """`first` has `head_start_s`, or until it fails; then `second` starts too. The loser is cancelled, and
    what it may have reached in the last moment is given to `discard`.

    Where both fail, raises UpstreamError with both causes.
    """
    tasks: list[asyncio.Task[Way | Exception]] = []
    kept: asyncio.Task[Way | Exception] | None = None
    ended = False
    try:
        async with asyncio.TaskGroup() as group:
            tasks.append(group.create_task(tried(first)))
            await asyncio.wait(tasks, timeout=head_start_s)
            kept = _winner(tasks)
            if kept is None:
                tasks.append(group.create_task(tried(second)))
                kept = await _first_ready(tasks)
            for task in tasks:
                if task is not kept:
                    task.cancel()
        ended = True
    finally:
        for task in tasks:
            if won(task) and not (ended and task is kept):
                discard(task.result())  # type: ignore[arg-type] # _won: it is no Exception
    return _outcome(tasks, kept)


async def tried(way: Callable[[], Coroutine[Any, Any, Way]]) -> Way | Exception:
    try:
        return await way()
    except (UpstreamError, NetlabError, OSError) as error:
        return error


def won(task: asyncio.Task[Way | Exception]) -> bool:
    if not task.done() or task.cancelled() or task.exception() is not None:
        return False
    return not isinstance(task.result(), Exception)


def _winner(tasks: list[asyncio.Task[Way | Exception]]) -> asyncio.Task[Way | Exception] | None:
    return next((task for task in tasks if won(task)), None)


async def _first_ready(tasks: list[asyncio.Task[Way | Exception]]) -> asyncio.Task[Way | Exception] | None:
    """None where none will be."""
    pending = {task for task in tasks if not task.done()}
    while pending and _winner(tasks) is None:
        _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
    return _winner(tasks)


def _outcome(
    tasks: list[asyncio.Task[Way | Exception]], kept: asyncio.Task[Way | Exception] | None
) -> Outcome[Way]:
    failures = [None if task.cancelled() else task.result() for task in tasks]
    errors = [failure if isinstance(failure, Exception) else None for failure in failures]
    if kept is None:
        first, second = errors
        check = next((error.check for error in errors if isinstance(error, UpstreamError)), "")
        raise UpstreamError(f"{second}; before that, by QUIC: {first}", unsent=True, check=check)
    won = kept.result()
    assert not isinstance(won, Exception)  # as it is the winner
    return Outcome(won, first=kept is tasks[0], lost=errors[0])
