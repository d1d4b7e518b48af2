"""What the recorder leaves in a directory for the assembly: pcap files and counts per interface.

An interface has a file for what it received and one for what it sent: pcap has no place for a packet's
direction. A ring has several of each, whose names say how many packets there were before.
"""

from __future__ import annotations

import re
import resource
from pathlib import Path
from typing import Literal, NamedTuple, TypedDict
from urllib.parse import quote

from netlab.errors import InputError
from netlab.model.units import size_bytes

_SMALLEST_PIECE = 64 * 1024
_FEWEST_PIECES, _MOST_PIECES = 2, 1000
_RING_REMEDY = f"SIZE×COUNT, such as 100MB×10: at least 64KB, and {_FEWEST_PIECES} to {_MOST_PIECES} files"

Direction = Literal["in", "out"]
DIRECTIONS: tuple[Direction, ...] = ("in", "out")


class Counts(TypedDict):
    """`packets` are in the files; `dropped` were lost, as the kernel had no room for them; -1:
    unknown, as the recorder died."""

    node: str
    interface: str
    packets: int
    dropped: int


class Piece(NamedTuple):
    """A file of a ring. `before`: how many packets its interface's direction had before it."""

    path: Path
    number: int
    before: int


class RingSize(NamedTuple):
    """How much of an interface stays: the newest `files` of `size` bytes."""

    size: int
    files: int


def ring_size(text: str) -> RingSize:
    """Of `100MB×10`; x and * stand for ×. Raises InputError."""
    size, times, files = re.sub("[x*]", "×", text.lower()).replace(" ", "").partition("×")
    try:
        found = RingSize(size_bytes(size), int(files) if times else 0)
    except ValueError as error:
        raise InputError(f"a ring of {text!r}", _RING_REMEDY) from error
    if found.size < _SMALLEST_PIECE or not _FEWEST_PIECES <= found.files <= _MOST_PIECES:
        raise InputError(f"a ring of {text!r}", _RING_REMEDY)
    return found


def stem(node: str, interface: str) -> str:
    """NODE.INTERFACE as a file name: what is not a letter, digit, `-`, `_`, `.` or `~` becomes %XX."""
    return f"{quote(node, safe='')}.{quote(interface, safe='')}"


def raw(directory: Path, node: str, interface: str, direction: Direction) -> Path:
    """The pcap file of what one interface received or sent."""
    return directory / f"{stem(node, interface)}.{direction}.pcap"


def piece(whole: Path, number: int, before: int) -> Path:
    """A ring's file with this number, instead of the `whole` one that `raw` names."""
    return whole.with_name(f"{whole.stem}.{number:06d}-{before}.pcap")


def pieces(whole: Path) -> list[Piece]:
    """The files that there are instead of, or as, the one that `raw` names; the oldest first."""
    found = [Piece(whole, 0, 0)] if whole.exists() else []
    for path in whole.parent.glob(f"{whole.stem}.*-*.pcap"):
        number, _, before = path.stem.removeprefix(f"{whole.stem}.").partition("-")
        if number.isdecimal() and before.isdecimal():
            found.append(Piece(path, int(number), int(before)))
    return sorted(found, key=lambda one: one.number)


def allow_descriptors(more: int) -> None:
    """Raises the soft limit of open files by so many, as far as the hard limit lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY:
        wanted = soft + more if hard == resource.RLIM_INFINITY else min(soft + more, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
