"""What a scenario leaves: its run directory, and what its judge finds in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from netlab.errors import InputError
from netlab.model.suggest import nearest
from netlab.scenarios.catalogue import SCENARIOS
from netlab.scenarios.scenario import Scenario
from netlab.trace.findings import Findings
from netlab.trace.recording import Recording
from netlab.trace.run import Run


@dataclass(frozen=True, slots=True)
class Outcome:
    """`run` is what ran; `findings` are computed from `recording`, what `folder` holds."""

    folder: Path
    run: Run
    findings: Findings
    recording: Recording


def outcome(folder: Path) -> Outcome:
    """Of a run directory, without root and without the lab.

    Raises CaptureError where the directory is damaged, InputError for a scenario that isn't known.
    """
    read = Recording.load(folder)
    try:
        found = scenario(read.run.scenario)
    except InputError:
        raise InputError(f"{folder}: a run of the unknown scenario {read.run.scenario!r}") from None
    return Outcome(folder, read.run, found.judge(read), read)


def scenario(name: str) -> Scenario:
    """By its name. Raises InputError."""
    if name not in SCENARIOS:
        raise InputError(f"no scenario {name!r}", nearest(name, SCENARIOS) or "see: netlab trace --list")
    return SCENARIOS[name]
