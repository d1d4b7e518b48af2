"""What is sent again, when, and how often: back-off, jitter, idempotency, budget."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.model.roles import Retry
from netlab.policy.backoff import wait_s
from netlab.policy.retry import Again, Budget, Failure, GiveUp, Retries, of_status
from netlab.proto.http import Headers, RequestHead

KEYED = (("Idempotency-Key", '"a1b2"'),)


def head(method: str = "GET", *fields: tuple[str, str]) -> RequestHead:
    return RequestHead(method, "/", Headers(fields))


def retry(**fields: object) -> Retry:
    return Retry.model_validate({"base": "1s", "cap": "30s", **fields})


def waits(spec: Retry, seed: int = 1, count: int = 5) -> list[float]:
    rng = random.Random(seed)
    return [wait_s(spec, failures, rng) for failures in range(count)]


def test_without_jitter_it_waits_as_the_guide_says() -> None:
    assert waits(retry(jitter="none"), count=4) == [1, 2, 4, 8]
    assert waits(retry(jitter="none", cap="5s"))[2:] == [4, 5, 5]


def test_full_jitter_spreads_clients_over_the_whole_step() -> None:
    third = sorted(waits(retry(), seed)[2] for seed in range(400))
    assert third[0] < 0.1
    assert third[-1] > 3.9
    gaps = [after - before for before, after in pairwise(third)]
    assert max(gaps) < 0.2, "no part of the step is without a client"


def test_the_guides_jitter_ends_where_its_cap_begins() -> None:
    spec = retry(jitter="added", cap="4s")
    early = {waits(spec, seed)[0] for seed in range(50)}
    assert len(early) == 50
    assert min(early) >= 1
    assert max(early) <= 2
    late = {waits(spec, seed)[3] for seed in range(50)}
    assert late == {4.0}, "min(cap, step + random) is the same for everybody once the step is the cap"


@pytest.mark.parametrize("jitter", ["none", "added", "full"])
def test_what_the_server_asks_is_waited_for(jitter: str) -> None:
    spec = retry(jitter=jitter)
    assert all(wait_s(spec, 0, random.Random(seed), 7.0) >= 7 for seed in range(20))


@given(st.integers(0, 10_000), st.sampled_from(["none", "added", "full"]), st.integers(0, 2**32))
def test_no_wait_is_longer_than_the_cap(failures: int, jitter: str, seed: int) -> None:
    assert 0 <= wait_s(retry(jitter=jitter), failures, random.Random(seed)) <= 30


@pytest.mark.parametrize(
    ("asked", "failure", "again"),
    [
        (head(), Failure("error", "reset"), True),
        (head("DELETE"), Failure("timeout", "silence"), True),
        (head("POST"), Failure("timeout", "silence"), False),
        (head("POST", *KEYED), Failure("timeout", "silence"), True),
        (head("POST"), Failure("error", "refused", unsent=True), True),
        (head("PATCH"), of_status(head("PATCH"), 503), False),
        (head(), of_status(head(), 503), True),
        (head(), of_status(head(), 429), True),
        (head("POST", *KEYED), of_status(head("POST", *KEYED), 409), True),
        (head(), Failure(None, "the bulkhead is full", unsent=True), False),
    ],
)
def test_only_what_may_be_done_twice_is_sent_twice(asked: RequestHead, failure: Failure, again: bool) -> None:
    decision = Retries(retry(), random.Random(1)).decide(asked, failure, 1, None)
    assert isinstance(decision, Again if again else GiveUp), decision


@pytest.mark.parametrize("status", [200, 204, 301, 400, 404, 409, 410])
def test_answers_that_are_no_failure(status: int) -> None:
    assert of_status(head(), status) is None


def test_attempts_deadline_and_choice_end_it() -> None:
    failure = Failure("error", "reset")
    decide = Retries(retry(attempts=3, jitter="none", on=("timeout",)), random.Random(1)).decide
    assert isinstance(decide(head(), failure, 1, None), GiveUp), "`on` has no error"
    decide = Retries(retry(attempts=3, jitter="none"), random.Random(1)).decide
    assert decide(head(), failure, 2, None) == Again(2.0)
    assert decide(head(), failure, 3, None) == GiveUp("3 attempts were made")
    assert isinstance(decide(head(), failure, 1, 0.9), GiveUp), "it would come after the deadline"
    assert isinstance(decide(head(), Failure("http_5xx", "503", retry_after_s=60), 1, 30.0), GiveUp)


def test_the_budget_bounds_what_retries_add() -> None:
    """Everything fails: without a budget four attempts make 4 times the requests, with 20% 1.2 times."""
    for budget, reserve, most in (("20%", 10, 1.31), ("100%", 400, 4.0)):
        retries = Retries(retry(attempts=4, budget=budget, reserve=reserve), random.Random(1))
        sent = 0
        for _ in range(100):
            retries.request()
            attempts = 1
            while isinstance(retries.decide(head(), Failure("error", "reset"), attempts, None), Again):
                attempts += 1
            sent += attempts
        assert most * 0.9 < sent / 100 <= most, sent


@given(st.lists(st.booleans(), max_size=300), st.integers(0, 20))
def test_a_budget_never_gives_more_than_its_share(calls: list[bool], reserve: int) -> None:
    budget = Budget(0.2, reserve)
    requests = spent = 0
    for is_request in calls:
        if is_request:
            requests += 1
            budget.request()
        else:
            spent += budget.spend()
        assert spent <= reserve + 0.2 * requests + 1e-6
