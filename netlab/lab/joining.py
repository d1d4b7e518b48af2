"""Runs a command in a node of a lab: in its network, its files, and the lab's PID namespace.

The command is a process group of its own. Where netlab has the terminal's foreground it hands it over, and
takes it back when the command stops or ends, as a shell does with a job. Signals that netlab gets it
passes on.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from netlab.errors import KernelError, LabError
from netlab.fabric.enter import CLONE_NEWPID, enter
from netlab.lab import sandbox, state
from netlab.lab.client import LabClient

NOT_EXECUTABLE = 126  # what shells say
NOT_FOUND = 127
_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def run_in_node(lab: LabClient, node: str, argv: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run `argv` as root in the node and wait for its end; its exit status (128 + signal, if killed).

    `environment` is added to: where it has no SSLKEYLOGFILE, TLS secrets go to the lab's own key log of the
    node, so that captures open decrypted. Raises LabError where the node is unknown or the lab dead.
    """
    namespace, files = lab.open_node(node)
    keys = lab.state / "keys" / f"{node}.exec.keys"
    keys.touch(0o600)
    _enter_processes(lab)
    read_end, write_end = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.close(write_end)
        own = {"SSLKEYLOGFILE": str(sandbox.KEYS), **environment}
        full = {**own, **sandbox.node_environment(lab.name, node)}
        _become_command(namespace, files, node, argv, full, read_end, keys)
    os.close(read_end)
    os.close(namespace)
    return _Job(child, write_end).wait()


def _enter_processes(lab: LabClient) -> None:
    """Children of this process will be in the lab's PID namespace, and end with it."""
    record = state.read_record(lab.state)
    if record is None:
        raise LabError(f"the lab {lab.name!r} is gone", "netlab ps")
    try:
        descriptor = os.open(f"/proc/{record.owner.pid}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise LabError(f"the lab {lab.name!r} is dead", "netlab gc") from None
    try:
        if not record.owner.alive():
            raise LabError(f"the lab {lab.name!r} is dead", "netlab gc")
        enter(descriptor, CLONE_NEWPID)
    finally:
        os.close(descriptor)


def _become_command(
    namespace: int,
    files: Path,
    node: str,
    argv: Sequence[str],
    environment: Mapping[str, str],
    go: int,
    keys: Path,
) -> NoReturn:
    status = NOT_EXECUTABLE
    try:
        os.setpgid(0, 0)
        os.read(go, 1)  # until it has the terminal
        _die_with_parent()
        sandbox.enter_node(namespace, node, files, private_tmp=False, keys=keys)
        for number in (*_PASSED_ON, signal.SIGPIPE, signal.SIGTTOU):
            signal.signal(number, signal.SIG_DFL)
        status = NOT_FOUND if shutil.which(argv[0], path=environment.get("PATH")) is None else status
        os.execvpe(argv[0], list(argv), dict(environment))  # noqa: S606 - no shell is what is wanted
    except (OSError, KernelError) as error:
        print(f"netlab: {argv[0]}: {error}", file=sys.stderr)
    finally:
        sys.stderr.flush()
        os._exit(status)


def _die_with_parent() -> None:
    """A SIGKILL of netlab, which is outside of the PID namespace, would leave the command running."""
    sandbox.prctl(sandbox.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1:  # the parent died before that: this process is the supervisor's by now
        os._exit(NOT_EXECUTABLE)


class _Job:
    """The command as a job of the terminal, if there is one and netlab is in its foreground."""

    def __init__(self, pid: int, go: int) -> None:
        self._pid = pid
        self._terminal = _foreground_terminal()
        with suppress(PermissionError, ProcessLookupError):  # it did so itself, and is further on
            os.setpgid(pid, pid)
        for number in _PASSED_ON:
            signal.signal(number, self._pass_on)
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # taking the terminal back is done from behind it
        self._give_terminal(pid)
        os.close(go)

    def wait(self) -> int:
        while True:
            _, status = os.waitpid(self._pid, os.WUNTRACED)
            self._give_terminal(os.getpgrp())
            if not os.WIFSTOPPED(status):
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
            os.kill(os.getpid(), signal.SIGSTOP)  # as the command did; the shell continues us
            self._give_terminal(self._pid)
            os.killpg(self._pid, signal.SIGCONT)

    def _give_terminal(self, group: int) -> None:
        if self._terminal is not None:
            os.tcsetpgrp(self._terminal, group)

    def _pass_on(self, number: int, _frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._pid, number)


def _foreground_terminal() -> int | None:
    try:
        return 0 if os.tcgetpgrp(0) == os.getpgrp() else None
    except OSError:  # stdin is no terminal
        return None
