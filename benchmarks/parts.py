"""A benchmark of several parts, one after another."""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import ModuleType


def run(parts: Sequence[tuple[str, ModuleType]]) -> None:
    """Each part's `main`, below its title; first what else the machine does."""
    cores = len(os.sched_getaffinity(0))
    print(f"{cores} cores; load average before: {', '.join(f'{one:.2f}' for one in os.getloadavg())}")
    for title, module in parts:
        print(f"\n{title}", flush=True)
        module.main()
