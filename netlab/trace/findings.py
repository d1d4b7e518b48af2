"""What the judge of a scenario finds in a run."""

from __future__ import annotations

from dataclasses import dataclass

from netlab.trace.claim import Claim
from netlab.trace.load import Trace
from netlab.trace.table import Table


@dataclass(frozen=True, slots=True)
class Findings:
    """`trace`: the story of single requests, hop by hop, where the scenario tells one. `failed`: requests
    that got no answer, or an error status, with the reason."""

    tables: tuple[Table, ...] = ()
    claims: tuple[Claim, ...] = ()
    trace: Trace | None = None
    failed: tuple[str, ...] = ()
