"""Too much at once, or too late: bulkhead, load shedding, deadlines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.model.roles import Shed
from netlab.policy import deadline
from netlab.policy.bulkhead import Compartment
from netlab.policy.shedding import Shedder
from netlab.proto.http import Headers


def test_as_many_as_may_then_the_queue_then_no_more() -> None:
    one = Compartment(2, 1)
    assert [one.ask(name) for name in "abcd"] == ["enter", "enter", "wait", "full"]
    assert one.leave() == "c", "who waited is inside, in place of who left"
    assert one.inside == 2
    assert one.ask("e") == "wait"
    one.withdraw("e")
    assert one.leave() is None
    assert one.leave() is None
    assert one.inside == 0
    assert one.ask("f") == "enter"


@given(st.lists(st.integers(0, 2), max_size=200), st.integers(1, 4), st.integers(0, 4))
def test_places_are_neither_lost_nor_made(steps: list[int], limit: int, queue: int) -> None:
    one, inside, waiting = Compartment(limit, queue), 0, []
    for number, step in enumerate(steps):
        if step == 0:
            answer = one.ask(number)
            inside += answer == "enter"
            waiting += [number] if answer == "wait" else []
        elif step == 1 and inside:
            ticket = one.leave()
            assert ticket == (waiting.pop(0) if waiting else None)
            inside -= ticket is None
        elif step == 2 and waiting:
            one.withdraw(waiting.pop())
        assert one.inside == inside <= limit
        assert one.waiting == len(waiting) <= queue


def shedder(**fields: object) -> Shedder:
    return Shedder(Shed.model_validate(fields))


def test_more_than_the_limit_is_refused() -> None:
    one = shedder(concurrency=2)
    assert one.enter() == ""
    assert one.enter() == ""
    assert one.enter() == "2 requests are being answered"
    one.leave(0.1)
    assert one.enter() == ""


def test_slow_answers_let_one_in_at_a_time_until_they_are_fast_again() -> None:
    one = shedder(latency="100ms")
    for _ in range(10):
        assert one.enter() == ""
        one.leave(0.5)
    assert one.enter() == "", "one always may"
    assert one.enter().startswith("answers take 4")
    one.leave(0.01)
    for _ in range(20):
        assert one.enter() == ""
        one.leave(0.01)
    assert [one.enter() for _ in range(3)] == ["", "", ""]


def test_a_deadline_is_what_is_left_and_each_hop_takes_its_part() -> None:
    said = deadline.saying(Headers(()), 2.0)
    assert said.get("request-timeout") == "2000"
    until = deadline.until(said, 100.0)
    assert until == 102.0
    assert deadline.saying(said, until - 100.75).get("Request-Timeout") == "1250"
    assert deadline.until(said, 100.0, own_s=0.5) == 100.5, "the hop's own bound is the earlier one"
    assert deadline.until(Headers(()), 100.0, own_s=0.5) == 100.5
    assert deadline.until(Headers(()), 100.0) is None
    assert deadline.earlier(None, 3.0, 2.0) == 2.0


@pytest.mark.parametrize("text", ["", "soon", "-5", "1.5", "1e3", "٣", "9" * 10])
def test_what_is_no_number_of_milliseconds_says_nothing(text: str) -> None:
    assert deadline.left_s(Headers((("Request-Timeout", text),))) is None
    assert deadline.left_s(Headers((("Request-Timeout", "0"),))) == 0.0
