"""YAML ─► Topology: the only way to a Topology, or to all its problems at once."""

from __future__ import annotations

from pathlib import Path

from netlab.errors import Problem, TopologyError
from netlab.model.check_addresses import check_addresses
from netlab.model.check_nodes import check_nodes
from netlab.model.check_roles import check_roles
from netlab.model.draft import Draft, draft
from netlab.model.resolve import resolve
from netlab.model.segments import segments
from netlab.model.text_file import read_text
from netlab.model.topology import Topology
from netlab.model.yaml import parse


def load(path: Path, *, files: bool = True) -> Topology:
    """The topology in a file.

    `files`: read the files that it names too (tables of distributions, traces), relative to it; without,
    as for a copy of it somewhere else, links have no `playback` and impairments no `table`.
    Raises TopologyError with all problems in the order of their places, InputError where the file
    can't be read.
    """
    return loads(read_text(path, "a topology file"), str(path), files=files)


def loads(text: str, filename: str, *, files: bool = True) -> Topology:
    """The topology in `text`; `filename` is for the places of problems, and where files are looked for.

    Raises TopologyError.
    """
    document = parse(text, filename)
    if document.root is None and not document.problems:
        raise TopologyError(
            (Problem(filename, 1, 1, "the file is empty", "a topology has a name and nodes"),)
        )
    topology = None
    drafted = draft(document)
    if drafted is not None:
        drafted.folder = Path(filename).parent if files else None
        topology = _topology(drafted)
    if document.problems or topology is None:
        places = sorted(document.problems, key=lambda one: (one.file != filename, one.line, one.column))
        raise TopologyError(tuple(places))
    return topology


def _topology(drafted: Draft) -> Topology:
    """What is wrong with it is in the draft."""
    resolved = resolve(drafted)
    found = segments(resolved.nodes, resolved.links)
    check_nodes(drafted, resolved, found)
    owners = check_addresses(drafted, resolved, found)
    check_roles(drafted, resolved, owners)
    return Topology(
        name=drafted.entry.name,
        description=drafted.entry.description,
        nodes=resolved.nodes,
        links=tuple(resolved.links),
        warnings=tuple(drafted.warnings),
    )
