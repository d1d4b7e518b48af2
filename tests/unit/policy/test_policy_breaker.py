"""A circuit breaker's states, from results at chosen times."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netlab.model.roles import Breaker
from netlab.policy.breaker import Circuit, Permit


def circuit(**fields: object) -> Circuit:
    return Circuit(Breaker.model_validate({"failures": 3, "open": "30s", **fields}))


def state(one: Circuit) -> str:
    return one.state


def fail(one: Circuit, now: float, times: int = 1) -> None:
    for _ in range(times):
        permit = one.ask(now)
        assert permit is not None, one.state
        one.failure(permit, now, "it answered 503")


def succeed(one: Circuit, now: float) -> None:
    permit = one.ask(now)
    assert permit is not None, one.state
    one.success(permit, now)


def test_the_guides_cycle() -> None:
    """Closed, open after N failures in a row, half-open after 30 s, closed by one good answer."""
    one = circuit()
    fail(one, 0.0, 2)
    succeed(one, 0.0)
    fail(one, 1.0, 2)
    assert state(one) == "closed", "not in a row"
    fail(one, 1.0)
    assert state(one) == "open"
    assert one.ask(30.9) is None
    assert round(one.left_s(30.9), 6) == 0.1
    permit = one.ask(31.0)
    assert permit is not None
    assert one.ask(31.0) is None, "one test request, and no more beside it"
    one.success(permit, 31.1)
    assert state(one) == "closed"
    assert [change.state for change in one.changes()] == ["open", "half-open", "closed"]
    assert one.changes() == []


def test_a_test_that_fails_opens_it_for_as_long_again() -> None:
    one = circuit()
    fail(one, 0.0, 3)
    fail(one, 30.0)
    assert state(one) == "open"
    assert one.ask(59.9) is None
    assert one.ask(60.0) is not None


def test_what_began_before_it_opened_says_nothing_later() -> None:
    one = circuit()
    late = [one.ask(0.0) for _ in range(3)]
    fail(one, 0.0, 3)
    probe = one.ask(30.0)
    for permit in late:
        assert permit is not None
        one.success(permit, 30.0)
        one.failure(permit, 30.0, "late")
    assert state(one) == "half-open"
    assert probe is not None
    one.success(probe, 30.1)
    assert state(one) == "closed"


def test_a_test_that_was_given_up_makes_room_for_another() -> None:
    one = circuit()
    fail(one, 0.0, 3)
    permit = one.ask(30.0)
    assert permit is not None
    one.forget(permit)
    assert one.ask(30.0) is not None


def test_several_tests_must_all_be_good() -> None:
    one = circuit(probes=2)
    fail(one, 0.0, 3)
    succeed(one, 30.0)
    assert state(one) == "half-open"
    succeed(one, 30.0)
    assert state(one) == "closed"


def test_it_opens_by_the_share_that_failed_within_the_window() -> None:
    one = circuit(failures=100, ratio="50%", volume=10, window="10s")
    for _ in range(5):
        succeed(one, 0.0)
        fail(one, 0.0)
    assert state(one) == "open", "5 of 10"
    one = circuit(failures=100, ratio="50%", volume=10, window="10s")
    for second in range(40):
        succeed(one, float(second))
        if second % 3 == 0:
            fail(one, float(second))
    assert state(one) == "closed", "a quarter"
    fail(one, 60.0, 9)
    assert state(one) == "closed", "what is older than the window does not count, and 9 are too few"
    fail(one, 60.0)
    assert state(one) == "open"


@given(st.lists(st.tuples(st.floats(0, 20), st.sampled_from(["good", "bad", "late", "forget"])), max_size=60))
def test_whatever_comes_no_more_tests_than_probes_are_under_way(steps: list[tuple[float, str]]) -> None:
    one, now = circuit(failures=2, open="5s", probes=2), 0.0
    probing: list[Permit] = []
    for gap, end in steps:
        now += gap
        permit = one.ask(now)
        if permit is None:
            assert one.state in ("open", "half-open")
            continue
        probing = [*probing, permit] if one.state == "half-open" else []
        assert sum(held.turn == permit.turn for held in probing) <= 2
        if end != "late":
            probing = [held for held in probing if held is not permit]
        if end == "good":
            one.success(permit, now)
        elif end == "bad":
            one.failure(permit, now, "bad")
        elif end == "forget":
            one.forget(permit)
