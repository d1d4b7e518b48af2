"""YAML with a place for every key and value.

A subset of YAML 1.2 (https://yaml.org/spec/1.2.2/, core schema, section 10.3): `true`, `false`, `null`,
integers and floats are what they seem, everything else is text, so that `no`, `on` and the MAC address
`10:22:33:44:55:16` stay as they are written. Anchors, aliases, tags and repeated keys are refused: a
reader should see what a file says at the place where it says it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from netlab.errors import Problem, TopologyError

Path = tuple[str | int, ...]
Place = tuple[int, int]  # line and column, from 1

MAX_DEPTH = 32
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CONSTANTS: dict[str, bool | None] = {"": None, "~": None, "null": None, "true": True, "false": False}
_CONSTANTS |= {word.upper(): _CONSTANTS[word] for word in ("null", "true", "false")}
_CONSTANTS |= {word.title(): _CONSTANTS[word] for word in ("null", "true", "false")}
_INTEGER = re.compile(r"[-+]?[0-9]+\Z|0x[0-9a-fA-F]+\Z|0o[0-7]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")


class _Broken:
    """What stands where a value could not be read; a problem about it is already reported."""

    def __repr__(self) -> str:
        return "BROKEN"


BROKEN = _Broken()


@dataclass(slots=True)
class Document:
    """A YAML document: plain values, and where each is written.

    `keys` has the places of mapping keys, `values` those of values; both by path from the root.
    """

    file: str
    root: Any = None
    keys: dict[Path, Place] = field(default_factory=dict)
    values: dict[Path, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def place(self, path: Path) -> Place:
        """Where the value at `path` is written; where it has none, the nearest thing around it."""
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, (1, 1))

    def key_place(self, path: Path) -> Place:
        """Where the key at `path` is written; for an item of a list, where the item starts."""
        return self.keys.get(path) or self.place(path)


def parse(text: str, file: str) -> Document:
    """The document in `text`. Raises TopologyError where it isn't YAML.

    What is YAML but refused (anchors, tags, repeated keys) is in `problems`; its values are BROKEN,
    so that the rest can still be checked.
    """
    document = Document(file)
    try:
        _Builder(document, text).build()
    except yaml.MarkedYAMLError as error:
        raise TopologyError((_syntax_problem(file, text, error),)) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - (text.rfind("\n", 0, error.position) + 1) + 1
        raise TopologyError((Problem(file, line, column, f"broken YAML: {error.reason}"),)) from error
    return document


def _syntax_problem(file: str, text: str, error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    before = (text.splitlines() or [""])[min(line, len(text.splitlines()) or 1) - 1][:column]
    said = " ".join(part for part in (error.context, error.problem) if part)
    hint = "indent with spaces, not tabs" if "\t" in before else ""
    return Problem(file, line, column, f"broken YAML: {said}", hint)


class _Builder:
    """Turns parser events into values; recursive, to a depth that no sensible file reaches."""

    def __init__(self, document: Document, text: str) -> None:
        self.document = document
        self.events: Iterator[Any] = yaml.parse(text, Loader=_LOADER)

    def build(self) -> None:
        next(self.events)  # StreamStart
        event = next(self.events)
        if isinstance(event, yaml.StreamEndEvent):
            return
        self.document.root = self._value(next(self.events), ())
        next(self.events)  # DocumentEnd
        event = next(self.events)
        if not isinstance(event, yaml.StreamEndEvent):
            self._refuse(event, "a second document", "one file holds one topology")

    def _value(self, event: Any, path: Path) -> Any:
        mark = event.start_mark
        self.document.values[path] = (mark.line + 1, mark.column + 1)
        if isinstance(event, yaml.AliasEvent):
            return self._refuse(event, f"alias `*{event.anchor}`", "write the value out")
        refused = self._decorated(event)
        value: Any
        if isinstance(event, yaml.ScalarEvent):
            value = event.value if event.style else _scalar(event.value)
        elif len(path) >= MAX_DEPTH:
            raise yaml.composer.ComposerError(None, None, f"nested deeper than {MAX_DEPTH} levels", mark)
        elif isinstance(event, yaml.MappingStartEvent):
            value = self._mapping(path)
        else:
            value = self._sequence(path)
        return BROKEN if refused else value

    def _decorated(self, event: Any) -> bool:
        if event.anchor:
            self._refuse(event, f"anchor `&{event.anchor}`", "write the value out where it is used")
        if event.tag:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self._refuse(event, f"tag `{tag}`", "leave it out; put text in quotes")
        return bool(event.anchor or event.tag)

    def _sequence(self, path: Path) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self._value(event, (*path, len(items))))
        return items

    def _mapping(self, path: Path) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise yaml.composer.ComposerError(None, None, "a key must be plain text", event.start_mark)
            self._decorated(event)
            self._entry(entries, event, (*path, event.value))
        return entries

    def _entry(self, entries: dict[str, Any], event: Any, path: Path) -> None:
        key = event.value
        if key in entries:
            line = self.document.keys[path][0]
            self._refuse(event, f"key `{key}` again", f"it is already in line {line}")
            self._value(next(self.events), (*path, "<again>"))
            return
        self.document.keys[path] = (event.start_mark.line + 1, event.start_mark.column + 1)
        entries[key] = self._value(next(self.events), path)

    def _refuse(self, event: Any, what: str, suggestion: str) -> _Broken:
        mark = event.start_mark
        self.document.problems.append(
            Problem(self.document.file, mark.line + 1, mark.column + 1, what, suggestion)
        )
        return BROKEN


def _scalar(text: str) -> Any:
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.match(text):
        return int(text, 10 if text.lstrip("+-").isdigit() else 0)
    return float(text) if _FLOAT.match(text) else text
