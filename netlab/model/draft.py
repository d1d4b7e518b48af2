"""A topology file on its way to a Topology: its shape is right, its problems are being collected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path as FilePath
from typing import Any, TypeVar

from pydantic import ValidationError

from netlab.errors import InputError, Problem, TopologyError
from netlab.model.entries import NodeEntry, TopologyEntry
from netlab.model.explain import Fault, faults, places
from netlab.model.yaml import Document, Path

Content = TypeVar("Content")

# Items that are checked one by one, so that a bad one doesn't hide its neighbours.
_ITEMS = ("interfaces", "roles", "nat", "routes", "sysctls")


@dataclass(slots=True)
class Draft:
    """`broken`: paths that were left out because of their shape; nothing more is said about them.

    `kept`: for a list from which items were left out, where its remaining items were in the file.
    `folder`: what the files that the topology names are relative to; None: they are not read.
    `warnings`: what is possible, but hardly meant.
    """

    document: Document
    entry: TopologyEntry
    problems: list[Problem]
    broken: set[Path] = field(default_factory=set)
    kept: dict[Path, list[int]] = field(default_factory=dict)
    folder: FilePath | None = None
    warnings: list[Problem] = field(default_factory=list)
    _read: dict[tuple[str, str], Any] = field(default_factory=dict)

    def add(self, path: Path, message: str, suggestion: str = "", at_key: bool = False) -> None:
        """Report a problem with what is at `path` of the entry."""
        original = self._in_file(path)
        find = self.document.key_place if at_key else self.document.place
        self.problems.append(Problem(self.document.file, *find(original), message, suggestion))

    def warn(self, path: Path, message: str, suggestion: str = "") -> None:
        """Warn of what is at `path` of the entry."""
        place = self.document.key_place(self._in_file(path))
        self.warnings.append(Problem(self.document.file, *place, message, suggestion))

    def read(self, path: Path, name: str, reader: Callable[[FilePath], Content]) -> Content | None:
        """What `reader` finds in the file that `path` of the entry names; None where it can't or mustn't.

        A file is read once, and its problems are told once, with their places in it.
        """
        if self.folder is None:
            return None
        key = (reader.__module__, name)
        if key not in self._read:
            self._read[key] = self._from_file(path, self.folder / name, reader)
        found: Content | None = self._read[key]
        return found

    def _from_file(self, path: Path, file: FilePath, reader: Callable[[FilePath], Content]) -> Content | None:
        try:
            return reader(file)
        except TopologyError as error:
            self.problems += error.problems
        except InputError as error:
            self.add(path, error.cause, error.remedy)
        return None

    def line(self, path: Path) -> int:
        """The line of what is at `path` of the entry."""
        return self.document.key_place(self._in_file(path))[0]

    def is_broken(self, *path: str | int) -> bool:
        """True where something at or under `path`, or `path` with all around it, was left out."""
        return any(cut[: len(path)] == path or path[: len(cut)] == cut for cut in self.broken)

    def _in_file(self, path: Path) -> Path:
        if not self.kept:
            return path
        found: Path = ()
        for index, step in enumerate(path):
            before = self.kept.get(path[:index])
            found = (*found, before[step] if before and isinstance(step, int) else step)
        return found


def draft(document: Document) -> Draft | None:
    """The draft of a document; None where its shape is beyond reading.

    Problems go to `document.problems`.
    """
    try:
        return Draft(document, TopologyEntry.model_validate(document.root), document.problems)
    except ValidationError as error:
        _report(document, faults(error, document.root))
        cuts = {_cut(path) for path in places(error, document.root)}
    if not isinstance(document.root, dict):
        return None
    kept: dict[Path, list[int]] = {}
    cuts.discard(())
    root = {"name": "unnamed", "nodes": {}, **_without(document.root, (), cuts, kept)}
    try:
        entry = TopologyEntry.model_validate(root)
    except ValidationError as error:
        raise AssertionError(f"cutting {sorted(map(str, cuts))} left a bad shape: {error}") from error
    missing: set[Path] = {(key,) for key in ("name", "nodes") if key not in document.root}
    return Draft(document, entry, document.problems, cuts | missing | _meant(cuts), kept)


def _meant(cuts: set[Path]) -> set[Path]:
    """The keys of nodes that were probably meant by unknown ones: what they should say isn't known."""
    meant: set[Path] = set()
    for path in cuts:
        if len(path) == 3 and path[0] == "nodes":
            close = get_close_matches(str(path[2]), NodeEntry.model_fields, n=1)
            meant |= {(*path[:2], key) for key in close}
    return meant


def _report(document: Document, found: list[Fault]) -> None:
    for fault in found:
        place = document.key_place(fault.path) if fault.at_key else document.place(fault.path)
        document.problems.append(Problem(document.file, *place, fault.message, fault.suggestion))


def _cut(path: Path) -> Path:
    """The smallest item around `path` that can be left out."""
    match path:
        case ("nodes", _, key, _, *_) if key in _ITEMS:
            return path[:4]
        case ("nodes", _, _, *_):
            return path[:3]
        case ("links", _, "ends", *_):
            return path[:2]
        case ("links", _, _, *_):
            return path[:3]
        case ("nodes" | "links", _):
            return path
    return path[:1]


def _without(value: Any, path: Path, cuts: set[Path], kept: dict[Path, list[int]]) -> Any:
    """A copy of `value` without what is at `cuts`."""
    if isinstance(value, dict):
        return {
            key: _without(inner, (*path, key), cuts, kept)
            for key, inner in value.items()
            if (*path, key) not in cuts
        }
    if isinstance(value, list):
        indices = [index for index in range(len(value)) if (*path, index) not in cuts]
        if len(indices) < len(value):
            kept[path] = indices
        return [_without(value[index], (*path, index), cuts, kept) for index in indices]
    return value
