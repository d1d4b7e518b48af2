"""Restarting a role: it ends, starts anew with the same spec, and is ready again, cold as after `up`."""

from __future__ import annotations

from netlab.errors import LabError
from netlab.lab.connection import Connection
from netlab.lab.roster import RoleProcess, RoleState
from netlab.lab.supervisor import Supervisor
from netlab.model.event import Event


class Restart:
    """One restart. It goes on if who asked for it leaves, for a role must not stay down."""

    def __init__(self, lab: Supervisor, process: RoleProcess, connection: Connection) -> None:
        if process.state is RoleState.ON_DEMAND:
            remedy = "a client without requests runs when a scenario asks it to"
            raise LabError(f"{process.node}: role {process.role} is not running", remedy)
        if process.state is RoleState.STARTING:
            remedy = "wait until netlab ps shows it as ready"
            raise LabError(f"{process.node}: role {process.role} is only starting", remedy)
        self._lab = lab
        self._process = process
        self._connection = connection
        self._runner = lab.need_runner()
        self._again = False

    def start(self) -> None:
        """End it, or start it at once where it has ended."""
        self._runner.listeners.append(self._heard)
        self._runner.ended.append(self._ended)
        if self._process.running:
            self._runner.stop(self._process)
        else:
            self._start_again()

    def _start_again(self) -> None:
        self._again = True
        self._process.renew()
        try:
            self._lab.start_role(self._process)
        except LabError as error:
            self._forget()
            self._connection.error(error)

    def _ended(self, process: RoleProcess) -> None:
        if process is not self._process:
            return
        if not self._again:
            self._start_again()
            return
        self._forget()
        self._connection.error(self._lab.role_error(process, process.status))

    def _heard(self, process: RoleProcess, _events: list[Event]) -> None:
        if process is self._process and self._again and process.state is RoleState.READY:
            self._forget()
            self._connection.ok({"status": str(process.state)})

    def _forget(self) -> None:
        if self._heard in self._runner.listeners:
            self._runner.listeners.remove(self._heard)
            self._runner.ended.remove(self._ended)
