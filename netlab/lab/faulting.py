"""What each fault does to a lab, and how it is undone.

A fault begins and ends once. What takes time is told to `done`, with the error that kept it from being so.
"""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

from netlab.errors import InputError, LabError, NetlabError
from netlab.lab import helpers, sandbox
from netlab.lab.finding_roles import ask_role, find_role, split_role
from netlab.lab.links import Done
from netlab.lab.live_link import LiveLink
from netlab.lab.process_tree import signal_tree
from netlab.lab.restarting import Restart
from netlab.lab.roster import RoleProcess
from netlab.model.fault import Fault
from netlab.model.suggest import nearest

if TYPE_CHECKING:
    from netlab.lab.helpers import Helper
    from netlab.lab.supervisor import Supervisor


class LiveFault(ABC):
    """A fault in a lab that is up. Making one raises InputError or LabError where it can't be."""

    def __init__(self, lab: Supervisor, fault: Fault) -> None:
        self.fault = fault
        self.node = fault.target
        self.process: RoleProcess | None = None  # whose fault it is, if it is a role's
        self._lab = lab

    @abstractmethod
    def begin(self, others: list[LiveFault], done: Done) -> None:
        """`others`: the faults that there are already."""

    @abstractmethod
    def end(self, others: list[LiveFault], done: Done) -> None:
        """`others`: the faults that stay."""

    def lab_ends(self) -> None:
        """What must be undone so that the lab can end well."""
        return

    @property
    def ends_with_role(self) -> bool:
        """Whether there is nothing left of it when the role's process ends."""
        return self.process is not None


class RoleFault(LiveFault):
    """One of a role that runs."""

    def __init__(self, lab: Supervisor, fault: Fault) -> None:
        super().__init__(lab, fault)
        self.process: RoleProcess = find_role(lab, fault.target)
        self.node = self.process.node


class Kill(RoleFault):
    """SIGKILL; the role is started again when it is undone."""

    def begin(self, others: list[LiveFault], done: Done) -> None:
        del others
        runner = self._lab.need_runner()

        def ended(process: RoleProcess) -> None:
            if process is self.process:
                runner.ended.remove(ended)
                done(None)

        runner.ended.append(ended)
        runner.stop(self.process)

    def end(self, others: list[LiveFault], done: Done) -> None:
        del others
        if self.process.running:  # somebody has started it again
            done(None)
            return
        Restart(self._lab, self.process, done).start()

    @property
    def ends_with_role(self) -> bool:
        return False


class Pause(RoleFault):
    """SIGSTOP for all processes of the role, SIGCONT when it is undone."""

    def begin(self, others: list[LiveFault], done: Done) -> None:
        del others
        signal_tree(self.process.pid, signal.SIGSTOP)
        done(None)

    def end(self, others: list[LiveFault], done: Done) -> None:
        del others
        self.lab_ends()
        done(None)

    def lab_ends(self) -> None:
        """A role that is stopped would not hear SIGTERM."""
        if self.process.pid:
            signal_tree(self.process.pid, signal.SIGCONT)


class RequestFault(RoleFault):
    """`slow` and `error`: the role itself does it, before its handler."""

    def __init__(self, lab: Supervisor, fault: Fault) -> None:
        super().__init__(lab, fault)
        if self.process.spec.kind == "command":
            raise InputError(
                f"{self.node}: role {self.process.role} is a program, whose responses netlab can't change",
                self._remedy(),
            )

    def begin(self, others: list[LiveFault], done: Done) -> None:
        self._tell([*self._same(others), self.fault], done)

    def end(self, others: list[LiveFault], done: Done) -> None:
        if self.process.talk is None:
            done(None)
        else:
            self._tell(self._same(others), done)

    def _same(self, others: list[LiveFault]) -> list[Fault]:
        return [one.fault for one in others if isinstance(one, RequestFault) and one.process is self.process]

    def _tell(self, faults: list[Fault], done: Done) -> None:
        request = {"op": "fault", "faults": [list(fault.words()) for fault in faults]}

        def failed(error: NetlabError) -> None:
            done(InputError(error.cause, self._remedy()) if "no operation 'fault'" in error.cause else error)

        ask_role(self._lab, self.process, request, lambda _: done(None), failed)

    def _remedy(self) -> str:
        if self.fault.kind != "slow":
            return "choose a role that serves HTTP"
        ends = [str(end) for link in self._lab.links.all for end in link.link.ends if end.node == self.node]
        return f"slow its link: netlab link set {ends[0]} delay=200ms" if ends else "choose another node"


class Partition(LiveFault):
    """Links of a node, or those between two nodes, have no carrier; those that had none before stay so."""

    def __init__(self, lab: Supervisor, fault: Fault) -> None:
        super().__init__(lab, fault)
        self._ends = _ends_between(lab, fault)
        self.links: list[LiveLink] = []  # that it, or a partition that ended before it, has taken down

    def begin(self, others: list[LiveFault], done: Done) -> None:
        """Links that another partition has down are this one's too: they come back with the last."""
        held = [link for one in others if isinstance(one, Partition) for link in one.links]
        mine = [(link, end) for link, end in self._ends if link.wanted_up or link in held]
        self.links = [link for link, _ in mine]
        links = self._lab.links

        def failed(error: NetlabError) -> None:
            self.end(others, lambda _: done(error))

        _one_by_one(
            [lambda then, link=link, end=end: links.take_down(link, end, then) for link, end in mine],  # type: ignore[misc]
            lambda error: done(None) if error is None else failed(error),
        )

    def end(self, others: list[LiveFault], done: Done) -> None:
        kept = [link for one in others if isinstance(one, Partition) for link in one.links]
        back = [link for link in self.links if link not in kept]
        bring_up = self._lab.links.bring_up
        _one_by_one([lambda then, link=link: bring_up(link, then) for link in back], done)  # type: ignore[misc]


class Cpu(LiveFault):
    """Processes that do nothing but compute. All nodes of a lab share the machine's cores."""

    def __init__(self, lab: Supervisor, fault: Fault) -> None:
        super().__init__(lab, fault)
        self.node, _ = split_role(lab, fault.target)
        self._busy: list[Helper] = []

    def begin(self, others: list[LiveFault], done: Done) -> None:
        del others
        namespace = self._lab.kernel.namespace(self.node)
        for number in range(self.fault.processes):
            helper = helpers.fork(
                f"{self.node}.cpu-{number + 1}", self._lab.loop, lambda _: _compute(namespace), (namespace,)
            )
            self._busy.append(helper)
            self._lab.helpers.append(helper)
        done(None)

    def end(self, others: list[LiveFault], done: Done) -> None:
        del others
        for helper in self._busy:
            if helper.alive:
                helpers.kill(helper)
            self._lab.helpers.remove(helper)
        done(None)


def _compute(namespace: int) -> None:
    from netlab.fabric.enter import enter

    enter(namespace)
    sandbox.drop_privileges(sandbox.Account.unprivileged())
    number = 1
    while True:
        number = number * 48271 % 2147483647


def _ends_between(lab: Supervisor, fault: Fault) -> list[tuple[LiveLink, str]]:
    """The links that the partition is of, each with its end at the node that was named."""
    nodes = lab.order.topology.nodes
    for name in (fault.target, fault.other):
        if name and name not in nodes:
            raise InputError(f"the lab has no node {name!r}", nearest(name, nodes, "it has"))
    found = [
        (link, str(end), other.node)
        for link in lab.links.all
        for end, other in (link.link.ends, link.link.ends[::-1])
        if end.node == fault.target
    ]
    chosen = [(link, end) for link, end, far in found if fault.other in ("", far)]
    if not chosen and found:
        far = ", ".join(dict.fromkeys(far for _, _, far in found))
        raise InputError(
            f"no link joins {fault.target} and {fault.other}", f"{fault.target} has links to {far}"
        )
    if not chosen:
        raise InputError(f"{fault.target} has no link")
    return chosen


def _one_by_one(steps: list[Callable[[Done], None]], done: Done) -> None:
    """Each step when the one before is done; all of them, and `done` hears of the first error."""
    errors: list[NetlabError] = []

    def step(number: int) -> None:
        if number == len(steps):
            done(errors[0] if errors else None)
            return

        def then(error: NetlabError | None) -> None:
            if error is not None:
                errors.append(error)
            step(number + 1)

        steps[number](then)

    step(0)


_KINDS: dict[str, type[LiveFault]] = {
    "kill": Kill,
    "pause": Pause,
    "slow": RequestFault,
    "error": RequestFault,
    "partition": Partition,
    "cpu": Cpu,
}


def live_fault(lab: Supervisor, fault: Fault, others: list[LiveFault]) -> LiveFault:
    """Raises InputError or LabError where the lab can't have this fault, or has it already."""
    made = _KINDS[fault.kind](lab, fault)
    for one in others:
        paused = isinstance(made, Pause) and isinstance(one, Pause) and made.process is one.process
        if one.fault == fault or paused:
            raise LabError(f"{fault.target} has this fault already", "see: netlab fault list")
    return made
