"""Topology files by path, and the shipped ones by their bare names."""

from __future__ import annotations

import stat
from pathlib import Path

import netlab
from netlab.errors import InputError
from netlab.model.suggest import nearest

_PACKAGE = Path(netlab.__file__).parent


def shipped() -> dict[str, Path]:
    """The topologies that come with netlab: name ─► file."""
    for folder in (_PACKAGE / "topologies", _PACKAGE.parent / "topologies"):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    return {}


def find(name_or_path: str) -> Path:
    """The file that `internet` or `dir/my.yaml` means. A file that exists wins over a shipped name.

    Raises InputError where there is neither, with the nearest shipped name, or where it can't be looked at.
    """
    known = shipped()
    kind = _kind(Path(name_or_path))
    if kind == "file":
        return Path(name_or_path)
    if name_or_path in known:
        return known[name_or_path]
    raise InputError(f"{_shown(name_or_path)}: {kind}", nearest(name_or_path, known, "shipped topologies"))


def _shown(name: str) -> str:
    return name if name.isprintable() and len(name) <= 100 else f"{name[:100]!r}"


def _kind(path: Path) -> str:
    """`file`, or what it is instead."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "no such file, and no shipped topology of that name"
    except OSError as error:
        return str(error.strerror).lower()
    except ValueError as error:  # a null byte in the name
        return str(error)
    if stat.S_ISREG(mode):
        return "file"
    return "is a directory" if stat.S_ISDIR(mode) else "is not a regular file"
