"""docs/reference.md, generated from the code: verbs, roles, events, errors. `make docs` writes it.

A test fails where the page, or the topology's JSON Schema, differs from what the code says.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import netlab.errors
from netlab.cli.app import VERBS, build
from netlab.errors import NetlabError
from netlab.model import schema
from netlab.model.event import EVENTS
from netlab.model.roles import RoleSpec

_HEAD = """# Reference

Generated from the code by `make docs`; don't edit it by hand. Topology files: [topology.md](topology.md).
"""


def page() -> str:
    """The whole page."""
    sections = (_HEAD, *_verbs(), *_roles(), *_events(), *_errors())
    return "\n".join(sections)


def _verbs() -> Iterator[str]:
    yield "## Verbs\n"
    for verb in VERBS:
        yield f"### netlab {verb}\n\n```\n{_help(verb)}\n```\n"


def _help(verb: str) -> str:
    import typer

    group = typer.main.get_command(build(verb))
    command = group.commands[verb]  # type: ignore[attr-defined] # typer's own click has no types
    context = command.context_class(
        command, info_name=f"netlab {verb}", max_content_width=100, terminal_width=100
    )
    parts = [command.get_help(context)]
    for name, inner in getattr(command, "commands", {}).items():
        below = inner.context_class(
            inner, info_name=f"netlab {verb} {name}", max_content_width=100, terminal_width=100
        )
        parts.append(inner.get_help(below))
    return "\n\n".join("\n".join(line.rstrip() for line in part.splitlines()) for part in parts)


def _roles() -> Iterator[str]:
    yield "## Roles\n"
    parts: dict[str, Any] = {}
    for spec in get_args(get_args(RoleSpec)[0]):
        shape = spec.model_json_schema()
        parts |= shape.get("$defs", {})
        yield f"### {spec.model_fields['kind'].default}\n\n{_text(spec)}\n"
        yield from _keys(shape)
    for name, shape in parts.items():
        yield f"### {name}\n\n{_paragraphs(shape.get('description', ''))}\n"
        yield from _keys(shape)


def _keys(shape: dict[str, Any]) -> Iterator[str]:
    yield "| key | type | default |\n| --- | --- | --- |"
    for name, one in shape["properties"].items():
        if name != "kind":
            needed = name in shape.get("required", ())
            default = "required" if needed else f"`{json.dumps(one.get('default'))}`"
            yield f"| `{name}` | {_type(one)} | {default} |"
    yield ""


def _type(shape: dict[str, Any]) -> str:
    if "$ref" in shape:
        return str(shape["$ref"]).rpartition("/")[2]
    if isinstance(choices := shape.get("anyOf"), list):
        return " or ".join(_type(one) for one in choices)
    if isinstance(items := shape.get("items"), dict):
        return f"list of {_type(items)}"
    kind = str(shape.get("type", "any"))
    if isinstance(inner := shape.get("additionalProperties"), dict):
        return f"map to {_type(inner)}"
    return kind


def _events() -> Iterator[str]:
    yield "## Events\n"
    yield "Lines of `events.jsonl`, each with `time_ns`, `node`, `role`, and `flow` where it has one.\n"
    yield "| event | what, and its fields |\n| --- | --- |"
    for name, what in EVENTS.items():
        yield f"| `{name}` | {what} |"
    yield ""


def _errors() -> Iterator[str]:
    yield "## Errors and exit codes\n"
    yield "0: done. 130: interrupted. 70: a bug of netlab's own; the traceback's file is named.\n"
    yield "| error | exit code | when |\n| --- | --- | --- |"
    for name, error in vars(netlab.errors).items():
        if inspect.isclass(error) and issubclass(error, NetlabError) and error is not NetlabError:
            yield f"| {name} | {error.exit_code} | {_text(error).splitlines()[0]} |"
    yield ""


def _text(documented: type) -> str:
    """A docstring as one paragraph a line."""
    return _paragraphs(inspect.cleandoc(documented.__doc__ or ""))


def _paragraphs(text: str) -> str:
    return "\n\n".join(re.sub(r"\s*\n\s*", " ", part) for part in text.split("\n\n"))


def main() -> None:
    """Write the generated files of the checkout in which this runs."""
    Path("docs/reference.md").write_text(page(), encoding="utf-8")
    Path("topologies/topology.schema.json").write_text(schema.text(), encoding="utf-8")


if __name__ == "__main__":
    main()
