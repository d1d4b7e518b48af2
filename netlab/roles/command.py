"""Any program: it runs in the node, and its end is the role's."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping

from netlab.errors import HostError
from netlab.model.placeholders import DIRECTORY, fill
from netlab.model.roles import CommandSpec
from netlab.net.context import RoleContext
from netlab.net.program_files import program_directory

_POLL_S = 0.02
_OWN_DESCRIPTOR = "/proc/self/fd/"
_TERM_S = 1.5  # before SIGKILL; the process body gives three seconds in all


async def serve(spec: CommandSpec, ctx: RoleContext) -> None:
    """Run the program until it ends or the role is told to stop. Its exit status is the role's.

    Raises HostError (exit 127) where the program is missing or may not be run, LabError where there is no
    room for its files.
    """
    keylog = os.environ.get("SSLKEYLOGFILE", "")
    number = keylog.removeprefix(_OWN_DESCRIPTOR) if keylog.startswith(_OWN_DESCRIPTOR) else ""
    with program_directory(ctx.launch, spec.files, number) as own:
        await _run(await _start(spec, own), spec, ctx)


async def _run(process: asyncio.subprocess.Process, spec: CommandSpec, ctx: RoleContext) -> None:
    ended = ctx.tasks.create_task(process.wait())
    told = ctx.tasks.create_task(ctx.stopped())
    starting = ctx.tasks.create_task(_ready(spec.ready_port, ctx))
    try:
        await asyncio.wait({ended, told}, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            process.terminate()
            await asyncio.wait({ended}, timeout=_TERM_S)
    finally:
        starting.cancel()
        told.cancel()
        if process.returncode is None:
            process.kill()
    ctx.exit_status = _status(await ended, stopping=ctx.stopping)


async def _start(spec: CommandSpec, own: dict[str, str]) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *(fill(word, own.get) for word in spec.argv),
            env=os.environ | own | {name: fill(text, own.get) for name, text in spec.env.items()},
            cwd=own[DIRECTORY],
            stdin=asyncio.subprocess.DEVNULL,
            pass_fds=_contract(os.environ),
        )
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise HostError(f"can't run {spec.argv[0]}: {reason}", "install it, or correct `argv`") from error


def _contract(environment: Mapping[str, str]) -> tuple[int, ...]:
    """The descriptors of the process contract that the environment names; the program has them too.

    The spec's is closed by now where it was a pipe, which can be read but once.
    """
    key_log = environment.get("SSLKEYLOGFILE", "")
    named = [environment.get(name, "") for name in ("NETLAB_SPEC_FD", "NETLAB_EVENTS_FD")]
    if key_log.startswith(_OWN_DESCRIPTOR):
        named.append(key_log.removeprefix(_OWN_DESCRIPTOR))
    return tuple(int(number) for number in named if number.isdecimal() and _is_open(int(number)))


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


async def _ready(port: int | None, ctx: RoleContext) -> None:
    """Ready at once, or when the port accepts on the loopback interface."""
    while port is not None and not await _accepts(port):  # noqa: ASYNC110 - nobody tells us
        await asyncio.sleep(_POLL_S)
    ctx.ready(port or 0)


async def _accepts(port: int) -> bool:
    for address in ("127.0.0.1", "::1"):
        try:
            _, writer = await asyncio.open_connection(address, port)
        except OSError:
            continue
        writer.close()
        return True
    return False


def _status(code: int, *, stopping: bool) -> int:
    """As a shell says it: 128 and the signal. To end by the SIGTERM that we passed on is to end well."""
    if stopping and code == -signal.SIGTERM:
        return 0
    return 128 - code if code < 0 else code
