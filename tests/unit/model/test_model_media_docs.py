"""docs/topology.md knows every medium, role and key."""

from __future__ import annotations

from pathlib import Path

from netlab.model.entries import LinkEntry, NodeEntry
from netlab.model.media import DEFAULT, media
from netlab.model.schema import schema

_PAGE = (Path(__file__).parents[3] / "docs" / "topology.md").read_text(encoding="utf-8")


def test_the_page_names_everything() -> None:
    roles = [
        one["properties"]["kind"]["const"] for name, one in schema()["$defs"].items() if name.endswith("Spec")
    ]
    for name in [*media, *roles, *NodeEntry.model_fields, *LinkEntry.model_fields]:
        assert f"`{name}`" in _PAGE, f"docs/topology.md does not name {name}"


def test_the_page_knows_each_role_s_keys() -> None:
    for name, shape in schema()["$defs"].items():
        if name.endswith("Spec"):
            for key in set(shape["properties"]) - {"kind", "listen"}:
                assert key in _PAGE, f"docs/topology.md does not name {key} of {name}"


def test_media_are_possible() -> None:
    assert media[DEFAULT].up.perfect
    for medium in media.values():
        for one in (medium.up, medium.down):
            assert one.jitter_ns <= one.delay_ns, medium.name
        assert medium.source, medium.name
