"""What a stimulus changes in a lab is changed back, however the stimulus ends."""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from netlab.errors import LabError, RoleError
from netlab.lab.client import LabClient
from netlab.model.event import Event
from netlab.model.roles import AppSpec, ClientSpec, Request, RoleSpec, Subscription
from netlab.model.topology import Node, Topology
from netlab.scenarios.bench import Bench
from netlab.scenarios.scenario import Options, Scenario
from netlab.trace.findings import Findings

ENDS: list[type[BaseException]] = [KeyboardInterrupt, LabError, ValueError]


def event(kind: str, **data: object) -> Event:
    return Event(1, "a", "client", kind, None, data)


class FakeLink:
    def __init__(self, log: list[object], state: str) -> None:
        self._log, self._state = log, state

    def show(self) -> dict[str, Any]:
        return {"state": self._state, "up": {"given": "user's"}}

    def set(self, *words: str, direction: str) -> None:
        self._log.append(("set", *words, direction))

    def restore(self, shown: dict[str, Any]) -> None:
        self._log.append(("restore", shown["up"]["given"]))

    def down(self) -> None:
        self._log.append("down")

    def up(self) -> None:
        self._log.append("up")


class FakeLab:
    """`says`: what a role says, one by one; a role that `lasts` goes on until it is told to stop."""

    def __init__(
        self,
        says: Sequence[Event] = (),
        failure: BaseException | None = None,
        *,
        lasts: bool = True,
        state: str = "up",
    ) -> None:
        self.log: list[object] = []
        self.specs: list[RoleSpec] = []
        self._says, self._failure, self._lasts, self._state = says, failure, lasts, state

    def link(self, _end: str) -> FakeLink:
        return FakeLink(self.log, self._state)

    def run(self, _node: str, spec: RoleSpec, _timeout_s: float) -> list[Event]:
        self.specs.append(spec)
        if self._failure is not None:
            raise self._failure
        return list(self._says)

    def serve(self, _node: str, spec: RoleSpec, stop: threading.Event) -> Generator[Event, None, None]:
        self.specs.append(spec)
        yield from self._says
        if self._failure is not None:
            raise self._failure
        if self._lasts:
            assert stop.wait(10), "nobody stopped it"
        self.log.append("ended")


def bench(lab: FakeLab, **chosen: Any) -> Bench:
    scenario = Scenario("x", "x", lambda _: None, lambda _: Findings(), http=("2",), repeats=3)
    topology = Topology(name="t", nodes={"a": Node(roles=(ClientSpec(),)), "b": Node()}, links=())
    return Bench(cast("LabClient", lab), scenario, Options(Path("t"), **chosen), topology, lambda _: None)


def test_the_users_choice_goes_before_the_scenarios_own() -> None:
    own, chosen = bench(FakeLab()), bench(FakeLab(), http=("3",), repeat=1)
    assert (own.http, own.repeats) == (("2",), 3)
    assert (chosen.http, chosen.repeats) == (("3",), 1)


def test_a_link_gets_back_what_it_did() -> None:
    lab = FakeLab()
    with bench(lab).link("a:eth0", "loss=1%", direction="down"):
        assert lab.log == [("set", "loss=1%", "down")]
    assert lab.log[1:] == [("restore", "user's")]


@pytest.mark.parametrize("error", ENDS)
def test_a_link_gets_back_what_it_did_whatever_happens(error: type[BaseException]) -> None:
    lab = FakeLab()
    with pytest.raises(error), bench(lab).link("a:eth0", "loss=1%"):
        raise error("x")
    assert lab.log[-1] == ("restore", "user's")


@pytest.mark.parametrize("error", ENDS)
def test_a_link_is_plugged_in_again_whatever_happens(error: type[BaseException]) -> None:
    lab = FakeLab()
    with pytest.raises(error), bench(lab).unplugged("a:eth0"):
        raise error("x")
    assert lab.log == ["down", "up"]


def test_a_link_that_the_user_had_pulled_stays_pulled() -> None:
    lab = FakeLab(state="down")
    with bench(lab).unplugged("a:eth0"):
        pass
    assert lab.log == ["down"]


def test_every_request_has_a_traceparent_of_its_own() -> None:
    lab = FakeLab([event("request-done")])
    one = bench(lab)
    found = one.ask("a", [Request(url="http://x/"), Request(url="http://x/")], parallel=2)
    (spec,) = lab.specs
    assert isinstance(spec, ClientSpec)
    assert spec.parallel == 2
    assert len({request.traceparent for request in spec.requests} - {""}) == 2
    assert one.asked == found == [event("request-done")]


def test_a_node_without_a_client_is_named() -> None:
    with pytest.raises(LabError, match="node b has no client role"):
        bench(FakeLab()).ask("b", [])


def test_phases_are_kept_in_the_order_in_which_they_end() -> None:
    one = bench(FakeLab())
    with one.phase("whole", loss="1%"), one.phase("part"):
        pass
    assert [phase.name for phase in one.phases] == ["part", "whole"]
    assert one.phases[1].settings == {"loss": "1%"}
    assert one.phases[1].started_ns <= one.phases[0].started_ns <= one.phases[0].ended_ns


def test_a_server_is_stopped_when_its_context_is_left() -> None:
    lab = FakeLab([event("ready")])
    one = bench(lab)
    with one.serving("b", AppSpec()):
        assert lab.log == []
    assert (lab.log, one.asked) == (["ended"], [event("ready")])


@pytest.mark.parametrize("error", ENDS)
def test_a_server_is_stopped_whatever_happens(error: type[BaseException]) -> None:
    lab = FakeLab([event("ready")])
    with pytest.raises(error), bench(lab).serving("b", AppSpec()):
        raise error("x")
    assert lab.log == ["ended"]


def test_a_server_that_cannot_start_is_an_error_with_its_cause() -> None:
    lab = FakeLab(failure=RoleError("b", "app", "ended with status 1", ("address in use",)))
    with pytest.raises(RoleError, match="b"), bench(lab).serving("b", AppSpec()):
        raise AssertionError("the body must not run")


def test_a_server_that_ends_before_it_is_ready() -> None:
    serving = bench(FakeLab(lasts=False)).serving("b", AppSpec())
    with pytest.raises(LabError, match="has not said 'ready'"), serving:
        raise AssertionError("the body must not run")


def test_a_client_asks_beside_what_is_done_meanwhile() -> None:
    lab = FakeLab([event("request-done")], lasts=False)
    one = bench(lab)
    with one.asking("a", [Request(url="http://x/")]) as answered:
        answered()
        lab.log.append("after")
    assert lab.log == ["ended", "after"]
    assert one.asked == [event("request-done")]


def test_an_interrupt_ends_the_client_that_asks() -> None:
    lab = FakeLab()
    with pytest.raises(KeyboardInterrupt), bench(lab).asking("a", [Request(url="http://x/")]):
        raise KeyboardInterrupt
    assert lab.log == ["ended"]


def test_a_request_may_fail_where_that_is_what_is_measured() -> None:
    failure = RoleError("a", "client", "ended with status 1", ())
    failed = event("request-failed", name="x")
    one = bench(FakeLab([failed], failure))
    with one.asking("a", [Request(url="http://x/")], may_fail=True):
        pass
    assert one.asked == [failed]
    for said, may_fail in (([failed], False), ([], True)):
        with pytest.raises(RoleError), bench(FakeLab(said, failure)).asking("a", [], may_fail=may_fail):
            pass


def test_a_subscription_is_there_before_the_body_runs() -> None:
    lab = FakeLab([event("subscribed")], lasts=False)
    with bench(lab).subscribed("a", Subscription(url="https://x/channels/y", count=1)):
        pass
    (spec,) = lab.specs
    assert isinstance(spec, ClientSpec)
    assert len(spec.subscriptions) == 1
