"""What pydantic found, said as a user would: a path in the file, a sentence, the nearest right thing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from netlab.model.entries import TopologyEntry
from netlab.model.link_entries import directed_fields
from netlab.model.suggest import nearest
from netlab.model.yaml import BROKEN, Path

_NAME_RULE = "letters, digits and -, at most 63"
_WANTED = {
    "string": "text",
    "int": "a whole number",
    "int_from": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "tuple": "a list",
    "list": "a list",
    "dict": "a mapping (`key: value`)",
    "model": "a mapping (`key: value`)",
    "model_attributes": "a mapping (`key: value`)",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """`at_key`: the key is wrong, not its value."""

    path: Path
    message: str
    suggestion: str = ""
    at_key: bool = False


def places(error: ValidationError, root: Any) -> list[Path]:
    """The paths of everything that pydantic refused, whether or not it is worth a sentence."""
    return [_in_document(detail["loc"], root) for detail in error.errors(include_url=False)]


def faults(error: ValidationError, root: Any) -> list[Fault]:
    """One fault per thing wrong; what only follows from another fault is left out."""
    found: dict[tuple[Path, str], Fault] = {}
    details = [(_in_document(detail["loc"], root), detail) for detail in error.errors(include_url=False)]
    for path, detail in details:
        if detail["input"] is BROKEN or _follows(path, detail["type"], [other for other, _ in details]):
            continue
        fault = _fault(path, detail, root)
        found.setdefault((fault.path, fault.message), fault)
    return list(found.values())


def _follows(path: Path, kind: str, others: Sequence[Path]) -> bool:
    """A list is too short only because its items were refused."""
    return kind == "too_short" and any(
        len(other) > len(path) and other[: len(path)] == path for other in others
    )


def _in_document(location: tuple[str | int, ...], root: Any) -> Path:
    """pydantic's location without what isn't in the file: union members, the long form of a short one."""
    path: list[str | int] = []
    for step in location:
        if _has(root, step):
            path.append(step)
            root = root[step]
    return tuple(path)


def _has(value: Any, step: str | int) -> bool:
    if isinstance(value, list):
        return isinstance(step, int) and step < len(value)
    return isinstance(value, dict) and step in value


def _fault(path: Path, detail: Mapping[str, Any], root: Any) -> Fault:
    kind, context, value = detail["type"], detail.get("ctx", {}), detail["input"]
    match kind:
        case "extra_forbidden":
            return Fault(
                path, f"unknown key `{path[-1]}`", nearest(str(path[-1]), _keys(path[:-1], root)), True
            )
        case "missing":
            return Fault(path, f"key `{detail['loc'][-1]}` is missing", "", True)
        case "union_tag_invalid":
            tags = [tag.strip(" '") for tag in context["expected_tags"].split(",")]
            tag = str(context["tag"])
            return Fault((*path, "kind"), f"unknown role kind `{tag}`", nearest(tag, tags))
        case "union_tag_not_found":
            return Fault(path, "key `kind` is missing", "a role says which it is, such as `kind: client`")
        case "literal_error":
            choices = [word.strip("'") for word in context["expected"].replace(" or ", ", ").split(", ")]
            return Fault(path, f"`{value}` is not right for `{path[-1]}`", nearest(str(value), choices))
        case "value_error":
            message, _, suggestion = str(context["error"]).partition("; ")
            return Fault(path, message, suggestion)
        case "string_pattern_mismatch":
            return _pattern_fault(path, value, "[key]" in detail["loc"])
    return Fault(path, _sentence(path, kind, context, value))


def _pattern_fault(path: Path, value: str, at_key: bool) -> Fault:
    if at_key or path == ("name",):
        return Fault(
            path, f"`{value}` is no name for a {'node' if at_key else 'lab'}", f"use {_NAME_RULE}", at_key
        )
    if "ends" in path:
        return Fault(path, f"`{value}` is no end of a link", "write node:interface")
    if path[-1] == "path":
        return Fault(path, f"path `{value}` does not start with /")
    return Fault(path, f"`{value}` is not an upstream", "write node:port or address:port, such as app-1:8080")


def _sentence(path: Path, kind: str, context: Mapping[str, Any], value: Any) -> str:
    key = next((step for step in reversed(path) if isinstance(step, str)), None)
    name = f"`{key}`" if key is not None else "the file"
    wanted = _WANTED.get(kind.rpartition("_")[0])
    shown = f"`{value}`" if isinstance(value, str | int | float) else _shape(value)
    match kind:
        case "too_short":
            return f"{name} is empty; it needs at least {context['min_length']}"
        case "greater_than_equal":
            return f"{name} is {value}; the least is {context['ge']}"
        case "less_than_equal":
            return f"{name} is {value}; the most is {context['le']}"
        case "greater_than":
            return f"{name} must be more than {context['gt']}"
    if kind == "string_type" and isinstance(value, int | float):
        return f"{name} must be text; put {shown} in quotes"
    item = "an item of " if path and isinstance(path[-1], int) else ""
    return f"{item}{name} must be {wanted or 'something else'}, not {shown}"


def _shape(value: Any) -> str:
    if value is None:
        return "nothing"
    return "a mapping" if isinstance(value, dict) else "a list"


def _keys(path: Path, root: Any) -> list[str]:
    """The keys that the mapping at `path` may have, from the models of the file."""
    shape: Any = TopologyEntry
    for step in path:
        root = root[step]
        shape = _step(shape, step, root)
    return list(_names(shape)) if isinstance(shape, type) and issubclass(shape, BaseModel) else []


def _names(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield field.alias or name
    yield from directed_fields(model)


def _step(shape: Any, step: str | int, value: Any) -> Any:
    if isinstance(shape, type) and issubclass(shape, BaseModel):
        by_name = {field.alias or name: field.annotation for name, field in shape.model_fields.items()}
        by_name |= directed_fields(shape)
        return _model_for(by_name.get(str(step)), value)
    arguments = get_args(shape)
    return _model_for(arguments[-1] if isinstance(step, str) else arguments[0], value)


def _model_for(shape: Any, value: Any) -> Any:
    """`shape` without Annotated and unions; of a union of models, the one whose `kind` the value has."""
    while get_origin(shape) is Annotated:
        shape = get_args(shape)[0]
    if get_origin(shape) not in (Union, UnionType):
        return shape
    members = [_model_for(member, value) for member in get_args(shape)]
    models = [member for member in members if isinstance(member, type) and issubclass(member, BaseModel)]
    wanted = value.get("kind") if isinstance(value, dict) else None
    for model in models:
        if "kind" in model.model_fields and model.model_fields["kind"].default == wanted:
            return model
    return models[0] if models else members[0]
