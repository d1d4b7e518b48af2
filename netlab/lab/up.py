"""Brings a lab up: from a file to a supervisor that lives on by itself."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from netlab.errors import LabError, Problem
from netlab.fabric.enter import CLONE_NEWPID, unshare
from netlab.lab import sandbox, state
from netlab.lab.client import LabClient
from netlab.lab.control import Lines, decode, decode_error, encode, encode_error
from netlab.lab.order import Order
from netlab.lab.state import ProcessId
from netlab.model.topology import Topology
from netlab.plan.ops import Plan

Progress = Callable[[str, int, int], None]  # what, done, of how many
_UNDO_S = 15.0


def up(
    topology_path: Path,
    name: str | None = None,
    *,
    seed: int | None = None,
    progress: Progress = lambda _what, _done, _of: None,
    leashed: bool = False,
    warn: Callable[[Problem], None] = lambda _problem: None,
) -> LabClient:
    """Bring the lab of a topology file up; returns when every role is ready.

    `seed` seeds losses and roles; None: a new one (`status` has it). `leashed`: the lab ends with this
    process, unless `LabClient.release` is called. `warn` hears what the topology warns of.
    Whatever is raised, nothing is left of the lab: TopologyError or InputError for the file and the name,
    HostError, LabError (a name that is taken, KernelError, RoleError), KeyboardInterrupt.

    It forks, so call it from a process with one thread. `progress` is first called after that.
    """
    with _no_collection():
        from netlab.model.load import load

        topology = load(topology_path)
        for problem in topology.warnings:
            warn(problem)
        return _up(topology_path, topology, name, seed, progress, leashed)


def _up(
    topology_path: Path,
    topology: Topology,
    name: str | None,
    seed: int | None,
    progress: Progress,
    leashed: bool,
) -> LabClient:
    from netlab.fabric.probe import probe
    from netlab.plan import plan

    lab_name = state.check_name(name if name is not None else topology.name)
    state.require_root()
    made = plan(topology, probe())
    attempt = _Attempt(lab_name, state.claim(lab_name, str(topology_path.resolve())))
    try:
        shutil.copyfile(topology_path, attempt.directory / "topology.yaml")
        attempt.spawn(topology, made, int.from_bytes(os.urandom(4), "big") if seed is None else seed)
        _follow(attempt.boss, progress)
        client = LabClient(lab_name, attempt.directory.parent, attempt.boss)
        if not leashed:
            client.release()
    except BaseException:  # Ctrl-C too: half a lab must not stay
        attempt.undo()
        raise
    return client


@contextmanager
def _no_collection() -> Iterator[None]:
    """A plan is 60,000 objects of which none is garbage; looking for some takes a fifth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class _Attempt:
    """A lab that is coming up. The supervisor undoes what it made when `boss` ends."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.directory = directory
        self.boss, self._theirs = socket.socketpair()

    def spawn(self, topology: Topology, made: Plan, seed: int) -> None:
        """Fork the supervisor into a PID namespace of its own; returns when it owns the directory."""
        # a Ctrl-C in the middle would leave half of each process
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            middle = os.fork()
            if middle == 0:
                _become_middle(Order(self.name, self.directory, topology, made, seed, 0), self._theirs)
            self._theirs.close()
            os.waitpid(middle, 0)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def undo(self) -> None:
        self.boss.close()
        self._theirs.close()
        record = state.read_record(self.directory)
        if record is not None and record.owner.pid != os.getpid():
            state.wait_for_end(record.owner, _UNDO_S)
        state.remove(self.directory)


def _follow(boss: socket.socket, progress: Progress) -> None:
    """Hear the supervisor until the lab is up. Raises what it says."""
    lines = Lines()
    while data := boss.recv(65536):
        for line in lines.receive(data):
            message = decode(line)
            if "error" in message:
                raise decode_error(message["error"])
            if "ok" in message:
                return
            progress(*message["progress"])
    raise LabError("the lab's supervisor was killed while the lab came up", "bring it up again")


def _become_middle(order: Order, boss: socket.socket) -> NoReturn:
    """Between the command and the supervisor: it enters the new PID namespace by its child alone, and knows
    the child's PID on the host. Its end makes the supervisor a child of the host's init."""
    status = 1
    try:
        gc.freeze()  # no object of the command may be collected here: its descriptor may be another's
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        os.setsid()
        unshare(CLONE_NEWPID)
        known_in, known_out = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(known_out)
            _become_supervisor(order, boss, known_in)
        _hand_over(order.directory, pid)
        os.write(known_out, str(pid).encode())
        status = 0
    except BaseException as error:  # noqa: BLE001 - told to the command, which raises it
        boss.sendall(encode(encode_error(error)))
    finally:
        os._exit(status)


def _hand_over(directory: Path, pid: int) -> None:
    """From now on the supervisor owns the state directory, and not the command."""
    record = state.read_record(directory)
    if record is None:
        raise LabError(f"{directory} is gone", "bring the lab up again")
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        state.write_record(descriptor, replace(record, owner=ProcessId.of(pid)))
    finally:
        os.close(descriptor)


def _become_supervisor(order: Order, boss: socket.socket, known_in: int) -> NoReturn:
    status = 1
    try:
        pid = os.read(known_in, 32)
        if not pid:  # it was not handed over: nothing is to be done, and nothing was
            os._exit(status)
        _detach(order.directory, boss)
        sandbox.name_process(f"netlab-{order.name}")
        from netlab.lab.supervisor import supervise

        status = supervise(replace(order, pid=int(pid)), boss)
    except BaseException:  # noqa: BLE001 - the process ends here; its log has the reason
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _detach(directory: Path, boss: socket.socket) -> None:
    """Hold nothing of who started the lab: no terminal, no pipe that it waits on, no directory."""
    log = os.open(directory / "supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    sandbox.set_standard_streams(log)
    # what the command printed and had not flushed is the command's to print, not the supervisor's
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", buffering=1, closefd=False)
    sandbox.close_all_except((0, 1, 2, boss.fileno()))
    os.chdir("/")
    os.umask(0o022)
