"""A run directory: made for one run, gone if the run fails, and given to the user that called sudo."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from netlab.errors import InputError


def default_folder(scenario: str) -> Path:
    """./runs/SCENARIO-YYYYmmdd-HHMMSS, in local time; with -2, -3 … where that is there already."""
    base = Path("runs") / f"{scenario}-{time.strftime('%Y%m%d-%H%M%S')}"
    found, number = base, 1
    while found.exists():
        number += 1
        found = base.with_name(f"{base.name}-{number}")
    return found


@contextmanager
def run_folder(path: Path) -> Iterator[Path]:
    """Make `path` for a run. Raises InputError where it can't be made, or has something in it.

    If the body raises, what is in it is removed, and with it every directory that was made for it.
    In the end it belongs to the user that called sudo.
    """
    made = make(path)
    try:
        yield path
    except BaseException:
        _unmake(path, made)
        raise
    give(path, made)


def make(path: Path) -> tuple[Path, ...]:
    """Makes an empty directory; those that were made for it, the outermost first. Raises InputError where it
    can't be made, or has something in it."""
    missing = [one for one in (path, *path.parents) if not one.exists()]
    try:
        if not missing and any(path.iterdir()):
            raise InputError(f"{path} has something in it", "give a new directory: --out DIR")
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", "give another directory: --out DIR") from error
    return tuple(reversed(missing))


def _unmake(path: Path, made: tuple[Path, ...]) -> None:
    for child in path.iterdir():
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        else:
            child.unlink()
    for directory in reversed(made):
        if any(directory.iterdir()):
            return  # another run has put something there meanwhile
        directory.rmdir()


def give(path: Path, made: tuple[Path, ...]) -> None:
    """What is in `path`, and the directories that were `made`, to the user that called sudo.

    Symbolic links are never followed: the user's directory is not trusted by root.
    """
    owner = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
    if os.geteuid() != 0 or not all(part.isdecimal() for part in owner):
        return
    uid, gid = int(owner[0]), int(owner[1])
    for directory in made:
        os.chown(directory, uid, gid, follow_symlinks=False)
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            os.chown(Path(folder) / name, uid, gid, follow_symlinks=False)
