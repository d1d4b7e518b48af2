"""What a supervisor is told to bring up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from netlab.model.topology import Topology
from netlab.plan.ops import Plan


@dataclass(frozen=True)
class Order:
    """What is to be brought up. `pid` is the supervisor's own on the host."""

    name: str
    directory: Path
    topology: Topology
    plan: Plan
    seed: int
    pid: int
