"""What a scenario leaves: its run directory, the trace and the verdicts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from netlab.errors import InputError
from netlab.scenarios.claims import rest_claims
from netlab.trace.claim import Claim
from netlab.trace.load import Trace

# Scenario ─► the rules of its claims. `netlab trace` knows the scenarios by this table.
RULES: dict[str, Callable[[Trace], tuple[Claim, ...]]] = {
    "rest": lambda trace: rest_claims(trace.variants, trace.run.flaws),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """`failed`: the requests that got no answer, or an error status, with the reason."""

    folder: Path
    trace: Trace
    claims: tuple[Claim, ...]
    failed: tuple[str, ...]


def outcome(folder: Path) -> Outcome:
    """Of a run directory, without root and without the lab.

    Raises CaptureError where the directory is damaged, InputError for a scenario that isn't known.
    """
    trace = Trace.load(folder)
    rules = RULES.get(trace.run.scenario)
    if rules is None:
        raise InputError(f"{folder}: a run of the unknown scenario {trace.run.scenario!r}")
    failed = tuple(
        f"{variant.name}: {variant.url} was answered with {variant.status}"
        for variant in trace.variants
        if variant.status >= 400
    )
    return Outcome(folder, trace, rules(trace), failed)
