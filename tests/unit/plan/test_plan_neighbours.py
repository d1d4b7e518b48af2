"""Which ends of links know each other from the start."""

from __future__ import annotations

import pytest

from netlab.model.capabilities import Capabilities
from netlab.model.load import loads
from netlab.plan import plan
from netlab.plan.ops import AddNeighbour


def known(kinds: tuple[str, str], link: str) -> list[tuple[str, str]]:
    """(node, whose address it knows) of two nodes with one link."""
    text = f"""
name: pair
nodes:
  a: {{kind: {kinds[0]}, interfaces: {{eth0: [192.0.2.1/24, "2001:db8::1/64"]}}}}
  b: {{kind: {kinds[1]}, interfaces: {{eth0: [192.0.2.2/24, "2001:db8::2/64"]}}}}
links:
  - {{ends: [a:eth0, b:eth0], {link}}}
"""
    operations = plan(loads(text, "pair.yaml"), Capabilities(netem=False)).operations
    return [(one.node, one.address) for one in operations if isinstance(one, AddNeighbour)]


@pytest.mark.parametrize("kinds", [("router", "router"), ("router", "host"), ("host", "router")])
@pytest.mark.parametrize("delay", ["delay: 10ms", "delay: {up: 10ms, down: 0}"])
def test_both_ends_of_a_routers_long_line(kinds: tuple[str, str], delay: str) -> None:
    expected = [("a", "192.0.2.2"), ("a", "2001:db8::2"), ("b", "192.0.2.1"), ("b", "2001:db8::1")]
    assert known(kinds, delay) == expected


@pytest.mark.parametrize(
    ("kinds", "link"),
    [(("host", "host"), "delay: 10ms"), (("router", "router"), "delay: 0"), (("router", "host"), "loss: 1%")],
)
def test_nobody_else(kinds: tuple[str, str], link: str) -> None:
    assert known(kinds, link) == []
