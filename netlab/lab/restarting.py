"""Restarting a role: it ends, starts anew with the same spec, and is ready again, cold as after `up`."""

from __future__ import annotations

from collections.abc import Callable

from netlab.errors import LabError, NetlabError
from netlab.lab.roster import RoleProcess, RoleState
from netlab.lab.supervisor import Supervisor
from netlab.model.event import Event


class Restart:
    """One restart. It goes on if who asked for it leaves, for a role must not stay down.

    `done` hears when the role is ready, or the error that kept it from being so.
    """

    def __init__(
        self, lab: Supervisor, process: RoleProcess, done: Callable[[NetlabError | None], object]
    ) -> None:
        """Raises LabError where the role was never started, or is only starting."""
        if process.state is RoleState.ON_DEMAND:
            remedy = "a client without requests runs when a scenario asks it to"
            raise LabError(f"{process.node}: role {process.role} is not running", remedy)
        if process.state is RoleState.STARTING:
            remedy = "wait until netlab ps shows it as ready"
            raise LabError(f"{process.node}: role {process.role} is only starting", remedy)
        self._lab = lab
        self._process = process
        self._done = done
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
            self._done(error)

    def _ended(self, process: RoleProcess) -> None:
        if process is not self._process:
            return
        if not self._again:
            self._start_again()
            return
        self._forget()
        self._done(self._lab.role_error(process, process.status))

    def _heard(self, process: RoleProcess, _events: list[Event]) -> None:
        if process is self._process and self._again and process.state is RoleState.READY:
            self._forget()
            self._done(None)

    def _forget(self) -> None:
        if self._heard in self._runner.listeners:
            self._runner.listeners.remove(self._heard)
            self._runner.ended.remove(self._ended)
