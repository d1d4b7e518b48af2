"""Units: what is written comes back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.model.units import (
    duration_ns,
    format_duration,
    format_probability,
    format_rate,
    probability,
    rate_bps,
    size_bytes,
)


@pytest.mark.parametrize(
    ("text", "ns"),
    [("20ms", 20_000_000), ("1.5s", 1_500_000_000), ("250us", 250_000), (0, 0), ("2m", 120 * 10**9)],
)
def test_durations(text: object, ns: int) -> None:
    assert duration_ns(text) == ns


def test_rates_sizes_and_shares() -> None:
    assert rate_bps("1.5gbit") == 1_500_000_000
    assert size_bytes("64kb") == 65_536
    assert size_bytes(3) == 3
    assert probability("0.1%") == 0.001
    assert probability("100%") == 1.0


@pytest.mark.parametrize("text", ["20", 20, "20 parsecs", "-1ms", "ms", True, None, ""])
def test_what_is_no_duration_says_how_to_write_one(text: object) -> None:
    with pytest.raises(ValueError, match="write a number and a unit, such as 20ms"):
        duration_ns(text)


@pytest.mark.parametrize("text", [True, -1, "64 parsecs", None])
def test_what_is_no_size_says_how_to_write_one(text: object) -> None:
    with pytest.raises(ValueError, match="write a number and a unit, such as 64kb"):
        size_bytes(text)


def test_more_than_everything_can_not_be_lost() -> None:
    with pytest.raises(ValueError, match="past 100%"):
        probability("100.1%")


@given(st.integers(min_value=0, max_value=10**15))
def test_durations_round_trip(ns: int) -> None:
    assert duration_ns(format_duration(ns)) == ns


@given(st.integers(min_value=1, max_value=10**13))
def test_rates_round_trip(bps: int) -> None:
    assert rate_bps(format_rate(bps)) == bps


@given(st.floats(min_value=0, max_value=1, allow_subnormal=False))
def test_shares_round_trip(share: float) -> None:
    assert probability(format_probability(share)) == share
