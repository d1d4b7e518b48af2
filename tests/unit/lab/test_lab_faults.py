"""Which role is meant, and faults that fail to begin or are ended before they have begun."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from netlab.errors import InputError, LabError
from netlab.lab import fault_service
from netlab.lab.fault_service import FaultService
from netlab.lab.faulting import LiveFault
from netlab.lab.finding_roles import find_role
from netlab.lab.links import Done
from netlab.lab.roster import RoleProcess, RoleState
from netlab.lab.supervisor import Supervisor
from netlab.model.fault import Fault
from netlab.model.roles import AppSpec


class Late(LiveFault):
    """It begins and ends when the test says so."""

    begins: list[Done]
    ends: list[Done]

    def begin(self, others: list[LiveFault], done: Done) -> None:
        del others
        self.begins = [done]

    def end(self, others: list[LiveFault], done: Done) -> None:
        del others
        self.ends = [done]


class Asked:
    """A connection that remembers what it was answered."""

    def __init__(self) -> None:
        self.said: list[tuple[str, Any]] = []
        self.on_close: list[Any] = []

    def ok(self, content: object) -> None:
        self.said.append(("ok", content))

    def progress(self, content: object) -> None:
        self.said.append(("progress", content))

    def error(self, error: Exception) -> None:
        self.said.append(("error", str(error)))


class Rig:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[Late] = []
        self.events: list[Any] = []
        runner = SimpleNamespace(ended=[], note=self.events.append)
        self.timers: list[Any] = []
        loop = SimpleNamespace(after=lambda _, callback: self.timers.append(callback))
        self.lab = SimpleNamespace(phase="up", faults=[], need_runner=lambda: runner, loop=loop)
        monkeypatch.setattr(fault_service, "live_fault", self._make)
        self.service = FaultService(cast("Supervisor", self.lab))

    def _make(self, lab: Supervisor, fault: Fault, _: object) -> LiveFault:
        self.made.append(Late(lab, fault))
        return self.made[-1]

    def ask(self, operation: str, **request: object) -> Asked:
        connection = Asked()
        self.service.operations[operation](cast("Any", connection), request)
        return connection

    def begin(self, **request: object) -> Asked:
        return self.ask("fault-begin", words=["cpu", "a"], **request)


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    return Rig(monkeypatch)


def test_a_fault_is_there_when_it_has_begun_and_gone_when_it_is_undone(rig: Rig) -> None:
    asked = rig.begin(for_s=5)
    assert asked.said == []
    assert rig.lab.faults == []
    rig.made[0].begins[0](None)
    (answer,) = asked.said
    assert (answer[0], answer[1]["id"], answer[1]["fault"]) == ("ok", 1, ["cpu", "a", "1"])
    assert rig.lab.faults == [answer[1]]
    rig.timers[0]()
    rig.timers[0]()  # whatever else ends it meanwhile changes nothing
    assert rig.lab.faults == [answer[1]]
    rig.made[0].ends[0](None)
    assert rig.lab.faults == []
    assert [one.event for one in rig.events] == ["fault-began", "fault-ended"]
    assert rig.events[1].data["cause"] == "time"


def test_a_fault_that_ends_before_it_has_begun_ends_as_soon_as_it_has(rig: Rig) -> None:
    rig.begin()
    clearing = rig.ask("fault-clear", id=1)
    assert clearing.said == []
    rig.made[0].begins[0](None)
    assert clearing.said == []
    rig.made[0].ends[0](None)
    assert [kind for kind, _ in clearing.said] == ["ok"]


@pytest.mark.parametrize("hold", [False, True])
def test_whoever_waits_for_a_fault_that_fails_to_begin_hears_why(rig: Rig, hold: bool) -> None:
    asked = rig.begin(hold=hold)
    clearing = rig.ask("fault-clear", id=None)
    rig.made[0].begins[0](LabError("it can't be"))
    assert asked.said == clearing.said == [("error", "it can't be")]
    assert rig.ask("fault-list").said == [("ok", [])]
    assert rig.events == []


def test_a_fault_that_is_held_ends_with_its_connection(rig: Rig) -> None:
    asked = rig.begin(hold=True)
    rig.made[0].begins[0](None)
    assert [kind for kind, _ in asked.said] == ["progress"]
    for callback in asked.on_close:
        callback()
    rig.made[0].ends[0](LabError("stuck"))
    assert asked.said[1:] == [("error", "stuck")]
    assert rig.events[1].data["cause"] == "stuck"


def test_clearing_what_has_ended_is_no_error_and_what_never_was_is(rig: Rig) -> None:
    rig.begin()
    rig.made[0].begins[0](None)
    rig.ask("fault-clear", id=1)
    rig.made[0].ends[0](None)
    assert rig.ask("fault-clear", id=1).said == [("ok", [])]
    with pytest.raises(InputError, match="never was a fault 2"):
        rig.ask("fault-clear", id=2)


@pytest.mark.parametrize("seconds", [0, -1, 1e9, float("nan")])
def test_a_time_must_make_sense(rig: Rig, seconds: float) -> None:
    with pytest.raises(InputError, match="more than 0 s"):
        rig.begin(for_s=seconds)


def lab_of(*roles: tuple[str, str, RoleState]) -> Supervisor:
    made = [RoleProcess(node, role, AppSpec(), state=state) for node, role, state in roles]
    topology = SimpleNamespace(nodes=dict.fromkeys([node for node, _, _ in roles] + ["empty"]))
    return cast("Supervisor", SimpleNamespace(roles=made, order=SimpleNamespace(topology=topology)))


@pytest.mark.parametrize(
    ("text", "error", "cause"),
    [
        ("zz", InputError, "the lab has no node 'zz'"),
        ("zz.app", InputError, "the lab has no node 'zz.app'"),
        ("two", InputError, "node two has several roles"),
        ("two.cdn", InputError, "node two has no role 'cdn'"),
        ("empty", InputError, "node empty has no role"),
        ("down", LabError, "down: role app does not run: failed"),
    ],
)
def test_who_is_not_meant(text: str, error: type[Exception], cause: str) -> None:
    ready, failed = RoleState.READY, RoleState.FAILED
    lab = lab_of(
        ("one", "app", ready), ("two", "app", ready), ("two", "app-2", ready), ("down", "app", failed)
    )
    with pytest.raises(error, match=cause):
        find_role(lab, text)
    assert find_role(lab, "one").node == "one"
    assert find_role(lab, "two.app-2").role == "app-2"
