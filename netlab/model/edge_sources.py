"""Files of edge functions that a topology names: read with it, as a role may not be able to read them."""

from __future__ import annotations

import ast
from pathlib import Path as FilePath

from netlab.errors import InputError
from netlab.model.draft import Draft
from netlab.model.roles import CdnSpec, RoleSpec
from netlab.model.suggest import nearest
from netlab.model.yaml import Path

_LARGEST = 1 << 18


def with_sources(draft: Draft, path: Path, roles: tuple[RoleSpec, ...]) -> tuple[RoleSpec, ...]:
    """`roles`, at `path` of the entry, with the text of every edge function's file; problems go to the
    draft."""
    return tuple(
        _filled(draft, (*path, number), spec) if isinstance(spec, CdnSpec) and spec.functions else spec
        for number, spec in enumerate(roles)
    )


def _filled(draft: Draft, path: Path, spec: CdnSpec) -> CdnSpec:
    functions = []
    for number, one in enumerate(spec.functions):
        where: Path = (*path, "functions", number, "call")
        source = draft.read(where, one.file, _source) if one.file else None
        if source is not None:
            _check_name(draft, where, source, one.call.partition(":")[2])
        functions.append(one.model_copy(update={"source": source or ""}))
    return spec.model_copy(update={"functions": tuple(functions)})


def _source(file: FilePath) -> str:
    """Raises InputError."""
    try:
        if file.stat().st_size > _LARGEST:
            raise InputError(f"{file} has more than {_LARGEST} bytes", "move what is large elsewhere")
        text = file.read_text(encoding="utf-8")
        ast.parse(text)
    except (OSError, UnicodeError) as error:
        raise InputError(
            f"{file} can't be read: {error}", "write the path relative to the topology"
        ) from error
    except SyntaxError as error:
        raise InputError(f"{file}:{error.lineno}: {error.msg}", "it is to be Python") from error
    return text


def _check_name(draft: Draft, path: Path, source: str, name: str) -> None:
    found = list(_names(ast.parse(source)))
    if name not in found:
        draft.add(path, f"the file has no function `{name}`", nearest(name, found, "names"))


def _names(module: ast.Module) -> list[str]:
    names: list[str] = []
    for node in module.body:
        if isinstance(node, ast.FunctionDef):
            names.append(node.name)
        elif isinstance(node, ast.Assign):
            names += [one.id for one in node.targets if isinstance(one, ast.Name)]
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names += [one.asname or one.name for one in node.names]
    return names
