"""Which link a user means, which interface goes down for it, and what is given back afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from netlab.errors import InputError
from netlab.lab.live_link import Cut, LiveLink, chosen_directions, end_to_cut, find_link, live_links, total
from netlab.lab.restoring import lost_by
from netlab.model.capabilities import Capabilities
from netlab.model.load import load, loads
from netlab.plan.build import plan
from netlab.plan.ops import AddAddress, AddNeighbour, AddRoute, Plan

TOPOLOGY = """
name: t
nodes:
  a: {interfaces: {eth0: [10.1.0.1/24, "fd01::1/64"]}}
  r: {kind: router, interfaces: {left: [10.1.0.254/24, "fd01::254/64"], right: 10.2.0.1/30}}
  s: {kind: router, interfaces: {near: 10.2.0.2/30, lan: 10.3.0.1/24}}
  w: {kind: switch}
  b: {interfaces: {eth0: 10.3.0.9/24}}
links:
  - {ends: [a:eth0, r:left]}
  - {ends: [r:right, s:near], delay: 5ms}
  - {ends: [s:lan, w]}
  - {ends: [w, b:eth0]}
"""


@pytest.fixture
def found(tmp_path: Path) -> tuple[tuple[LiveLink, ...], Plan, dict[str, str]]:
    path = tmp_path / "t.yaml"
    path.write_text(TOPOLOGY)
    topology = load(path)
    made = plan(topology, Capabilities(netem=False))
    kinds: dict[str, str] = {name: node.kind for name, node in topology.nodes.items()}
    return live_links(topology, made), made, kinds


Found = tuple[tuple[LiveLink, ...], Plan, dict[str, str]]


def test_backends_and_middles(found: Found) -> None:
    assert [(link.backend, link.middle) for link in found[0]] == [
        ("none", ()),
        ("wire", ("w0a", "w0b")),
        ("none", ()),
        ("none", ()),
    ]
    far = found[0][1]
    assert far.given["up"].delay_ns == 5_000_000
    assert (str(far.sender("up")), str(far.sender("down"))) == ("r:right", "s:near")


def test_where_netem_impairs() -> None:
    """In the middle, on the interface towards the receiver; on a plain link at its sender."""
    topology = loads(TOPOLOGY, "t")
    plain, far, *_ = live_links(topology, plan(topology, Capabilities(netem=True)))
    assert (far.backend, far.middle) == ("netem", ("n0a", "n0b"))
    assert [far.qdisc(way) for way in ("up", "down")] == [("@netem", "n0b"), ("@netem", "n0a")]
    assert [plain.qdisc(way) for way in ("up", "down")] == [("a", "eth0"), ("r", "left")]


@pytest.mark.parametrize(
    ("end", "name"),
    [
        ("a:eth0", "a:eth0--r:left"),
        ("r:left", "a:eth0--r:left"),
        ("a", "a:eth0--r:left"),
        ("b", "w:b--b:eth0"),
        ("r:right--s:near", "r:right--s:near"),
    ],
)
def test_an_end_names_its_link(found: Found, end: str, name: str) -> None:
    assert find_link(found[0], end).name == name


@pytest.mark.parametrize(
    ("end", "remedy"),
    [
        ("a:eth1", "did you mean `a:eth0`?"),
        ("r:lft", "did you mean `r:left`?"),
        ("r", "say which end you mean: r:left, r:right"),
        ("zzz", "netlab link show"),
        ("", "netlab link show"),
    ],
)
def test_no_end(found: Found, end: str, remedy: str) -> None:
    with pytest.raises(InputError) as raised:
        find_link(found[0], end)
    assert raised.value.remedy.startswith(remedy), raised.value.remedy


def test_directions() -> None:
    assert chosen_directions("both") == ("up", "down")
    assert chosen_directions("down") == ("down",)
    with pytest.raises(InputError, match="sideways"):
        chosen_directions("sideways")


@pytest.mark.parametrize(
    ("end", "cut"),
    [
        ("a:eth0", Cut("r", "left")),
        ("a", Cut("r", "left")),
        ("r:left", Cut("a", "eth0")),
        ("a:eth0--r:left", Cut("r", "left")),
        ("b", Cut("w", "b")),
        ("w:b", Cut("w", "b")),  # a switch's port has nothing to lose
    ],
)
def test_the_far_end_goes_down(found: Found, end: str, cut: Cut) -> None:
    link = find_link(found[0], end)
    assert end_to_cut(link.link, end, found[2]) == cut


def test_what_an_interface_loses(found: Found) -> None:
    _, made, _ = found
    left = lost_by(made, Cut("r", "left"))
    assert left == [AddAddress("r", "left", "fd01::254/64")], "nothing is routed by it but its subnets"
    right = lost_by(made, Cut("r", "right"))
    assert [op.via for op in right if isinstance(op, AddRoute)] == ["10.2.0.2"]
    assert [op.address for op in right if isinstance(op, AddNeighbour)] == ["10.2.0.2"]
    host = lost_by(made, Cut("a", "eth0"))
    assert [type(op) for op in host] == [AddAddress, AddRoute], host


def test_totals() -> None:
    assert total([{"a": 1, "b": 2}, {"a": 3, "c": 4}]) == {"a": 4, "b": 2, "c": 4}
    assert total([]) == {}
