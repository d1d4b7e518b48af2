"""Roles run in the test's own process, on addresses of its choice, with their events in files."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netlab.model.launch import Launch
from netlab.model.roles import RoleSpec
from netlab.net.context import RoleContext

Serve = Callable[[Any, RoleContext, tuple[str, ...]], Coroutine[Any, Any, None]]
_DEADLINE_S = 10.0


@dataclass(frozen=True)
class Running:
    """A role that runs: its context, and what it has said."""

    ctx: RoleContext
    path: Path

    def events(self, *kinds: str) -> list[dict[str, Any]]:
        """Its events so far, of these kinds (all without any)."""
        self.ctx.flush()
        found = [json.loads(line) for line in self.path.read_text().splitlines()]
        return [one for one in found if not kinds or one["event"] in kinds]


async def until(condition: Callable[[], object], what: str) -> None:
    """Return when `condition` holds; an AssertionError after 10 s."""
    try:
        async with asyncio.timeout(_DEADLINE_S):
            while not condition():  # noqa: ASYNC110 - what it looks at, a file, wakes nobody
                await asyncio.sleep(0.002)
    except TimeoutError as error:
        raise AssertionError(f"not within {_DEADLINE_S} s: {what}") from error


def context(launch: Launch, directory: Path, tasks: asyncio.TaskGroup) -> Running:
    """A context for code under test that is no role of its own, such as a stub resolver."""
    path = directory / f"{launch.node}.jsonl"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    return Running(RoleContext(launch, descriptor, tasks), path)


@asynccontextmanager
async def running(
    serve: Serve, spec: RoleSpec, directory: Path, node: str, hosts: tuple[str, ...], **launch: Any
) -> AsyncIterator[Running]:
    """The role, from its `ready` on; stopped at the end of the block. Its failure is the block's."""
    async with asyncio.TaskGroup() as tasks:
        made = Launch.model_construct(lab="test", node=node, role=spec.kind, spec=spec, seed=1, **launch)
        role = context(made, directory, tasks)
        serving = tasks.create_task(serve(spec, role.ctx, hosts))
        await until(lambda: serving.done() or role.events("ready"), f"{node} is ready")
        if serving.done():
            serving.result()
        try:
            yield role
        finally:
            role.ctx.stop()
            await role.ctx.drain()
            await asyncio.wait({serving}, timeout=_DEADLINE_S)
