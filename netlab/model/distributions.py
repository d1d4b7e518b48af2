"""Distributions of jitter: how far from the delay a frame's own delay may be, and how often.

A table holds the inverse of the distribution function at evenly spaced places: an entry drawn evenly is
a value drawn from the distribution. Its unit is 1/8192 of the jitter (NETEM_DIST_SCALE of
<linux/pkt_sched.h>), and each is held in 16 bits, so nothing is further out than 4 times the jitter.
Shapes and scales are those of tc (iproute2, netem/: normal, pareto, paretonormal, after NIST Net).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from statistics import NormalDist
from typing import Final

from netlab.errors import Problem, TopologyError
from netlab.model.text_file import read_text

SCALE: Final = 8192  # one jitter
SIZE: Final = 4096  # entries of the tables that are made here
LARGEST: Final = 32_767
SMALLEST: Final = -32_768
MOST: Final = 16_384  # NETEM_DIST_MAX: the entries that the kernel takes
NAMES: Final = ("uniform", "normal", "pareto", "paretonormal")

_SHAPE: Final = 3  # of the Pareto distribution with minimum 1: mean 3/2, standard deviation sqrt(3)/2


@cache
def table(name: str) -> tuple[int, ...]:
    """The table of `normal`, `pareto` or `paretonormal`; empty for `uniform`, which needs none.

    `normal` has mean 0 and a standard deviation of one jitter. `pareto` has mean 0 (but for the cut at
    4 jitters), a least value of -2/3 and a long tail. `paretonormal` is a quarter of normal and three of
    pareto, as measured paths often look. Raises KeyError for another name.
    """
    if name == "uniform":
        return ()
    quantile = {"normal": _normal, "pareto": _pareto, "paretonormal": _paretonormal}[name]
    return tuple(_held(quantile((entry + 0.5) / SIZE)) for entry in range(SIZE))


def _held(jitters: float) -> int:
    return max(SMALLEST, min(LARGEST, round(jitters * SCALE)))


def _normal(share: float) -> float:
    return NormalDist().inv_cdf(share)


def _pareto(share: float) -> float:
    """(1 - share)**(-1/3) less its mean of 3/2, times tc's scale of 4/3."""
    value: float = (1 - share) ** (-1 / _SHAPE)
    return (value - _SHAPE / (_SHAPE - 1)) * 4 / 3


def _paretonormal(share: float) -> float:
    return (_normal(share) + 3 * min(_pareto(share), LARGEST / SCALE)) / 4


def is_file(name: str) -> bool:
    """True where a distribution's name means a file: it has a `/`, or an ending as in `wifi.dist`."""
    return "/" in name or "." in name


def read(path: Path) -> tuple[int, ...]:
    """The table in a file of tc's `.dist` format: whole numbers, and lines of comment that start with #.

    Raises InputError where it can't be read, TopologyError with file and line where it is no table.
    """
    return parse(read_text(path, "a distribution's table"), str(path))


def parse(text: str, filename: str) -> tuple[int, ...]:
    """The table in `text`; `filename` is for the places of problems. Raises TopologyError."""
    found: list[int] = []
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        if line.startswith("#"):
            continue
        found += (_entry(word, filename, number, line) for word in line.split())
        if len(found) > MOST:
            raise _wrong(filename, number, 1, f"more than {MOST} numbers; the kernel takes no more")
    if len(found) < 2:
        what = "no numbers" if not found else "one number only"
        raise _wrong(filename, max(1, len(lines)), 1, f"{what}; a table has 2 to {MOST}")
    return tuple(found)


def _entry(word: str, filename: str, number: int, line: str) -> int:
    column = line.find(word) + 1
    if not (word.isascii() and word.removeprefix("-").isdigit()):
        message = f"`{word[:40]}` is not a whole number; a table has numbers and lines that start with #"
        raise _wrong(filename, number, column, message)
    if len(word) > 7 or not SMALLEST <= int(word) <= LARGEST:
        raise _wrong(filename, number, column, f"{word[:40]} is not from {SMALLEST} to {LARGEST}")
    return int(word)


def _wrong(filename: str, line: int, column: int, message: str) -> TopologyError:
    return TopologyError((Problem(filename, line, column, message),))
