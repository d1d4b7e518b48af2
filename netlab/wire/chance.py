"""Chance as tc-netem has it: correlated numbers, the three models of loss, jitter from a table. Pure.

Arithmetic of net/sched/sch_netem.c (get_crandom, loss_4state, loss_gilb_ell, tabledist), in 32 bits, so
that the same parameters give the same frequencies. Only the generator behind it is Python's, with a seed.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from netlab.model.distributions import SCALE, table
from netlab.model.impairment import FourState, GilbertElliott, Impairment

_U32_MAX: Final = 2**32 - 1
Event = Callable[[], bool]
Draw = Callable[[], int]


def share(probability: float) -> int:
    """A probability as netem holds it, of 2**32 - 1."""
    return round(probability * _U32_MAX)


def never() -> bool:
    return False


def numbers(random: Random, correlation: float) -> Draw:
    """Draws numbers from 0 to 2**32 - 1, each leaning on the last by `correlation` (0 to 1).

    As in netem, correlated numbers keep to the middle of their range more than even ones do: a share
    below a half then happens less often than it says.
    """
    if not correlation:
        return lambda: random.getrandbits(32)
    rho = share(correlation) + 1
    last = random.getrandbits(32)

    def draw() -> int:
        nonlocal last
        last = (random.getrandbits(32) * (2**32 - rho) + last * rho) >> 32
        return last

    return draw


def event(random: Random, probability: float, correlation: float) -> Event:
    """Happens with this probability; at 0 nothing is drawn."""
    if not probability:
        return never
    of, draw = share(probability), numbers(random, correlation)
    return lambda: of >= draw()


def losses(random: Random, impairment: Impairment) -> Event:
    """Whether the next frame is lost: by the model where there is one, else by random loss."""
    match impairment.loss_model:
        case GilbertElliott() as model:
            return _gilbert_elliott(random, model)
        case FourState() as model:
            return _four_state(random, model)
        case None:
            return event(random, impairment.loss, impairment.loss_correlation)


def _gilbert_elliott(random: Random, model: GilbertElliott) -> Event:
    """The state is stepped once a frame, whose loss goes by the state before the step."""
    bad = False
    chance = random.random

    def lost() -> bool:
        nonlocal bad
        was_bad = bad
        if chance() < (model.r if bad else model.p):
            bad = not bad
        return chance() < (model.bad_loss if was_bad else model.good_loss)

    return lost


def _four_state(random: Random, model: FourState) -> Event:
    """States 3 and 4 lose the frame that leads to them."""
    state = 1
    steps: dict[int, tuple[tuple[float, int], ...]] = {
        1: ((model.p14, 4), (model.p13, 3)),
        2: ((model.p23, 3),),
        3: ((model.p32, 2), (model.p31, 1)),
        4: ((1.0, 1),),
    }

    def lost() -> bool:
        nonlocal state
        left = random.random()
        for probability, following in steps[state]:
            if left < probability:
                state = following
                break
            left -= probability
        return state >= 3

    return lost


def delays(random: Random, impairment: Impairment) -> Draw:
    """The propagation of the next frame in ns, never below 0. Raises KeyError for an unknown distribution.

    Without a table even from delay - jitter to delay + jitter.
    """
    delay_ns, jitter_ns = impairment.delay_ns, impairment.jitter_ns
    if not jitter_ns:
        return lambda: delay_ns
    draw = numbers(random, impairment.delay_correlation)
    values = impairment.table or table(impairment.distribution)
    if not values:
        return lambda: max(0, delay_ns - jitter_ns + draw() % (2 * jitter_ns))
    size = len(values)
    return lambda: max(0, delay_ns + _scaled(jitter_ns, values[draw() % size]))


def _scaled(jitter_ns: int, value: int) -> int:
    """`value`/8192 of the jitter, rounded as tabledist does: halves away from zero."""
    whole, rest = divmod(jitter_ns, SCALE)
    part = (abs(rest * value) + SCALE // 2) // SCALE
    return whole * value + (part if value >= 0 else -part)
