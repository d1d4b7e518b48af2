"""YAML ─► Topology: the only way to a Topology, or to all its problems at once."""

from __future__ import annotations

from pathlib import Path

from netlab.errors import InputError, Problem, TopologyError
from netlab.model.check_addresses import check_addresses
from netlab.model.check_nodes import check_nodes
from netlab.model.check_roles import check_roles
from netlab.model.draft import draft
from netlab.model.resolve import resolve
from netlab.model.segments import segments
from netlab.model.topology import Topology
from netlab.model.yaml import parse


def load(path: Path) -> Topology:
    """The topology in a file.

    Raises TopologyError with all problems in the order of their places, InputError where the file
    can't be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", "give the path of a topology file") from error
    try:
        return loads(data.decode("utf-8-sig"), str(path))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        problem = Problem(str(path), line, column, f"byte {data[error.start]:#04x} is not UTF-8")
        raise TopologyError((problem,)) from error


def loads(text: str, filename: str) -> Topology:
    """The topology in `text`; `filename` is for the places of problems. Raises TopologyError."""
    document = parse(text, filename)
    if document.root is None and not document.problems:
        raise TopologyError(
            (Problem(filename, 1, 1, "the file is empty", "a topology has a name and nodes"),)
        )
    topology = None
    drafted = draft(document)
    if drafted is not None:
        resolved = resolve(drafted)
        found = segments(resolved.nodes, resolved.links)
        check_nodes(drafted, resolved, found)
        owners = check_addresses(drafted, resolved, found)
        check_roles(drafted, resolved, owners)
        topology = Topology(
            name=drafted.entry.name,
            description=drafted.entry.description,
            nodes=resolved.nodes,
            links=tuple(resolved.links),
        )
    if document.problems or topology is None:
        raise TopologyError(tuple(sorted(document.problems, key=lambda one: (one.line, one.column))))
    return topology
