"""The body of a role's process: launch document in, exit status out."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from netlab.errors import HostError, NetlabError
from netlab.model.launch import Launch
from netlab.net.context import RoleContext
from netlab.net.role_control import serve_control

FAILED = 1
UNSUPPORTED = 127
_STOP_S = 3.0  # more than the context's drain, which a role may wait for

Serve = Callable[[Any, RoleContext], Coroutine[Any, Any, None]]


class _EndedError(Exception):
    """The role is done: ends what it left running in its task group."""


def run(launch: Launch, events_fd: int, control: socket.socket | None = None) -> int:
    """Run a role until it is done or SIGTERM; the exit status.

    0: done, drained. 1: it failed; stderr has one line, or a traceback where it is our bug.
    127: it can't do what the spec asks (a program is missing). Over `control` it is told of new settings.
    The loop is asyncio's own: measured for the app role with the loads of benchmarks/protocols_http1.py and
    _http2.py, uvloop gave between 0.8 and 1.03 times its requests per second over HTTP/1.1 and 1.0 times
    over HTTP/2, since most of a request is system calls and our own code.
    """
    try:
        return asyncio.run(_main(launch, events_fd, control))
    except BaseExceptionGroup as group:
        return _failed(group)


def _failed(group: BaseExceptionGroup[BaseException]) -> int:
    ours, bugs = group.split(NetlabError)
    if bugs is not None or ours is None:
        traceback.print_exception(group)
        return FAILED
    errors = list(_leaves(ours))
    for error in errors:
        remedy = f" ({error.remedy})" if isinstance(error, NetlabError) and error.remedy else ""
        sys.stderr.write(f"error: {error}{remedy}\n")
    unsupported = any(isinstance(error, HostError) for error in errors)
    return UNSUPPORTED if unsupported else FAILED


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _role(kind: str) -> Serve:
    name = f"netlab.roles.{kind}"
    if importlib.util.find_spec(name) is None:
        raise HostError(f"this netlab has no role {kind!r}")
    serve: Serve = importlib.import_module(name).serve
    return serve


async def _main(launch: Launch, events_fd: int, control: socket.socket | None) -> int:
    tasks = asyncio.TaskGroup()
    ctx = RoleContext(launch, events_fd, tasks)
    try:
        async with tasks:
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, ctx.stop)
            if control is not None:
                tasks.create_task(serve_control(control, ctx.control))
            try:
                await _until_done(_role(launch.spec.kind)(launch.spec, ctx), ctx)
                await ctx.drain()
            finally:
                ctx.stop()
            raise _EndedError  # noqa: TRY301 - the way to end a task group whose tasks run on
    except* _EndedError:
        pass
    finally:
        ctx.flush()
    return ctx.exit_status


async def _until_done(serving: Coroutine[Any, Any, None], ctx: RoleContext) -> None:
    """Until `serving` returns; once told to stop, it has three seconds."""
    role = ctx.tasks.create_task(serving)
    told = ctx.tasks.create_task(ctx.stopped())
    await asyncio.wait({role, told}, return_when=asyncio.FIRST_COMPLETED)
    if not role.done():
        await asyncio.wait({role}, timeout=_STOP_S)
    role.cancel()
