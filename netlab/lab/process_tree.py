"""All processes under one, as /proc has them, to stop them and let them go on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from netlab.lab.roster import host_pid


def signal_tree(root: int, number: int) -> set[int]:
    """Send a signal to a process, which is this process's child, and to all below it; how they are known
    here (in this process's PID namespace).

    The root first, and again until there is nobody new, so that what forks meanwhile is met too.
    """
    met: set[int] = set()
    while new := {root, *_below(root)} - met:
        for pid in new:
            with suppress(ProcessLookupError):  # it ended by itself
                os.kill(pid, number)
        met |= new
    return met


def _below(root: int) -> set[int]:
    """Their PIDs in this process's PID namespace. /proc may be that of a namespace further up."""
    top = host_pid(root)
    if not top:
        return set()
    here = len(_names("self")) - 1
    children: dict[int, list[int]] = {}
    for pid, parent in _parents():
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    waiting = list(children.get(top, ()))
    while waiting:
        pid = waiting.pop()
        waiting += children.get(pid, ())
        try:
            found.add(_names(pid)[here])
        except (OSError, IndexError):  # it has ended
            continue
    return found


def _parents() -> Iterator[tuple[int, int]]:
    """(PID, its parent's) of every process, as proc(5) has them in /proc/PID/stat."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            stat = (entry / "stat").read_text(encoding="ascii", errors="replace")
        except OSError:
            continue
        yield int(entry.name), int(stat.rpartition(")")[2].split()[1])


def _names(pid: int | str) -> list[int]:
    """A process's PIDs, from the namespace of /proc down to its own."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    return [
        int(text) for line in status.splitlines() if line.startswith("NSpid:") for text in line.split()[1:]
    ]
