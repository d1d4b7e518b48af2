"""From what a topology says of a link to its Link: the medium, what overrides it, and its files."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Any, Literal

from netlab.model import distributions, playback
from netlab.model.check_impairment import (
    MAX_DELAY_NS,
    MAX_RATE_BPS,
    correlation_oddities,
    default_limit,
    faults,
    short_of_line,
)
from netlab.model.draft import Draft
from netlab.model.impairment import FourState, GilbertElliott, Impairment, Slot
from netlab.model.link_entries import GemodelEntry, LinkEntry, LossEntry, SlotEntry, StateEntry
from netlab.model.media import DEFAULT, media
from netlab.model.medium import Medium
from netlab.model.playback import Playback
from netlab.model.suggest import nearest
from netlab.model.topology import Endpoint, Link
from netlab.model.units import format_length
from netlab.model.yaml import Path

Direction = Literal["up", "down"]
Fields = dict[str, Any]

_DIRECTIONS: tuple[Direction, ...] = ("up", "down")
_PLAIN = {  # key ─► field of Impairment
    "delay": "delay_ns",
    "jitter": "jitter_ns",
    "delay_correlation": "delay_correlation",
    "rate": "rate_bps",
    "overhead": "rate_overhead_bytes",
    "cell_size": "cell_bytes",
    "cell_overhead": "cell_overhead_bytes",
    "limit": "limit_packets",
    "ecn": "ecn",
}


_NOTHING = Playback((), 0)


def resolve_link(draft: Draft, path: Path, entry: LinkEntry, ends: tuple[Endpoint, Endpoint]) -> Link:
    """The link; problems and warnings go to the draft."""
    medium = _medium(draft, path, entry)
    mtu = entry.mtu or medium.mtu
    link = Link(
        ends=ends, medium=medium.name, mtu=mtu, offload=entry.offload, backend=entry.backend,
        playback=_playbacks(draft, path, entry),
    )  # fmt: skip
    said: set[str] = set()  # the two directions of one value are one problem
    found: dict[str, Impairment] = {}
    for direction in _DIRECTIONS:
        fields = _fields(draft, path, entry, direction)
        seed = entry.seed if entry.seed is not None else draft.entry.seed
        if seed is not None:
            fields["seed"] = derived_seed(seed, link.name, direction)
        base = _over_distance(medium, direction, entry)
        one = _overridden(base, fields, mtu, link.playback.get(direction))
        named = getattr(entry.playback, direction, None) is not None
        _check(draft, path, one, link.playback.get(direction) if named else _NOTHING, said)
        warning = short_of_line(one, mtu)
        if "limit_packets" in fields and warning and warning not in said:
            said.add(warning)
            draft.warn((*path, "limit"), warning)
        for field, oddity in correlation_oddities(one):
            if oddity not in said:
                said.add(oddity)
                draft.warn((*path, field), oddity)
        found[direction] = one
    return link.model_copy(update=found)


def derived_seed(seed: int, link: str, direction: str) -> int:
    """A direction's own seed: 64 bits of a SHA-256, so that directions and links are independent."""
    return int.from_bytes(sha256(f"{seed}/{link}/{direction}".encode()).digest()[:8], "big")


def _medium(draft: Draft, path: Path, entry: LinkEntry) -> Medium:
    medium = media.get(entry.medium)
    if medium is None:
        known = nearest(entry.medium, media, "media")
        draft.add((*path, "medium"), f"unknown medium `{entry.medium}`", known)
        return media[DEFAULT]
    if entry.length is not None:
        _check_length(draft, (*path, "length"), entry, medium, entry.length)
    return medium


def _check_length(draft: Draft, path: Path, entry: LinkEntry, medium: Medium, length_m: int) -> None:
    if entry.delay is not None:
        draft.add(path, "length and delay at once", "the length gives the delay; leave one of them out")
    elif not medium.ns_per_km:
        draft.add(path, f"`{medium.name}` has a delay of its own, whatever its length", "write `delay`")
    elif medium.reach_m and length_m > medium.reach_m:
        reach = format_length(medium.reach_m)
        draft.add(path, f"`{medium.name}` reaches {reach}, not {format_length(length_m)}")
    elif medium.propagation_ns(length_m) > MAX_DELAY_NS:
        draft.add(path, f"length {format_length(length_m)} is more than 600s of delay")


def _over_distance(medium: Medium, direction: Direction, entry: LinkEntry) -> Impairment:
    base: Impairment = getattr(medium, direction)
    metres = medium.length_m if entry.length is None else entry.length
    delay_ns = base.delay_ns + medium.propagation_ns(metres)
    return replace(base, delay_ns=min(delay_ns, MAX_DELAY_NS))  # more is a problem of the length already


def _overridden(base: Impairment, fields: Fields, mtu: int, played: Playback | None) -> Impairment:
    """`base` with `fields`, what follows from them, and a queue for the longest and fastest of its times."""
    if "delay_ns" in fields and "jitter_ns" not in fields:
        fields["jitter_ns"] = min(base.jitter_ns, fields["delay_ns"])
    if fields.get("jitter_ns") == 0:  # what the medium says of its jitter goes with it
        base = replace(base, distribution="uniform", delay_correlation=0.0)
    one = replace(base, **fields)
    if "limit_packets" in fields:
        return one
    changes = [step.changes for step in played.steps] if played else []
    delay_ns = max([one.delay_ns, *(step.get("delay_ns", 0) for step in changes)])
    rate_bps = max([one.rate_bps, *(step.get("rate_bps", 0) for step in changes)])
    return replace(one, limit_packets=default_limit(delay_ns, rate_bps, mtu))


def _check(draft: Draft, path: Path, one: Impairment, played: Playback | None, said: set[str]) -> None:
    """Whatever the link is at any time must be possible. `played`: None where its trace wasn't read."""
    times = [(one, ""), *_played(one, played or _NOTHING)]
    traced = played is None or (played.steps and "rate_bps" in played.steps[0].changes)
    if traced and not one.rate_bps:
        times[0] = (replace(one, rate_bps=MAX_RATE_BPS), "")  # its overhead has a base: the trace's rate
    for state, place in times:
        for fault in faults(state):
            if fault.message not in said:
                said.add(fault.message)
                where = (*path, "playback" if place else fault.word)
                draft.add(where, f"{place}{fault.message}", fault.suggestion)


def _played(one: Impairment, played: Playback) -> list[tuple[Impairment, str]]:
    found: list[tuple[Impairment, str]] = []
    for step in played.steps:
        one = replace(one, **step.changes)
        found.append((one, f"line {step.line} of the trace: "))
    return found


def _fields(draft: Draft, path: Path, entry: LinkEntry, direction: Direction) -> Fields:
    """The fields of Impairment that the entry says for this direction."""

    def given(key: str) -> Any:
        return getattr(getattr(entry, key), direction, None)

    fields = {field: given(key) for key, field in _PLAIN.items() if given(key) is not None}
    if (distribution := given("distribution")) is not None:
        fields |= {"distribution": distribution, "table": _table(draft, path, distribution)}
    if (loss := given("loss")) is not None:
        fields |= _loss(loss)
    for key in ("duplicate", "corrupt", "reorder"):
        if (share := given(key)) is not None:
            fields |= {key: share.share, f"{key}_correlation": share.correlation or 0.0}
    if (reorder := given("reorder")) is not None:
        fields["reorder_gap"] = reorder.gap or 0
    if (slot := given("slot")) is not None:
        fields["slot"] = _slot(slot)
    return fields


def _loss(entry: LossEntry) -> Fields:
    model: GilbertElliott | FourState | None = None
    if entry.gemodel is not None:
        model = _gemodel(entry.gemodel)
    elif entry.state is not None:
        model = _state(entry.state)
    return {
        "loss": entry.random or 0.0, "loss_correlation": entry.correlation or 0.0, "loss_model": model
    }  # fmt: skip


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _gemodel(entry: GemodelEntry) -> GilbertElliott:
    return GilbertElliott(
        entry.p, _or(entry.r, 1 - entry.p), _or(entry.bad_loss, 1.0), _or(entry.good_loss, 0.0)
    )


def _state(entry: StateEntry) -> FourState:
    p31 = _or(entry.p31, 1 - entry.p13)
    return FourState(entry.p13, p31, _or(entry.p32, 0.0), _or(entry.p23, 1.0), _or(entry.p14, 0.0))


def _slot(entry: SlotEntry) -> Slot:
    high = entry.min if entry.max is None else entry.max
    return Slot(entry.min, high, entry.packets or 0, entry.bytes or 0)


def _table(draft: Draft, path: Path, name: str) -> tuple[int, ...]:
    if not distributions.is_file(name):
        return ()
    return draft.read((*path, "distribution"), name, distributions.read) or ()


def _playbacks(draft: Draft, path: Path, entry: LinkEntry) -> dict[Direction, Playback]:
    found: dict[Direction, Playback] = {}
    for direction in _DIRECTIONS:
        name: str | None = getattr(entry.playback, direction, None)
        played = draft.read((*path, "playback"), name, playback.load) if name else None
        if played is not None:
            found[direction] = played
    return found
