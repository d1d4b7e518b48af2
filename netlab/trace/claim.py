"""A claim: a statement of the guide, what was measured, and the verdict. The rules are with the scenarios."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """`not run`: the capture can't say, because packets are missing from it or nothing was measured."""

    HOLDS = "holds"
    PARTLY = "partly"
    REFUTED = "refuted"
    NOT_RUN = "not run"


@dataclass(frozen=True, slots=True)
class Claim:
    """`guide`: the section's number. `evidence`: variant ─► frame numbers of trace.pcapng."""

    id: str
    guide: str
    statement: str
    expected: str
    measured: str
    verdict: Verdict
    evidence: Mapping[str, tuple[int, ...]]
