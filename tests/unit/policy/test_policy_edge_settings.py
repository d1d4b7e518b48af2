"""Settings of an edge that change while it runs."""

from __future__ import annotations

import pytest

from netlab.errors import InputError
from netlab.model.roles import CdnSpec
from netlab.policy.edge_settings import changed

SPEC = CdnSpec(names=("x.example",), origin="192.0.2.1:443", origin_name="x.example")
NODES = {"shield": ("192.0.2.9", "2001:db8::9"), "six": ("2001:db8::6",)}


def find(name: str) -> tuple[str, ...]:
    if name not in NODES:
        raise InputError(f"the lab has no node {name}")
    return NODES[name]


def test_what_changes_and_what_was() -> None:
    told = {"compress": "true", "negative": "10s", "stale_if_error": "1m", "shield": "shield:443"}
    after, before = changed(SPEC, told, find)
    assert before == {"compress": "false", "negative": "0", "stale_if_error": "0", "shield": ""}
    assert (after.compress, after.negative_ns, after.stale_if_error_ns) == (True, 10**10, 6 * 10**10)
    assert after.shield == "192.0.2.9:443"
    back, were = changed(after, before, find)
    assert back == SPEC
    assert were == told | {"shield": "192.0.2.9:443", "stale_if_error": "60s"}
    assert changed(SPEC, {"shield": "six:1"}, find)[0].shield == "[2001:db8::6]:1"


@pytest.mark.parametrize(
    "told",
    [
        {"compress": "yes"},
        {"negative": "10"},
        {"shield": "shield"},
        {"shield": "shield:0"},
        {"shield": "nobody:443"},
        {"cache_bytes": "1"},
        {"compress": "true", "negative": "soon"},
    ],
)
def test_what_is_not_understood_changes_nothing(told: dict[str, str]) -> None:
    with pytest.raises(InputError):
        changed(SPEC, told, find)
