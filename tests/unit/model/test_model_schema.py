"""The exported JSON Schema is the models', and the shipped topologies keep to it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from netlab.model.entries import TopologyEntry
from netlab.model.find import shipped
from netlab.model.schema import schema, text
from netlab.model.yaml import parse

_EXPORTED = next(iter(shipped().values())).parent / "topology.schema.json"
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


def valid(shape: dict[str, Any], value: Any, defs: dict[str, Any]) -> bool:
    """The part of JSON Schema that ours uses: enough to tell right from wrong."""
    if "$ref" in shape:
        return valid(defs[shape["$ref"].rpartition("/")[2]], value, defs)
    for key in ("anyOf", "oneOf"):
        if key in shape:
            matches = sum(valid(one, value, defs) for one in shape[key])
            return matches > 0 if key == "anyOf" else matches == 1
    return (
        _type_fits(shape, value)
        and ("enum" not in shape or value in shape["enum"])
        and ("const" not in shape or value == shape["const"])
        and (not isinstance(value, str) or re.search(shape.get("pattern", ""), value) is not None)
        and (
            not isinstance(value, int) or shape.get("minimum", value) <= value <= shape.get("maximum", value)
        )
        and (not isinstance(value, dict) or _object_fits(shape, value, defs))
        and (not isinstance(value, list) or _array_fits(shape, value, defs))
    )


def _type_fits(shape: dict[str, Any], value: Any) -> bool:
    names = shape.get("type", list(_TYPES))
    names = [names] if isinstance(names, str) else names
    if isinstance(value, bool):
        return "boolean" in names
    return any(isinstance(value, _TYPES[name]) for name in names)


def _object_fits(shape: dict[str, Any], value: dict[str, Any], defs: dict[str, Any]) -> bool:
    known = shape.get("properties", {})
    other = shape.get("additionalProperties", True)
    patterns = shape.get("patternProperties", {})
    names = shape.get("propertyNames", {})
    for key, one in value.items():
        if not valid(names, key, defs):
            return False
        inner = known.get(key) or next((p for regex, p in patterns.items() if re.search(regex, key)), other)
        if inner is False or (isinstance(inner, dict) and not valid(inner, one, defs)):
            return False
    return all(key in value for key in shape.get("required", []))


def _array_fits(shape: dict[str, Any], value: list[Any], defs: dict[str, Any]) -> bool:
    shapes = shape.get("prefixItems") or [shape.get("items", {})] * len(value)
    few = shape.get("minItems", 0) <= len(value) <= shape.get("maxItems", len(value))
    return few and all(valid(inner, one, defs) for inner, one in zip(shapes, value, strict=False))


def is_valid(document: Any) -> bool:
    made = schema()
    return valid(made, document, made["$defs"])


def test_the_exported_schema_is_the_models() -> None:
    assert _EXPORTED.read_text(encoding="utf-8") == text(), "run: python -m netlab.model.schema"


@pytest.mark.parametrize("name", list(shipped()))
def test_shipped_topologies_keep_to_it(name: str) -> None:
    assert is_valid(parse(shipped()[name].read_text(encoding="utf-8"), name).root)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "t"},
        {"name": "t", "nodes": {"a": {"kind": "hst"}}},
        {"name": "t", "nodes": {"a b": {}}},
        {"name": "t", "nodes": {}, "links": [{"ends": ["a", "b"], "dealy": "1ms"}]},
        {"name": "t", "nodes": {}, "links": [{"ends": ["a", "b"], "delay": 1}]},
        {"name": "t", "nodes": {}, "links": [{"ends": ["a"]}]},
        {"name": "t", "nodes": {}, "links": [{"ends": ["a", "b"], "loss": {"gemodell": {"p": "1%"}}}]},
        {"name": "t", "nodes": {}, "links": [{"ends": ["a", "b"], "loss": {"gemodel": {"r": "1%"}}}]},
        {"name": "t", "nodes": {}, "links": [{"ends": ["a", "b"], "reorder": {"gap": 5}}]},
        {"name": "t", "nodes": {}, "links": [{"ends": ["a", "b"], "slot": {"min": 5}}]},
        {"name": "t", "nodes": {}, "links": [{"ends": ["a", "b"], "length": "80"}]},
        {"name": "t", "nodes": {"a": {"roles": [{"requests": []}]}}},
        {"name": "t", "nodes": {"a": {"roles": [{"kind": "clint"}]}}},
    ],
)
def test_it_refuses_what_the_loader_refuses(wrong: dict[str, Any]) -> None:
    assert not is_valid(wrong), json.dumps(wrong)


def test_every_default_keeps_to_its_own_schema() -> None:
    made = schema()
    for name, shape in made["$defs"].items():
        for key, one in shape.get("properties", {}).items():
            if "default" in one:
                assert valid(one, one["default"], made["$defs"]), f"{name}.{key}: {one}"


_VOCABULARY: dict[str, list[Any]] = {
    "length": ["80km"],
    "distribution": ["normal", {"up": "./my.dist"}],
    "delay_correlation": ["25%"],
    "loss": [0, "1%", {"random": "1%", "correlation": "25%"}, {"up": "1%", "down": {"gemodel": {"p": "1%"}}}],
    "duplicate": ["1%", {"share": "1%", "correlation": "25%"}, {"up": {"share": "1%"}}],
    "reorder": [{"share": "1%", "gap": 5}],
    "overhead": [-14, {"down": 26}],
    "slot": ["5ms", {"min": "1ms", "max": "5ms", "packets": 3}, {"up": {"min": "1ms"}, "down": "1ms"}],
    "ecn": [True, {"up": True}],
    "seed": [7],
    "playback": ["trace", {"up": "trace"}],
}


@pytest.mark.parametrize(("key", "value"), [(key, one) for key, all_ in _VOCABULARY.items() for one in all_])
def test_it_takes_what_the_loader_takes(key: str, value: Any) -> None:
    document = {"name": "t", "nodes": {}, "links": [{"ends": ["a", "b"], key: value}]}
    assert is_valid(document)
    TopologyEntry.model_validate(document)
