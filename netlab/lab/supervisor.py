"""The supervisor: PID 1 of the lab's PID namespace. Whatever a lab has is its, and ends with it."""

from __future__ import annotations

import gc
import os
import resource
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from netlab.errors import LabError, RoleError
from netlab.fabric.kernel import Kernel
from netlab.lab import helpers, state
from netlab.lab.control import encode, encode_error
from netlab.lab.helpers import Helper
from netlab.lab.launching import Launches, NodeFiles
from netlab.lab.links import Links
from netlab.lab.loop import Loop
from netlab.lab.order import Order
from netlab.lab.playing import play_from_the_start
from netlab.lab.roster import RoleProcess, RoleState, describe_exit, last_lines
from netlab.lab.runner import Runner
from netlab.plan.ops import WIRE, StartRole, StartWire

READY_S = 30.0  # PostgreSQL on a busy machine included
GRACE_S = 2.0
_WIRE_S = 10.0


class AbandonedError(Exception):
    """Whoever asked for the lab is gone, or told it to end, before it was up."""


class Supervisor:
    """One lab. `boss` is the socket to who asked for it; until that has said that it lets go, its end
    is the lab's end."""

    def __init__(self, order: Order, boss: socket.socket) -> None:
        self.order = order
        self.phase = "starting"
        self.loop = Loop()
        self.kernel = Kernel()
        self.launches = Launches(order.name, order.plan, order.seed, datetime.fromtimestamp(time.time(), UTC))
        self.files = NodeFiles(order.directory / "files", order.plan, "")
        self.roles = [RoleProcess.of(op) for op in order.plan.operations if isinstance(op, StartRole)]
        self.helpers: list[Helper] = []
        self.runner: Runner | None = None
        self._boss: socket.socket | None = boss
        self.stopping = False
        self.crashed = False  # by a bug of ours, when it was up: then its directory, with the log, is kept
        self.links = Links(order, self.kernel, self.loop, self._fork_relay)
        self.captures: list[dict[str, Any]] = []
        self.faults: list[dict[str, Any]] = []
        self._open_files = allow_open_files()
        self.before_end: list[Callable[[], None]] = []

    # Up.

    def bring_up(self) -> None:
        """Raises LabError, HostError or AbandonedError; what was made by then is `shut_down`'s."""
        self._listen_to_signals()
        self._start_zygote()
        self._apply()
        gc.enable()  # it was off while there was much to make
        self._start_wires()
        self.links.watch()
        self._start_roles([role for role in self.roles if role.starts_with_lab])
        self.phase = "up"
        play_from_the_start(self.links, self.loop)
        self._tell({"ok": True})

    def _listen_to_signals(self) -> None:
        self.loop.on_signal(signal.SIGCHLD, self._reap)
        self.loop.on_signal(signal.SIGTERM, self.stop)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        if self._boss is not None:
            self.loop.watch(self._boss, self._boss_spoke)

    def _start_zygote(self) -> None:
        """Before the kernel's part, so that it imports meanwhile and inherits none of the namespaces."""
        if self.roles:
            self.need_runner()

    def need_runner(self) -> Runner:
        """The runner, with its zygote; both are made when the first role needs them."""
        if self.runner is None:
            from netlab.lab import zygote

            kinds = frozenset(role.spec.kind for role in self.roles)
            helper = helpers.fork(
                "zygote",
                self.loop,
                lambda channel: zygote.serve(channel, kinds),
                kind=socket.SOCK_SEQPACKET,
            )
            self.helpers.append(helper)
            order = self.order
            self.runner = Runner(order.directory, self.loop, helper, order.name, self._open_files)
        return self.runner

    def _apply(self) -> None:
        operations = [op for op in self.order.plan.operations if not isinstance(op, StartWire | StartRole)]
        self.kernel.apply(operations, lambda done: self._progress("network", done, len(operations)))
        self._check_abandoned()

    def _start_wires(self) -> None:
        for op in self.order.plan.operations:
            if isinstance(op, StartWire) and op.links:
                self.links.relay = self._fork_relay(op)
                self.links.relay.wait(self.loop, time.monotonic() + _WIRE_S)

    def _fork_relay(self, start: StartWire) -> Helper:
        """It takes the place of one that ended, and says first when it is ready."""
        from netlab.wire import relay

        self.helpers = [helper for helper in self.helpers if helper.name != "wire"]
        namespace, seed = self.kernel.namespace(WIRE), self.order.seed
        helper = helpers.fork(
            "wire", self.loop, lambda channel: relay.serve(start, namespace, channel, seed), keep=(namespace,)
        )
        helper.listen(self.loop)
        self.helpers.append(helper)
        return helper

    def _start_roles(self, roles: list[RoleProcess]) -> None:
        """Servers first and all at once; then the clients that ask at once."""
        if not self.roles:
            return
        self.files = NodeFiles(self.order.directory / "files", self.order.plan, self.launches.trust_pem)
        servers = [role for role in roles if role.spec.kind != "client"]
        clients = [role for role in roles if role.spec.kind == "client"]
        deadline = time.monotonic() + READY_S
        self._start_and_wait(servers, deadline)
        self._start_and_wait(clients, deadline)

    def _start_and_wait(self, roles: list[RoleProcess], deadline: float) -> None:
        for role in roles:
            self.start_role(role)
        told = -1

        def settled() -> bool:
            nonlocal told
            self._check_abandoned()
            done = sum(role.state is not RoleState.STARTING for role in roles)
            if done != told:
                self._progress("roles", done, len(roles))
                told = done
            return done == len(roles) or any(not role.healthy for role in roles)

        self.loop.until(settled, deadline)
        for role in roles:
            if not role.healthy:
                raise self.role_error(role, role.status)
        for role in roles:
            if role.state is RoleState.STARTING:
                raise self.role_error(role, f"was not ready after {READY_S:.0f} s")

    def start_role(self, role: RoleProcess) -> None:
        """Raises LabError where its node is unknown or the zygote is dead."""
        namespace = self.kernel.namespace(role.node)
        now = datetime.fromtimestamp(time.time(), UTC)
        launch = self.launches.document(role.node, role.role, role.spec, role.names, now)
        self.need_runner().start(role, launch, namespace, self.files.of(role.node))

    def role_error(self, role: RoleProcess, status: str) -> RoleError:
        log = self.order.directory / "logs" / f"{role.node}.{role.role}.log"
        return RoleError(role.node, role.role, status, last_lines(log, start=role.log_start))

    # While it is up.

    def run(self) -> None:
        """Until something says that the lab shall end."""
        self.loop.until(lambda: self.stopping)

    def stop(self) -> None:
        self.stopping = True

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._reaped(pid, os.waitstatus_to_exitcode(status))

    def _reaped(self, pid: int, code: int) -> None:
        if self.runner is not None and self.runner.reaped(pid, code):
            return
        for helper in self.helpers:
            if helper.pid == pid and helper.alive:
                helper.status = describe_exit(code)
                if helper is self.links.relay and not self.stopping:
                    self.links.relay_ended()

    def _boss_spoke(self) -> None:
        """One byte says that it lets the lab live without it; the end of file says that it is gone."""
        assert self._boss is not None
        try:
            data = self._boss.recv(1)
        except ConnectionResetError:
            data = b""
        self.loop.unwatch(self._boss)
        self._boss.close()
        self._boss = None
        if not data:
            self.stop()

    def _check_abandoned(self) -> None:
        if self.stopping:
            raise AbandonedError

    def _progress(self, what: str, done: int, total: int) -> None:
        self._tell({"progress": [what, done, total]})

    def _tell(self, message: dict[str, Any]) -> None:
        """To who asked for the lab. That it is gone is seen when the loop next runs."""
        if self._boss is not None:
            try:
                self._boss.sendall(encode(message))
            except OSError:
                self.stopping = True

    def tell_error(self, error: BaseException) -> None:
        self._tell(encode_error(error))

    # Down.

    def shut_down(self) -> None:
        """Ends what drains, lets go of the rest; the end of this process ends everything else.

        Goes on after an error, and raises all of them at the end.
        """
        drain = self._drain_roles if self.phase == "up" else _nothing
        self.phase = "stopping"
        errors: list[Exception] = []
        for step in (*self.before_end, drain, self.kernel.close, self._remove_directory):
            try:
                step()
            except Exception as error:  # noqa: BLE001 - raised below, with the others
                errors.append(error)
        if errors:
            raise ExceptionGroup("the lab did not end cleanly", errors)

    def _drain_roles(self) -> None:
        runner = self.runner
        if runner is None or not runner.running:
            return
        runner.signal_all(signal.SIGTERM)
        self.loop.until(lambda: runner.running == 0, time.monotonic() + GRACE_S)

    def _remove_directory(self) -> None:
        if not self.crashed:
            state.remove(self.order.directory)


def _nothing() -> None:
    """A lab that never was up has nothing to drain: it was asked to be gone."""


def supervise(order: Order, boss: socket.socket) -> int:
    """The body of the supervisor's process; its exit status."""
    supervisor = Supervisor(order, boss)
    status = 1
    try:
        _serve(supervisor)
        status = 0
    except AbandonedError:
        supervisor.tell_error(LabError("the lab was taken down before it was up"))
    except BaseException as error:  # noqa: BLE001 - told to who asked, and logged; then the lab ends
        traceback.print_exc()
        supervisor.tell_error(error)
        supervisor.crashed = supervisor.phase == "up"
    try:
        supervisor.shut_down()
    except BaseException:  # noqa: BLE001 - this process ends now; its log has the reason
        traceback.print_exc()
        status = 1
    sys.stderr.flush()
    return status


def _serve(supervisor: Supervisor) -> None:
    from netlab.lab.service import Service

    service = Service(supervisor)
    supervisor.before_end.append(service.end)
    supervisor.bring_up()
    supervisor.run()


def allow_open_files() -> tuple[int, int]:
    """As many descriptors as the machine allows: a node takes two, so does a role. What was allowed."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    return before
