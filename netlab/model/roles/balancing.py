"""Which upstream is chosen, and which are left alone."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from netlab.model.roles.spec import Spec
from netlab.model.units import DurationNs


class Health(Spec):
    """Active TCP checks: up after `rise` successes, down after `fall` failures in a row."""

    interval_ns: DurationNs = Field(5_000_000_000, alias="interval")
    timeout_ns: DurationNs = Field(1_000_000_000, alias="timeout")
    rise: Annotated[int, Field(ge=1)] = 2
    fall: Annotated[int, Field(ge=1)] = 3


Algorithm = Literal[
    "round-robin", "weighted", "least-connections", "ip-hash", "consistent-hash", "random", "two-choices"
]
Weights = tuple[Annotated[int, Field(ge=1)], ...]


def check_weights(algorithm: Algorithm, weights: Weights, upstreams: tuple[str, ...]) -> None:
    """Raises ValueError where the weights don't fit."""
    if len(weights) != (len(upstreams) if algorithm == "weighted" else 0):
        raise ValueError("`weights` goes with `algorithm: weighted`, one for each upstream")


class Passive(Spec):
    """Passive checks: after `failures` requests in a row that failed (0: never) an upstream is left alone for
    `ejection`; at most `percent` of the upstreams at once."""

    failures: Annotated[int, Field(ge=0)] = 0
    ejection_ns: DurationNs = Field(10_000_000_000, alias="ejection")
    percent: Annotated[int, Field(ge=0, le=100)] = 50
