"""Trace-driven links: files that say how a link changes over time.

Two formats. A *packet-delivery trace* as mahimahi's mm-link reads it: one whole number of milliseconds
a line, never going back; each line is an opportunity to deliver 1500 bytes; after the last one it starts
again (mm-link(1); R. Netravali et al., "Mahimahi: Accurate Record-and-Replay for HTTP", 2015). And *CSV*:
`time` and any of `rate`, `delay`, `jitter`, `loss`, in the words and units of a topology. Its last row may
be a time alone, the end; else it lasts as long as the row before it.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from netlab.errors import Problem, TopologyError
from netlab.model.suggest import nearest
from netlab.model.text_file import read_text
from netlab.model.units import duration_ns, probability, rate_bps

PACKET_BYTES = 1500  # what one opportunity delivers
WINDOW_MS = 100  # opportunities are counted over so long: a frame or more at 0.12 Mbit/s, and one RTT or less
MAX_MS = 7 * 24 * 3600 * 1000

_COLUMNS: dict[str, tuple[str, Callable[[object], Any]]] = {
    "rate": ("rate_bps", rate_bps),
    "delay": ("delay_ns", duration_ns),
    "jitter": ("jitter_ns", duration_ns),
    "loss": ("loss", probability),
}


@dataclass(frozen=True, slots=True)
class Step:
    """From `at_ns` on, these fields of the link's Impairment have these values; the others stay.

    `line`: where the file says it, from 1.
    """

    at_ns: int
    changes: Mapping[str, Any]
    line: int = 0


@dataclass(frozen=True, slots=True)
class Playback:
    """Steps in the order of their times; the first is at 0.

    It lasts `period_ns`, which is later than the last step; whoever repeats it starts again then.
    """

    steps: tuple[Step, ...]
    period_ns: int


def load(path: Path) -> Playback:
    """The playback in a file: CSV where its first line has a word `time`, else a packet-delivery trace.

    Raises InputError where it can't be read, TopologyError with the file and line of what is wrong.
    """
    return loads(read_text(path, "a trace file"), str(path))


def loads(text: str, filename: str) -> Playback:
    """The playback in `text`; `filename` is for the places of problems. Raises TopologyError."""
    lines = text.splitlines()
    words = next((line for line in lines if line.strip()), "").replace(",", " ").lower().split()
    if not words:
        raise _wrong(filename, 1, "the file is empty", "a trace has a time on each line")
    if any(word.isalpha() for word in words):
        return _table(lines, filename)
    if "," in next(line for line in lines if line.strip()):
        raise _wrong(filename, 1, "a table without a head", "write one, such as time,rate,delay,loss")
    return _deliveries(lines, filename)


def _wrong(filename: str, line: int, message: str, suggestion: str = "") -> TopologyError:
    return TopologyError((Problem(filename, line, 1, message, suggestion),))


def _deliveries(lines: list[str], filename: str) -> Playback:
    """A step lasts 100 ms, or as long as it takes to have an opportunity: a rate is never nothing."""
    times = _times(lines, filename)
    end = times[-1][0]
    counted = [(-(-max(at, 1) // WINDOW_MS) * WINDOW_MS, line) for at, line in times]
    steps: list[Step] = []
    start = 0
    for stop, group in groupby(counted, key=lambda one: one[0]):
        packets = list(group)
        until = min(stop, end)
        rate = round(len(packets) * PACKET_BYTES * 8 * 1000 / (until - start))
        if not steps or steps[-1].changes["rate_bps"] != rate:
            steps.append(Step(start * 1_000_000, {"rate_bps": rate}, packets[0][1]))
        start = until
    return Playback(tuple(steps), end * 1_000_000)


def _times(lines: list[str], filename: str) -> list[tuple[int, int]]:
    """The opportunities: (ms, line)."""
    found: list[tuple[int, int]] = []
    for number, line in enumerate(lines, 1):
        word = line.strip()
        if not word:
            if any(rest.strip() for rest in lines[number:]):
                raise _wrong(filename, number, "an empty line between others", "leave it out")
            break
        if not (word.isascii() and word.removeprefix("-").isdigit()):
            raise _wrong(filename, number, f"`{word[:40]}` is not a whole number of milliseconds")
        if len(word) > 12 or not 0 <= int(word) <= MAX_MS:
            raise _wrong(filename, number, f"{word[:40]} ms is not a time from 0 to {MAX_MS} ms (a week)")
        if found and int(word) < found[-1][0]:
            raise _wrong(filename, number, f"time goes back from {found[-1][0]} to {word} ms")
        found.append((int(word), number))
    if found[-1][0] == 0:
        raise _wrong(filename, found[-1][1], "the trace ends at 0 ms", "it must last for some time")
    return found


def _table(lines: list[str], filename: str) -> Playback:
    rows = [(number, cells) for number, cells in _rows(lines, filename) if cells]
    (first, head), rows = rows[0], rows[1:]
    names = _head(head, filename, first)
    if not rows:
        raise _wrong(filename, first, "no row after the head", "write one for each change")
    steps: list[Step] = []
    rows[-1][1].extend([""] * (len(names) - len(rows[-1][1])))  # the end may be a time alone
    for number, cells in rows:
        if len(cells) != len(names):
            raise _wrong(filename, number, f"{len(cells)} cells in a row; the head has {len(names)}")
        values = dict(zip(names, cells, strict=True))
        at_ns = _time(values.pop("time"), filename, number)
        _require_order(at_ns, steps, filename, number)
        if steps and number == rows[-1][0] and not any(values.values()):
            return Playback(tuple(steps), at_ns)
        steps.append(Step(at_ns, _changes(values, filename, number), number))
    if len(steps) == 1:
        raise _wrong(filename, steps[0].line, "nobody knows when it ends", "add a last row: its time alone")
    return Playback(tuple(steps), 2 * steps[-1].at_ns - steps[-2].at_ns)


def _rows(lines: list[str], filename: str) -> list[tuple[int, list[str]]]:
    reader = csv.reader(lines, strict=True)
    try:
        return [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        raise _wrong(filename, reader.line_num, f"broken CSV: {error}") from error


def _head(cells: list[str], filename: str, line: int) -> list[str]:
    names = [cell.lower() for cell in cells]
    for name in names:
        if name not in ("time", *_COLUMNS):
            raise _wrong(
                filename, line, f"unknown column `{name}`", nearest(name, ("time", *_COLUMNS), "columns")
            )
        if names.count(name) > 1:
            raise _wrong(filename, line, f"column `{name}` again")
    if "time" not in names or len(names) < 2:
        raise _wrong(filename, line, "the head must name `time` and a column more", "time,rate,delay,loss")
    return names


def _time(cell: str, filename: str, line: int) -> int:
    bare = cell.replace(".", "", 1).isdigit() and cell.isascii()
    try:
        at_ns = duration_ns(f"{cell}s" if bare else cell)
    except ValueError as error:
        raise _wrong(filename, line, f"time {error}, or seconds alone, such as 1.5") from error
    if at_ns > MAX_MS * 1_000_000:
        raise _wrong(filename, line, f"time {cell} is past a week")
    return at_ns


def _require_order(at_ns: int, steps: list[Step], filename: str, line: int) -> None:
    if not steps and at_ns:
        raise _wrong(filename, line, "the first row is not at time 0", "say how the link starts")
    if steps and at_ns <= steps[-1].at_ns:
        before = f"that of line {steps[-1].line}"
        what = "is not later than" if at_ns == steps[-1].at_ns else "goes back before"
        raise _wrong(filename, line, f"time {what} {before}")


def _changes(values: dict[str, str], filename: str, line: int) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for name, cell in values.items():
        if not cell:
            raise _wrong(filename, line, f"`{name}` is empty", "only a last row with its time alone may be")
        field, parse = _COLUMNS[name]
        try:
            changes[field] = parse(cell)
        except ValueError as error:
            raise _wrong(filename, line, f"{name}: {error}") from error
    if changes.get("rate_bps", 1) == 0:
        raise _wrong(filename, line, "rate: 0 lets nothing pass", "write `loss` 100% for an outage")
    return changes
