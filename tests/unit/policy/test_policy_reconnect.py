"""When a client connects again."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from netlab.policy.reconnect import Backoff, retry_after

NOW = datetime(2024, 1, 1, 12, 0, 0, tzinfo=UTC)


def test_delays_grow_within_their_ceiling_and_spread_over_it() -> None:
    samples = []
    for seed in range(300):
        backoff = Backoff(random.Random(seed), base_s=1, cap_s=10)
        samples.append([backoff.delay() for _ in range(6)])
    for number, ceiling in enumerate((1, 2, 4, 8, 10, 10)):
        column = [delays[number] for delays in samples]
        assert 0 <= min(column) < ceiling * 0.1, column
        assert ceiling * 0.9 < max(column) <= ceiling, column


def test_success_starts_again() -> None:
    backoff = Backoff(random.Random(1), base_s=1, cap_s=100)
    for _ in range(5):
        backoff.delay()
    backoff.succeeded()
    assert backoff.attempts == 0
    assert backoff.delay() <= 1


def test_what_the_server_asks_is_waited_for() -> None:
    backoff = Backoff(random.Random(1), base_s=1, cap_s=1)
    backoff.ask(5)
    assert all(5 <= backoff.delay() <= 6 for _ in range(20))
    assert 60 <= backoff.delay(60) <= 61
    assert 5 <= backoff.delay() <= 6


def test_a_thousand_failures_overflow_nothing() -> None:
    backoff = Backoff(random.Random(1))
    assert max(backoff.delay() for _ in range(2000)) <= 30


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("120", 120.0),
        ("Mon, 01 Jan 2024 12:01:00 GMT", 60.0),
        ("Mon, 01 Jan 2024 11:00:00 GMT", 0.0),
        ("Mon, 01 Jan 2024 12:01:00 -0000", 60.0),
        ("soon", None),
        ("", None),
        ("-5", None),
    ],
)
def test_retry_after(value: str, expected: float | None) -> None:
    assert retry_after(value, NOW) == expected
