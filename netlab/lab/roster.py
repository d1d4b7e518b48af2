"""Which roles there are, and how each is: values, without a process or a descriptor of their own."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from netlab.lab.events import EventStream
from netlab.lab.talk import Talk
from netlab.model.event import Event
from netlab.model.roles import ClientSpec, DatagramsSpec, RoleSpec
from netlab.plan.ops import StartRole

TAIL_LINES = 12
_TAIL_BYTES = 16 * 1024


class RoleState(StrEnum):
    ON_DEMAND = "on demand"
    STARTING = "starting"
    READY = "ready"
    DONE = "done"
    FAILED = "failed"


@dataclass
class RoleProcess:
    """A role of the topology, or one that `run` started. `status` says how it ended."""

    node: str
    role: str
    spec: RoleSpec
    names: tuple[str, ...] = ()
    state: RoleState = RoleState.ON_DEMAND
    pid: int = 0  # in the lab's PID namespace; 0: it has none
    status: str = ""
    exit_code: int | None = None
    one_shot: bool = False
    unwanted: bool = False  # who asked for it is gone
    log_start: int = 0  # where its lines begin, in a log that one-shot roles share
    events_fd: int = -1
    talk: Talk | None = None  # while it has a process
    settings: dict[str, str] = field(default_factory=dict)  # those that `role set` has changed
    stream: EventStream = field(init=False)

    def __post_init__(self) -> None:
        self.stream = EventStream(self.node, self.role)

    @classmethod
    def of(cls, start: StartRole) -> RoleProcess:
        return cls(start.node, start.role, start.spec, start.names)

    @property
    def starts_with_lab(self) -> bool:
        """A client without requests waits for a scenario: nothing runs until then."""
        return not (
            isinstance(self.spec, ClientSpec) and not self.spec.requests and not self.spec.subscriptions
        )

    @property
    def running(self) -> bool:
        return self.state in (RoleState.STARTING, RoleState.READY)

    @property
    def healthy(self) -> bool:
        return self.state is not RoleState.FAILED

    def renew(self) -> None:
        """As before its first start: it is about to be started again."""
        self.state, self.status, self.exit_code = RoleState.ON_DEMAND, "", None
        self.pid, self.unwanted, self.settings = 0, False, {}
        self.stream = EventStream(self.node, self.role)

    def heard(self, event: Event) -> None:
        if event.event == "ready" and self.state is RoleState.STARTING:
            self.state = RoleState.READY

    def ended(self, code: int) -> None:
        """`code` as os.waitstatus_to_exitcode gives it: an exit status, or minus the signal.

        A client that asked all it had to, and a program that ended well once it was ready, are done;
        a server that ends isn't.
        """
        self.exit_code = code
        self.status = describe_exit(code)
        sends = isinstance(self.spec, DatagramsSpec) and self.spec.to != ""
        finished = code == 0 and (sends or self.spec.kind in ("client", "command"))
        self.state = RoleState.DONE if finished else RoleState.FAILED
        self.pid = 0

    def failed(self, status: str) -> None:
        """It never became a process, or no one knows how it ended."""
        self.status = status
        self.state = RoleState.FAILED
        self.pid = 0

    def to_json(self, pid: int) -> dict[str, Any]:
        """`pid` as the reader of the document knows the process."""
        return {
            "role": self.role,
            "kind": self.spec.kind,
            "state": str(self.state),
            "pid": pid,
            "status": self.status,
        }


def describe_exit(code: int) -> str:
    """How a process ended, in words: "exited with 1", "was killed by SIGKILL"."""
    if code >= 0:
        return f"exited with {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def last_lines(log: Path, count: int = TAIL_LINES, start: int = 0) -> tuple[str, ...]:
    """The last lines of a log, of those from byte `start` on; none where there is no such file."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(start, size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ()
    return tuple(text.splitlines()[-count:])


def host_pid(pid: int) -> int:
    """A PID of this process's PID namespace as the host's /proc shows it; 0 where the process is gone."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return 0
    try:
        lines = Path(f"/proc/self/fdinfo/{descriptor}").read_text(encoding="ascii").splitlines()
    finally:
        os.close(descriptor)
    found = [int(line.split()[1]) for line in lines if line.startswith("Pid:")]
    return max(found[0], 0) if found else 0
