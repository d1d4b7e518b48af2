"""The JSON Schema of topology files, from the models that the loader uses.

`python -m netlab.model.schema > topologies/topology.schema.json` exports it; a test compares the two.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from netlab.model.entries import TopologyEntry
from netlab.model.units import format_duration, format_probability


def schema() -> dict[str, Any]:
    """The schema (draft 2020-12), in which every default is valid and titles don't repeat the keys."""
    made = _tidy(TopologyEntry.model_json_schema(by_alias=True))
    for name, shape in made["$defs"].items():
        if name.endswith("Spec"):  # a role says its kind, though in Python each has but one
            shape["required"] = ["kind", *shape.get("required", [])]
            del shape["properties"]["kind"]["default"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": "netlab topology"}


def text() -> str:
    """The exported file."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _tidy(value: Any) -> Any:
    """Without titles and null defaults, which pydantic adds; durations and shares as they are written."""
    if isinstance(value, list):
        return [_tidy(one) for one in value]
    if not isinstance(value, dict):
        return value
    if value.get("maximum") == 0 and isinstance(value.get("default"), float):
        value["default"] = format_probability(value["default"])
    elif value.get("maximum") == 0 and value.get("default"):
        value["default"] = format_duration(value["default"])
    if "patternProperties" in value:
        value["additionalProperties"] = False  # a key of another form is no name
    shape = "type" in value or "anyOf" in value or "$ref" in value or "const" in value
    return {
        key: _tidy(one)
        for key, one in value.items()
        if not (shape and ((key == "title" and isinstance(one, str)) or (key == "default" and one is None)))
    }


if __name__ == "__main__":
    sys.stdout.write(text())
