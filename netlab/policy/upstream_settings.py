"""What an operator may change of upstreams while they are used, as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast, get_args

from netlab.errors import InputError
from netlab.model.roles import Algorithm
from netlab.model.suggest import nearest

KEYS = ("algorithm", "weights", "drain", "passive")
Find = Callable[[str], Sequence[str]]  # a name as the user says it ─► upstreams; none where it is unknown


@dataclass(frozen=True, slots=True)
class Changes:
    """`weights`: of those that change. `drain`: all that are drained from now on. `passive`: how many
    failures in a row eject. None: as it is."""

    algorithm: Algorithm | None = None
    weights: Mapping[str, int] = field(default_factory=dict)
    drain: frozenset[str] | None = None
    passive: int | None = None


def read_changes(settings: Mapping[str, str], find: Find) -> Changes:
    """`weights=app-1:3,app-2:1`, `drain=app-2` (`drain=` nobody), `algorithm=least-connections`, `passive=1`.

    Raises InputError where a key, an upstream, a weight or an algorithm is unknown.
    """
    for key in settings:
        if key not in KEYS:
            raise InputError(f"upstreams have no setting {key}", nearest(key, KEYS, "settings"))
    return Changes(
        _algorithm(settings.get("algorithm", "")),
        _weights(settings.get("weights", ""), find),
        _upstreams(settings["drain"], find) if "drain" in settings else None,
        _count(settings["passive"]) if "passive" in settings else None,
    )


def joined(key: str, values: Sequence[str]) -> str:
    """One setting of several groups: lists of upstreams are put together.

    Raises InputError where they differ in what is one word: it could not be restored.
    """
    if key in ("weights", "drain"):
        return ",".join(dict.fromkeys(part for value in values for part in _parts(value)))
    if len(set(values)) > 1:
        raise InputError(f"the routes differ in {key}: {', '.join(values)}", "change it in the topology")
    return values[0]


def _algorithm(text: str) -> Algorithm | None:
    known = get_args(Algorithm)
    if text and text not in known:
        raise InputError(f"there is no algorithm {text}", nearest(text, known, "algorithms"))
    return cast("Algorithm", text) if text else None


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise InputError(f"passive={text} is not a number of failures", "1 or more; 0 for never")
    return int(text)


def _weights(text: str, find: Find) -> dict[str, int]:
    weights: dict[str, int] = {}
    for part in _parts(text):
        name, _, weight = part.rpartition(":")
        if not name or not (weight.isascii() and weight.isdigit()) or int(weight) < 1:
            raise InputError(f"`{part}` is not a weight", "write weights=app-1:3,app-2:1; 1 is the least")
        weights |= dict.fromkeys(_found(name, find), int(weight))
    return weights


def _upstreams(text: str, find: Find) -> frozenset[str]:
    return frozenset(one for part in _parts(text) for one in _found(part, find))


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _found(name: str, find: Find) -> Sequence[str]:
    found = find(name)
    if not found:
        raise InputError(f"{name} is no upstream here", "name its node, or its address and port")
    return found
