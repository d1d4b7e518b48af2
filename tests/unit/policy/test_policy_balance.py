"""Algorithms of balancing: exact sequences, distributions, and which keys move."""

from collections import Counter
from random import Random

import pytest

from netlab.policy.balance import (
    Balance,
    ConsistentHash,
    IpHash,
    LeastConnections,
    RandomChoice,
    SmoothWeighted,
    TwoChoices,
)

UPSTREAMS = ("a", "b", "c", "d")
KEYS = [f"10.0.{n // 250}.{n % 250}" for n in range(4000)]
CHI_SQUARE_3 = 16.27  # three degrees of freedom, p = 0.001


def _places(one: Balance, usable: tuple[str, ...] = UPSTREAMS) -> dict[str, str | None]:
    return {key: one.choose(usable, key) for key in KEYS}


def test_smooth_weights_spread_the_heavy_one() -> None:
    one = SmoothWeighted({"a": 5, "b": 1, "c": 1})
    assert "".join(one.choose("abc") or "-" for _ in range(14)) == "aabacaa" * 2


def test_smooth_weights_among_those_left() -> None:
    one = SmoothWeighted({"a": 5, "b": 2, "c": 1})
    assert Counter(one.choose("bc") for _ in range(30)) == {"b": 20, "c": 10}


def test_least_connections_takes_the_idle_one_and_turns_among_equals() -> None:
    one = LeastConnections(("a", "b", "c"))
    with one.busy("a"), one.busy("b"):
        assert [one.choose("abc") for _ in range(3)] == ["c", "c", "c"]
    assert {one.choose("abc") for _ in range(3)} == {"a", "b", "c"}


@pytest.mark.parametrize("one", [RandomChoice(UPSTREAMS, Random(7)), TwoChoices(UPSTREAMS, Random(7))])
def test_random_ones_are_even(one: Balance) -> None:
    seen = Counter(one.choose(UPSTREAMS) for _ in range(4000))
    assert sum((seen[name] - 1000) ** 2 / 1000 for name in UPSTREAMS) < CHI_SQUARE_3, seen


def test_two_choices_never_takes_the_busiest() -> None:
    one = TwoChoices(UPSTREAMS, Random(7))
    with one.busy("a"):
        seen = Counter(one.choose(UPSTREAMS) for _ in range(1000))
    assert seen["a"] == 0, seen


def test_ip_hash_is_even_and_constant() -> None:
    one = IpHash(UPSTREAMS)
    places = _places(one)
    seen = Counter(places.values())
    assert sum((seen[name] - 1000) ** 2 / 1000 for name in UPSTREAMS) < CHI_SQUARE_3, seen
    assert places == _places(one)


def test_consistent_hash_moves_only_the_keys_of_the_one_that_goes() -> None:
    one = ConsistentHash(UPSTREAMS)
    before, after = _places(one), _places(one, ("a", "b", "d"))
    moved = {before[key] for key in KEYS if before[key] != after[key]}
    assert moved == {"c"}
    shares = Counter(before.values())
    assert all(700 < shares[name] < 1300 for name in UPSTREAMS), shares  # 1000 +- 30%: almost 4 sigma


def test_ip_hash_moves_most_keys() -> None:
    one = IpHash(UPSTREAMS)
    before, after = _places(one), _places(one, ("a", "b", "d"))
    moved = sum(before[key] != after[key] for key in KEYS)
    assert moved > len(KEYS) / 2, moved


@pytest.mark.parametrize(
    "one",
    [
        SmoothWeighted({"a": 1, "b": 2, "c": 3, "d": 4}),
        LeastConnections(UPSTREAMS),
        IpHash(UPSTREAMS),
        ConsistentHash(UPSTREAMS),
        RandomChoice(UPSTREAMS, Random(1)),
        TwoChoices(UPSTREAMS, Random(1)),
    ],
)
def test_order_names_every_usable_one_once(one: Balance) -> None:
    assert sorted(one.order(("d", "b"), "10.0.0.1")) == ["b", "d"]
    assert one.order((), "10.0.0.1") == []
    assert one.choose((), "10.0.0.1") is None
