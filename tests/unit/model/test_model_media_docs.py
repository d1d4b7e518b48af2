"""docs/topology.md knows every medium, role and key."""

from __future__ import annotations

from pathlib import Path

from netlab.model.check_impairment import faults
from netlab.model.entries import NodeEntry
from netlab.model.impairment import Impairment
from netlab.model.link_entries import LinkEntry
from netlab.model.media import DEFAULT, media
from netlab.model.medium import serialisation_ns
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
            assert list(faults(one)) == [], medium.name
        assert medium.sources, medium.name


def test_light_takes_4_9_us_a_km_in_fibre() -> None:
    assert media["fiber"].propagation_ns(80_000) == 391_760
    assert media["ethernet-1g"].propagation_ns(100) == 570
    assert media["satellite-geo"].propagation_ns(1000) == 0


def test_serialisation_of_a_full_frame() -> None:
    gigabit = media["ethernet-1g"]
    assert gigabit.serialisation_ns(1514) == 12_304  # with 24 bytes of preamble, FCS and gap
    assert gigabit.serialisation_ns(1514, Impairment(rate_bps=1_000_000_000)) == 12_112
    atm = Impairment(rate_bps=8_000_000, rate_overhead_bytes=26, cell_bytes=48, cell_overhead_bytes=5)
    assert serialisation_ns(atm, 1514) == 33 * 53 * 1000  # (1514 + 26) / 48 are 33 cells
    assert serialisation_ns(Impairment(), 1514) == 0
