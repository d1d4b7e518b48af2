"""A measured table: what a scenario says besides the verdicts, each row with the packets that prove it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

Cell = str | int | float | None  # None: could not be measured; the notes say why


@dataclass(frozen=True, slots=True)
class Spread:
    """Several measurements of one thing: the median, and the least and the most of them."""

    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """None where there is none."""
        if not values:
            return None
        return cls(median(values), min(values), max(values), len(values))

    def text(self, digits: int = 1) -> str:
        """ "40.2 (39.9–41.0)"; one measurement has no spread."""
        middle = f"{self.median:.{digits}f}"
        if self.count == 1:
            return middle
        return f"{middle} ({self.low:.{digits}f}–{self.high:.{digits}f})"


@dataclass(frozen=True, slots=True)
class Row:
    """`evidence`: frame numbers of trace.pcapng."""

    cells: tuple[Cell, ...]
    evidence: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """Every row has a cell per column; units are in the columns' names."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
