"""Rate limits: who passes, who waits how long, and how many keys are remembered."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from netlab.model.roles import RateLimit
from netlab.policy.rate_limit import Limiter, Limits
from netlab.proto.http import NO_HEADERS, Headers

BUCKET = RateLimit(quota=10, window="1s")
WINDOW = RateLimit(algorithm="sliding-window", quota=10, window="1s")
GAPS = st.lists(st.floats(0, 0.5), min_size=1, max_size=80)


def passed(limiter: Limiter, times: list[float], key: str = "a") -> list[float]:
    return [time for time in times if limiter.take(key, time).allowed]


@pytest.mark.parametrize("limit", [BUCKET, WINDOW])
def test_the_quota_passes_at_once_and_no_more(limit: RateLimit) -> None:
    limiter = Limiter(limit)
    outcomes = [limiter.take("a", 5.0) for _ in range(12)]
    assert [one.allowed for one in outcomes] == [True] * 10 + [False] * 2
    assert [one.remaining for one in outcomes] == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0]
    assert limiter.take("b", 5.0).allowed


def test_a_bucket_fills_steadily_up_to_its_burst() -> None:
    limiter = Limiter(RateLimit(quota=10, window="1s", burst=3))
    assert len(passed(limiter, [0.0] * 5)) == 3
    refused = limiter.take("a", 0.0)
    assert refused.retry_s == pytest.approx(0.1)
    assert refused.reset_s == pytest.approx(0.3)
    assert len(passed(limiter, [0.1] * 2)) == 1
    assert len(passed(limiter, [60.0] * 5)) == 3


def test_a_sliding_window_weighs_the_one_before() -> None:
    limiter = Limiter(WINDOW)
    assert len(passed(limiter, [0.0] + [0.9] * 9)) == 10
    assert limiter.look("a", 1.0).remaining == 0  # a fixed window would let ten more pass at once
    assert len(passed(limiter, [1.5] * 10)) == 5
    assert limiter.look("a", 9.0).remaining == 10


@pytest.mark.parametrize("limit", [BUCKET, WINDOW])
@given(gaps=GAPS)
def test_a_client_that_waits_as_told_passes(limit: RateLimit, gaps: list[float]) -> None:
    limiter, now = Limiter(limit), 0.0
    for gap in gaps:
        now += gap
        found = limiter.take("a", now)
        if not found.allowed:
            assert found.retry_s > 0
            assert not limiter.look("a", now + found.retry_s * 0.9).allowed
            now += found.retry_s + 1e-6
            assert limiter.take("a", now).allowed, (found, now)


@given(gaps=GAPS)
def test_a_bucket_never_gives_more_than_burst_and_rate(gaps: list[float]) -> None:
    times = [sum(gaps[: n + 1]) for n in range(len(gaps))]
    limiter = Limiter(RateLimit(quota=4, window="1s", burst=6))
    kept = passed(limiter, [time for time in times for _ in range(3)])
    for start in range(len(kept)):
        for end in range(start, len(kept)):
            assert end - start + 1 <= 6 + 4 * (kept[end] - kept[start]) + 1e-6


@given(gaps=GAPS)
def test_no_two_windows_give_more_than_their_quotas(gaps: list[float]) -> None:
    times = [sum(gaps[: n + 1]) for n in range(len(gaps))]
    kept = passed(Limiter(WINDOW), [time for time in times for _ in range(3)])
    for first, later in pairwise(kept[::21]):  # 21 in a row
        assert later - first >= 1.0 - 1e-6


def test_a_clock_that_goes_back_gives_nothing() -> None:
    limiter = Limiter(BUCKET)
    assert len(passed(limiter, [5.0] * 10)) == 10
    assert not limiter.take("a", 4.0).allowed
    assert limiter.take("a", 5.1).allowed


def test_keys_are_bounded_and_the_oldest_is_forgotten() -> None:
    limiter = Limiter(RateLimit(quota=1, window="60s", keys=3))
    assert all(limiter.take(key, 0.0).allowed for key in "abc")
    assert not limiter.take("a", 0.0).allowed  # seen again
    assert limiter.take("d", 0.0).allowed
    assert len(limiter) == 3
    assert not limiter.take("a", 0.0).allowed
    assert limiter.take("b", 0.0).allowed  # forgotten
    for length in (65, 100_000):
        assert limiter.take("x" * length, 0.0).allowed
    assert len(limiter) == 3


def test_what_the_client_is_told() -> None:
    limits = Limits(
        (RateLimit(name="burst", quota=2, window="1s"), RateLimit(name="hour", quota=9, window="60m"))
    )
    first = limits.check("192.0.2.1", NO_HEADERS, 0.0)
    assert dict(first.fields) == {
        "RateLimit-Policy": '"burst";q=2;w=1, "hour";q=9;w=3600',
        "RateLimit": '"burst";r=1;t=1, "hour";r=8;t=400',
    }
    limits.check("192.0.2.1", NO_HEADERS, 0.0)
    refused = limits.check("192.0.2.1", NO_HEADERS, 0.0)
    assert refused.refused_by == "burst"
    assert dict(refused.fields)["Retry-After"] == "1"
    assert '"hour";r=7' in dict(refused.fields)["RateLimit"]  # it paid nothing there


def test_whom_a_request_counts_for() -> None:
    limits = Limits((RateLimit(quota=1, window="60s", by="header:X-Api-Key"),))
    mine, other = Headers((("x-api-key", "k1"),)), Headers((("x-api-key", "k2"),))
    assert limits.check("192.0.2.1", mine, 0.0).allowed
    assert not limits.check("192.0.2.2", mine, 0.0).allowed
    assert limits.check("192.0.2.2", other, 0.0).allowed
    assert limits.check("k1", NO_HEADERS, 0.0).allowed  # by its address, which no key can be
    together = Limits((RateLimit(quota=1, window="60s", by="all"),))
    assert [together.check(client, mine, 0.0).allowed for client in "ab"] == [True, False]
    assert Limits(()).check("a", mine, 0.0).fields == ()


def test_limits_that_others_share() -> None:
    for_all = Limits((RateLimit(name="all", quota=3, window="60s"),))
    strict = Limits((RateLimit(name="strict", quota=1, window="60s"),), for_all)
    plain = Limits((), for_all)
    first = strict.check("a", NO_HEADERS, 0.0)
    assert dict(first.fields)["RateLimit-Policy"] == '"all";q=3;w=60, "strict";q=1;w=60'
    assert strict.check("a", NO_HEADERS, 0.0).refused_by == "strict"
    left = plain.check("a", NO_HEADERS, 0.0)
    assert dict(left.fields)["RateLimit"].startswith('"all";r=1;'), "what was refused cost nothing"
    assert plain.check("a", NO_HEADERS, 0.0).allowed
    assert plain.check("a", NO_HEADERS, 0.0).refused_by == "all"


def test_a_burst_is_of_a_bucket() -> None:
    with pytest.raises(ValidationError, match="token-bucket"):
        RateLimit(algorithm="sliding-window", quota=1, burst=2)
