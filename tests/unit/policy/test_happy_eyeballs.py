"""Happy Eyeballs v2: when connecting begins, in which order, and what a broken family costs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.policy.dns_search import candidates
from netlab.policy.happy_eyeballs import ATTEMPT_DELAY_S, RESOLUTION_DELAY_S, HappyEyeballs

SIX, FOUR = ["2001:db8::1", "2001:db8::2"], ["192.0.2.1", "192.0.2.2"]


def machine(preferred: str = "") -> HappyEyeballs:
    return HappyEyeballs((4, 6), preferred)


def test_ipv6_goes_first_and_the_families_in_turn() -> None:
    made = machine()
    made.answered(4, FOUR, 10.0)
    made.answered(6, SIX, 10.01)
    started = []
    now = 10.01
    while (address := made.next(now)) is not None:
        started.append((address, round(now - 10.01, 3)))
        assert made.next(now) is None, "the next one waits"
        now += ATTEMPT_DELAY_S
    assert started == [(SIX[0], 0.0), (FOUR[0], 0.25), (SIX[1], 0.5), (FOUR[1], 0.75)]
    assert not made.over, "attempts run"
    for address, _ in started:
        made.failed(address, now)
    assert made.over


def test_ipv4_waits_for_ipv6_but_not_for_long() -> None:
    made = machine()
    made.answered(4, FOUR, 1.0)
    assert made.next(1.0 + RESOLUTION_DELAY_S - 0.001) is None
    assert made.deadline() == 1.0 + RESOLUTION_DELAY_S
    assert made.next(1.0 + RESOLUTION_DELAY_S) == FOUR[0]
    made.answered(6, SIX, 1.1)
    assert made.next(1.0 + RESOLUTION_DELAY_S + ATTEMPT_DELAY_S) == SIX[0], "late, but not lost"


def test_ipv6_waits_for_nobody() -> None:
    made = machine()
    assert made.deadline() is None
    made.answered(6, SIX[:1], 1.0)
    assert made.next(1.0) == SIX[0]
    assert made.deadline() is None, "nothing else is known yet"
    made.answered(4, FOUR, 1.2)
    assert made.next(1.2) is None
    assert made.deadline() == 1.25
    assert made.next(1.25) == FOUR[0]


def test_no_ipv6_address_means_ipv4_at_once() -> None:
    made = machine()
    made.answered(4, FOUR, 1.0)
    made.answered(6, (), 1.002)
    assert made.next(1.002) == FOUR[0]


def test_a_failure_is_followed_at_once() -> None:
    made = machine()
    made.answered(6, SIX, 1.0)
    made.answered(4, FOUR, 1.0)
    assert made.next(1.0) == SIX[0]
    made.failed(SIX[0], 1.01)
    assert made.next(1.01) == FOUR[0]


def test_what_worked_before_goes_first() -> None:
    made = machine(preferred=FOUR[1])
    made.answered(6, SIX, 1.0)
    made.answered(4, FOUR, 1.0)
    assert [made.next(1.0), made.next(1.25)] == [FOUR[1], SIX[0]]


def test_nothing_found_is_over() -> None:
    made = machine()
    made.answered(6, (), 1.0)
    assert not made.over
    made.answered(4, (), 1.0)
    assert made.over
    assert made.next(2.0) is None


@given(st.permutations(["four", "six"]), st.floats(0, 0.2), st.integers(0, 3), st.integers(0, 3))
def test_each_address_is_tried_once(order: list[str], gap: float, sixes: int, fours: int) -> None:
    found = {
        "six": (6, [f"2001:db8::{one}" for one in range(sixes)]),
        "four": (4, [f"192.0.2.{one}" for one in range(fours)]),
    }
    made, now, tried = machine(), 0.0, []
    for name in order:
        version, addresses = found[name]
        made.answered(version, addresses, now)
        while (address := made.next(now)) is not None:
            tried.append(address)
        now += gap
    while (deadline := made.deadline()) is not None and (address := made.next(max(now, deadline))):
        now = max(now, deadline)
        tried.append(address)
    assert sorted(tried) == sorted(found["six"][1] + found["four"][1])


@pytest.mark.parametrize(
    ("name", "ndots", "tried"),
    [
        ("api", 1, ("api.example.com", "api.example.net", "api")),
        ("api.shop", 1, ("api.shop", "api.shop.example.com", "api.shop.example.net")),
        ("api.shop", 2, ("api.shop.example.com", "api.shop.example.net", "api.shop")),
        ("api.", 1, ("api",)),
        ("api", 0, ("api", "api.example.com", "api.example.net")),
    ],
)
def test_the_search_list(name: str, ndots: int, tried: tuple[str, ...]) -> None:
    assert candidates(name, ("example.com", "example.net."), ndots) == tried
