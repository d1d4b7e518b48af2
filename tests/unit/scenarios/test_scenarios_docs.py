"""docs/scenarios.md has a section for every scenario."""

from __future__ import annotations

from pathlib import Path

from netlab.scenarios.catalogue import SCENARIOS

_PAGE = Path(__file__).parents[3] / "docs" / "scenarios.md"


def test_every_scenario_has_a_section() -> None:
    titles = [line[3:] for line in _PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("## ")]
    assert titles == list(SCENARIOS)
