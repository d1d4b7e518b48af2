"""Round robin, rise and fall."""

from __future__ import annotations

from netlab.policy.balance import RoundRobin
from netlab.policy.health import HealthMachine


def test_each_in_turn() -> None:
    turns = RoundRobin(("a", "b", "c"))
    assert [turns.choose({"a", "b", "c"}) for _ in range(6)] == ["a", "b", "c"] * 2


def test_those_that_may_not_be_used_are_passed_over() -> None:
    turns = RoundRobin(("a", "b", "c"))
    assert [turns.choose({"a", "c"}) for _ in range(4)] == ["a", "c", "a", "c"]
    assert turns.choose(set()) is None
    assert turns.order(set()) == []


def test_the_order_of_attempts_begins_with_the_turn() -> None:
    turns = RoundRobin(("a", "b", "c"))
    orders = [turns.order({"a", "b", "c"}) for _ in range(3)]
    assert orders == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"]]


def test_down_after_fall_failures_in_a_row_and_up_after_rise() -> None:
    machine = HealthMachine(rise=2, fall=3)
    results = [False, False, True, False, False, False, False, True, False, True, True]
    seen = [(machine.result(result), machine.healthy) for result in results]
    assert seen == [
        (False, True),
        (False, True),
        (False, True),  # a success breaks the streak
        (False, True),
        (False, True),
        (True, False),
        (False, False),
        (False, False),
        (False, False),  # a failure breaks it too
        (False, False),
        (True, True),
    ]
