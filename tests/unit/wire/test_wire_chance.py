"""Chance against the formulas of its models. Seeded: each run draws the same numbers."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from itertools import groupby
from random import Random

import pytest

from netlab.model.distributions import SCALE, table
from netlab.model.impairment import FourState, GilbertElliott, Impairment
from netlab.wire.chance import Event, delays, event, losses, numbers

FRAMES = 200_000
MS = 1_000_000


def correlation(values: list[int]) -> float:
    return statistics.correlation(values[:-1], values[1:])


def near(found: float, expected: float, spread: float) -> bool:
    """Within five standard deviations."""
    return abs(found - expected) <= 5 * spread


def share(lost: Event) -> float:
    return sum(lost() for _ in range(FRAMES)) / FRAMES


def bursts(lost: Event) -> Counter[int]:
    """How many bursts of losses there are of each length."""
    runs = groupby(lost() for _ in range(FRAMES))
    return Counter(len(list(run)) for was_lost, run in runs if was_lost)


@pytest.mark.parametrize("rho", [0.0, 0.25, 0.5, 0.9])
def test_numbers_lean_on_the_last_as_much_as_asked(rho: float) -> None:
    draw = numbers(Random(1), rho)
    values = [draw() for _ in range(FRAMES)]
    assert abs(correlation(values) - rho) < 0.01
    assert abs(statistics.fmean(values) / 2**32 - 0.5) < 0.01
    # The variance of an even number, times (1-rho)/(1+rho): that of x' = (1-rho) u + rho x.
    assert statistics.pvariance(values) / 2**64 == pytest.approx((1 - rho) / (1 + rho) / 12, rel=0.03)


@pytest.mark.parametrize("probability", [0.0, 0.01, 0.3, 1.0])
def test_an_event_happens_as_often_as_it_should(probability: float) -> None:
    spread = math.sqrt(probability * (1 - probability) / FRAMES)
    assert near(share(event(Random(2), probability, 0.0)), probability, spread)


@pytest.mark.parametrize(
    "model", [GilbertElliott(0.01, 0.25), GilbertElliott(0.05, 0.4, 0.7, 0.01), GilbertElliott(0.5, 0.5)]
)
def test_gilbert_elliott_loses_its_stationary_share(model: GilbertElliott) -> None:
    bad = model.p / (model.p + model.r)
    expected = bad * model.bad_loss + (1 - bad) * model.good_loss
    found = share(losses(Random(3), Impairment(loss_model=model)))
    stays = 1 - model.p - model.r  # a chain's shares spread (1+stays)/(1-stays) times as far
    spread = math.sqrt(bad * (1 - bad) / FRAMES * (1 + stays) / (1 - stays)) + 0.0005
    assert near(found, expected, spread), (found, expected, spread)


def test_gilbert_bursts_are_geometric() -> None:
    """With everything lost in the bad state, a burst lasts as long as the state: chi-square, 9 degrees."""
    r = 0.3
    found = bursts(losses(Random(4), Impairment(loss_model=GilbertElliott(0.02, r))))
    count = found.total()
    expected = [count * r * (1 - r) ** (length - 1) for length in range(1, 10)]
    expected.append(count - sum(expected))
    seen = [found[length] for length in range(1, 10)]
    seen.append(count - sum(seen))
    square = sum((one - other) ** 2 / other for one, other in zip(seen, expected, strict=True))
    assert square < 21.67, (square, seen, expected)  # 99%


def test_four_states_without_the_fourth_are_gilbert_with_good_frames_in_bursts() -> None:
    """The stationary share of state 3 and 4, from the chain's balance."""
    model = FourState(p13=0.02, p31=0.2, p32=0.3, p23=0.6, p14=0.01)
    one = 1.0
    four = one * model.p14
    three = one * model.p13 / model.p31
    two = three * model.p32 / model.p23
    expected = (three + four) / (one + two + three + four)
    found = share(losses(Random(5), Impairment(loss_model=model)))
    assert abs(found - expected) < 0.006, (found, expected)


def test_a_single_loss_in_a_gap_is_single() -> None:
    found = bursts(losses(Random(6), Impairment(loss_model=FourState(p13=0.0, p14=0.05))))
    assert set(found) == {1}


def test_the_model_takes_the_place_of_random_loss() -> None:
    assert share(losses(Random(7), Impairment(loss=1.0, loss_model=GilbertElliott(0.0, 1.0)))) == 0


def test_uniform_jitter_fills_its_range_evenly() -> None:
    draw = delays(Random(8), Impairment(delay_ns=10 * MS, jitter_ns=2 * MS))
    values = sorted(draw() for _ in range(FRAMES))
    assert values[0] >= 8 * MS
    assert values[-1] < 12 * MS
    furthest = max(abs((at + 0.5) / FRAMES - (value / MS - 8) / 4) for at, value in enumerate(values))
    assert furthest < 1.63 / math.sqrt(FRAMES), furthest  # Kolmogorov-Smirnov, 99%


@pytest.mark.parametrize("name", ["normal", "pareto", "paretonormal"])
def test_jitter_follows_its_table(name: str) -> None:
    impairment = Impairment(delay_ns=100 * MS, jitter_ns=10 * MS, distribution=name)
    draw = delays(Random(9), impairment)
    found = Counter(draw() for _ in range(FRAMES))
    expected = Counter(100 * MS + round(10 * MS * value / SCALE) for value in table(name))
    below = wanted = furthest = 0.0
    for value in sorted(found.keys() | expected.keys()):
        below += found[value] / FRAMES
        wanted += expected[value] / len(table(name))
        furthest = max(furthest, abs(below - wanted))
    assert furthest < 1.63 / math.sqrt(FRAMES), furthest


def test_a_table_of_the_users_goes_before_the_name() -> None:
    draw = delays(Random(10), Impairment(delay_ns=9, jitter_ns=SCALE, distribution="x.dist", table=(3, 7)))
    assert {draw() for _ in range(100)} == {12, 16}


def test_values_are_rounded_as_tabledist_does() -> None:
    """Half of 5 is 2.5, and of -5 is -2.5: (sigma * t ± 4096) / 8192, cut towards zero."""
    draw = delays(Random(11), Impairment(delay_ns=100, jitter_ns=4096, distribution="x", table=(5, -5)))
    assert {draw() for _ in range(100)} == {103, 97}


@pytest.mark.parametrize("name", ["uniform", "normal"])
def test_correlated_jitter_is_hardly_correlated_as_in_netem(name: str) -> None:
    """tabledist takes a correlated number modulo the table's size, and low bits are not correlated."""
    impairment = Impairment(delay_ns=10 * MS, jitter_ns=MS, distribution=name, delay_correlation=0.5)
    draw = delays(Random(12), impairment)
    assert abs(correlation([draw() for _ in range(FRAMES)])) < 0.01


def test_correlated_jitter_draws_from_correlated_numbers() -> None:
    """A range of all 32 bits keeps what the numbers have in common."""
    jitter_ns = 2**31 - 1
    draw = delays(Random(12), Impairment(delay_ns=2 * jitter_ns, jitter_ns=jitter_ns, delay_correlation=0.5))
    assert abs(correlation([draw() for _ in range(FRAMES)]) - 0.5) < 0.01


def test_an_unknown_distribution_is_an_error() -> None:
    with pytest.raises(KeyError):
        delays(Random(13), Impairment(delay_ns=1, jitter_ns=1, distribution="bell"))
