"""The files of `command` roles: read from beside the topology, and what they refer to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path as FilePath
from pathlib import PurePosixPath

from netlab.errors import Problem
from netlab.model.draft import Draft
from netlab.model.placeholders import CERTIFICATE, OWN, placeholders
from netlab.model.roles import CommandSpec
from netlab.model.suggest import nearest
from netlab.model.text_file import read_text
from netlab.model.yaml import Path


def read_config(path: FilePath) -> str:
    """Raises InputError, TopologyError; see `read_text`."""
    return read_text(path, "a configuration file")


def with_configs(draft: Draft, path: Path, spec: CommandSpec) -> CommandSpec:
    """`spec` with the texts of `config` among its `files`, by their names without directories."""
    files = dict(spec.files)
    for index, written in enumerate(spec.config):
        name = PurePosixPath(written).name
        if name in files:
            draft.add((*path, "config", index), f"the role has two files {name}", "give one another name")
        text = draft.read((*path, "config", index), written, read_config)
        if text is not None:
            files[name] = text
    return spec.model_copy(update={"files": files})


def check_command(draft: Draft, path: Path, spec: CommandSpec, nodes: Mapping[str, object]) -> None:
    """Report placeholders that mean nothing."""
    known = [*nodes, *(OWN if spec.names else (name for name in OWN if name not in CERTIFICATE))]
    for index, word in enumerate(spec.argv):
        for _, _, name in _unknown(word, known):
            draft.add((*path, "argv", index), *_problem(name, known))
    for key, word in spec.env.items():
        for _, _, name in _unknown(word, known):
            draft.add((*path, "env", key), *_problem(name, known))
    configs = {PurePosixPath(written).name: written for written in spec.config}
    for file, text in spec.files.items():
        for line, column, name in _unknown(text, known):
            message, suggestion = _problem(name, known)
            if file not in configs:
                draft.add((*path, "files", file), f"line {line} of it: {message}", suggestion)
            elif draft.folder is not None:
                place = str(draft.folder / configs[file])
                draft.problems.append(Problem(place, line, column, message, suggestion))


def _unknown(text: str, known: Iterable[str]) -> list[tuple[int, int, str]]:
    return [found for found in placeholders(text) if found[2] not in known]


def _problem(name: str, known: Iterable[str]) -> tuple[str, str]:
    if name in CERTIFICATE:
        return f"the role has no certificate, and so no `{{{{{name}}}}}`", "say `names:` for one"
    return f"unknown node `{name}`", nearest(name, known, "nodes")
