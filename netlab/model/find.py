"""Topology files by path, and the shipped ones by their bare names."""

from __future__ import annotations

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

    Raises InputError where there is neither, with the nearest shipped name.
    """
    path = Path(name_or_path)
    known = shipped()
    if path.is_file():
        return path
    if name_or_path in known:
        return known[name_or_path]
    what = "is a directory" if path.is_dir() else "no such file, and no shipped topology of that name"
    raise InputError(f"{name_or_path}: {what}", nearest(name_or_path, known, "shipped topologies"))
