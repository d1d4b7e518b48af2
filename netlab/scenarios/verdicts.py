"""How a measurement becomes a verdict.

What "about" means is written here once: within the guide's range, or within TOLERANCE of its figure, a
claim holds; within NEAR of it, partly; past that it is refuted. A capture that lost packets proves
nothing: every verdict is then `not run`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from netlab.trace.claim import Claim, Verdict

TOLERANCE = 0.10
NEAR = 0.25


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule found: in words, the verdict, and the frames that prove it, by variant."""

    measured: str
    verdict: Verdict
    evidence: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def band(value: float, low: float, high: float) -> Verdict:
    """`holds` from `low` to `high`; `partly` within NEAR of the nearest bound; else `refuted`."""
    if low <= value <= high:
        return Verdict.HOLDS
    return Verdict.PARTLY if low * (1 - NEAR) <= value <= high * (1 + NEAR) else Verdict.REFUTED


def about(value: float, figure: float) -> Verdict:
    """`band` of `figure` ± TOLERANCE."""
    return band(value, figure * (1 - TOLERANCE), figure * (1 + TOLERANCE))


def claim(
    number: str, guide: str, statement: str, expected: str, found: Finding | None, flaws: Sequence[str]
) -> Claim:
    """The claim `number` of the guide's section, with its verdict: `not run` where nothing was found, or
    the run has `flaws` (`Run.flaws`)."""
    if found is None:
        found = Finding("not measured in this run", Verdict.NOT_RUN)
    if flaws and found.verdict is not Verdict.NOT_RUN:
        measured = f"{' and '.join(flaws)}; what is there says {found.measured}"
        found = Finding(measured, Verdict.NOT_RUN, found.evidence)
    return Claim(number, guide, statement, expected, found.measured, found.verdict, dict(found.evidence))
