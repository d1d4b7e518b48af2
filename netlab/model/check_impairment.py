"""What is impossible in an impairment, or more than netem can hold.

The bounds are those of <linux/pkt_sched.h> and net/sched/sch_netem.c; the relay keeps to them too, so
that a link means the same everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from netlab.model.impairment import FourState, GilbertElliott, Impairment, Slot
from netlab.model.units import format_duration, format_probability, format_rate

MAX_DELAY_NS: Final = 600_000_000_000
MAX_LIMIT: Final = 10_000_000
MAX_RATE_BPS: Final = 8 * (2**64 - 1)  # bytes per second in 64 bits
MIN_LIMIT: Final = 1000
_S32_MAX: Final = 2**31 - 1
_U32_MAX: Final = 2**32 - 1
_HEADER: Final = 14  # bytes of the shortest Ethernet frame that an interface shows
_NOMINAL_BPS: Final = 1_000_000_000  # sizes the queue of a link that has a delay but no rate


class Fault(NamedTuple):
    """`word`: the key of a topology, or the word of the command line, that is at fault."""

    word: str
    message: str
    suggestion: str = ""


def faults(one: Impairment) -> Iterator[Fault]:
    """Everything that is wrong with `one`; nothing for what both backends can do to the letter."""
    yield from _delay(one)
    yield from _loss(one)
    yield from _shares(one)
    yield from _reorder(one)
    yield from _rate(one)
    if one.slot is not None:
        yield from _slot(one.slot)
    if not 1 <= one.limit_packets <= MAX_LIMIT:
        yield Fault("limit", f"limit {one.limit_packets} is not from 1 to {MAX_LIMIT} packets")
    if one.ecn and not (one.loss or one.loss_model):
        yield Fault("ecn", "ecn without loss", "it marks what would be lost; say `loss` too")
    if one.seed is not None and not 0 <= one.seed < 2**64:
        yield Fault("seed", f"seed {one.seed} is not from 0 to 2^64 - 1")


def _delay(one: Impairment) -> Iterator[Fault]:
    delay, jitter = format_duration(one.delay_ns), format_duration(one.jitter_ns)
    if one.delay_ns > MAX_DELAY_NS:
        yield Fault("delay", f"delay {delay} is past {format_duration(MAX_DELAY_NS)}")
    elif one.jitter_ns > one.delay_ns:
        message = f"jitter {jitter} is more than the delay of {delay}"
        yield Fault("jitter", message, "a frame can't arrive before it is sent")
    elif one.jitter_ns > _S32_MAX:
        yield Fault("jitter", f"jitter {jitter} is past {format_duration(_S32_MAX)}, netem's most")
    if not one.jitter_ns and one.distribution != "uniform":
        yield Fault("distribution", "distribution without jitter", "say `jitter` too")
    if not one.jitter_ns and one.delay_correlation:
        yield Fault("delay_correlation", "delay_correlation without jitter", "say `jitter` too")


def _loss(one: Impairment) -> Iterator[Fault]:
    if one.loss_correlation and not one.loss:
        yield Fault("loss", "a correlation without random loss", "say how much is lost: `random`")
    match one.loss_model:
        case GilbertElliott(p, r, bad, good):
            if not p or not r:
                never = "never entered" if not p else "never left again"
                message = f"gemodel: with {'p' if not p else 'r'} of 0 the bad state is {never}"
                yield Fault("loss", message, "for random loss, write its share alone")
            if good > bad:
                shares = f"{format_probability(good)} of the good (1-k), {format_probability(bad)} of the bad"
                yield Fault("loss", f"gemodel: the good state loses more than the bad: {shares}")
        case FourState(p13, p31, p32, _, p14):
            if not p13 and not p14:
                yield Fault("loss", "state: with p13 and p14 of 0 nothing is ever lost")
            for name, total in (("p13 + p14", p13 + p14), ("p31 + p32", p31 + p32)):
                if total > 1 + 1e-9:
                    message = f"state: {name} is {format_probability(round(total, 6))}"
                    yield Fault("loss", message, "they leave the same state, so it is at most 100%")


def _shares(one: Impairment) -> Iterator[Fault]:
    for word in ("duplicate", "corrupt", "reorder"):
        if getattr(one, f"{word}_correlation") and not getattr(one, word):
            yield Fault(word, f"a correlation without {word}", "say the share too")
    for word in ("loss", "duplicate", "corrupt", "reorder"):
        share = getattr(one, word)
        if not 0 <= share <= 1:
            yield Fault(word, f"{word} of {format_probability(share)} is not from 0 to 100%")
        elif share and not round(share * _U32_MAX):
            least = format_probability(float(f"{1 / _U32_MAX:.2g}"))
            yield Fault(word, f"{word} of {format_probability(share)} is less than netem holds: {least}")


def _reorder(one: Impairment) -> Iterator[Fault]:
    if one.reorder and not one.delay_ns:
        yield Fault("reorder", "reorder without delay", "only a delayed frame can be overtaken")
    if one.reorder_gap and not one.reorder:
        yield Fault("reorder", "a gap without reorder", "say the share too")
    if not 0 <= one.reorder_gap <= _U32_MAX:
        yield Fault("reorder", f"gap {one.reorder_gap} is not from 0 to {_U32_MAX}")


def _rate(one: Impairment) -> Iterator[Fault]:
    if one.rate_bps and not 8 <= one.rate_bps <= MAX_RATE_BPS:
        rate = format_rate(one.rate_bps)
        yield Fault("rate", f"rate {rate} is not from 8bit to {format_rate(MAX_RATE_BPS)}, netem's bounds")
    for word, value in (
        ("overhead", one.rate_overhead_bytes),
        ("cell_size", one.cell_bytes),
        ("cell_overhead", one.cell_overhead_bytes),
    ):
        if value and not one.rate_bps:
            yield Fault(word, f"{word} without rate", "say `rate` too")
    if not -_HEADER <= one.rate_overhead_bytes <= 65_535:
        message = f"overhead {one.rate_overhead_bytes} is not from -{_HEADER} to 65535 bytes"
        yield Fault("overhead", message, "a frame has 14 bytes and more")
    if not 0 <= one.cell_bytes <= 65_535:
        yield Fault("cell_size", f"cell_size {one.cell_bytes} is not from 1 to 65535 bytes")
    elif one.cell_overhead_bytes and not one.cell_bytes:
        yield Fault("cell_overhead", "cell_overhead without cell_size", "say `cell_size` too")
    elif one.cell_bytes and not -one.cell_bytes < one.cell_overhead_bytes <= 65_535:
        bounds = f"{1 - one.cell_bytes} to 65535"
        yield Fault("cell_overhead", f"cell_overhead {one.cell_overhead_bytes} is not from {bounds} bytes")


def _slot(slot: Slot) -> Iterator[Fault]:
    low, high = format_duration(slot.min_ns), format_duration(slot.max_ns)
    if slot.max_ns == 0:
        yield Fault("slot", "slot of no time", "say how long it is until one opens, such as 10ms")
    elif slot.min_ns > slot.max_ns:
        yield Fault("slot", f"slot: min {low} is more than max {high}")
    elif slot.max_ns > MAX_DELAY_NS:
        yield Fault("slot", f"slot {high} is past {format_duration(MAX_DELAY_NS)}")
    elif slot.max_ns - slot.min_ns > _S32_MAX:
        message = f"slot: from {low} to {high} is a wider range than netem's {format_duration(_S32_MAX)}"
        yield Fault("slot", message)
    for word, value in (("packets", slot.packets), ("bytes", slot.bytes)):
        if not 0 <= value <= _S32_MAX:
            yield Fault("slot", f"slot: {word} {value} is not from 0 to {_S32_MAX}")


def in_flight(delay_ns: int, rate_bps: int, mtu: int) -> int:
    """The bandwidth-delay product in packets of `mtu` bytes: what a filled line holds."""
    return -(-rate_bps * delay_ns // (8 * mtu * 1_000_000_000))


def default_limit(delay_ns: int, rate_bps: int, mtu: int) -> int:
    """Twice the bandwidth-delay product in packets (one in flight, one queued), at least MIN_LIMIT."""
    return min(MAX_LIMIT, max(MIN_LIMIT, in_flight(2 * delay_ns, rate_bps or _NOMINAL_BPS, mtu)))


def short_of_line(one: Impairment, mtu: int) -> str:
    """Why `limit` keeps the line from being filled, as a sentence; empty where it doesn't."""
    needed = in_flight(one.delay_ns, one.rate_bps, mtu)
    if one.limit_packets >= needed:
        return ""
    return (
        f"limit {one.limit_packets} is below the bandwidth-delay product: {format_rate(one.rate_bps)} for "
        f"{format_duration(one.delay_ns)} is {needed} packets, so the line can't be filled"
    )


def correlation_oddities(one: Impairment) -> Iterator[tuple[str, str]]:
    """What netem's correlation does otherwise than it says: the field, and a sentence."""
    for word in ("loss", "duplicate", "corrupt", "reorder"):
        share = getattr(one, word)
        if getattr(one, f"{word}_correlation") and share < 0.5:
            better = "; for losses in bursts use `gemodel`" if word == "loss" else ""
            far_less = f"{word} happens far less often than its {format_probability(share)}{better}"
            yield word, f"correlated random numbers crowd around the middle, so {far_less}"
    if one.delay_correlation:
        yield "delay_correlation", "delay_correlation does hardly anything: netem keeps none of it in jitter"
