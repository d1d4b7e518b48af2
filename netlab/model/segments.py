"""Layer 2 segments: which interfaces hear each other, and which segments share an address realm."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from netlab.model.topology import Link, Node

Port = tuple[str, str]  # node, interface
OUTER = -1  # the realm that is behind no address translation


class _Sets:
    """Disjoint sets of the integers 0 … n-1."""

    def __init__(self, count: int) -> None:
        self.parent = list(range(count))

    def root(self, item: int) -> int:
        while self.parent[item] != item:
            self.parent[item] = self.parent[self.parent[item]]
            item = self.parent[item]
        return item

    def join(self, a: int, b: int) -> bool:
        """False where they were already together. The smaller root stays, so that order is kept."""
        low, high = sorted((self.root(a), self.root(b)))
        self.parent[high] = low
        return low != high


@dataclass(frozen=True, slots=True)
class Segments:
    """`ports`: the interfaces of hosts and routers in each segment; `of`: interface ─► segment.

    `loops`: indices of the links that close a loop of switches.
    """

    ports: tuple[tuple[Port, ...], ...]
    of: dict[Port, int]
    loops: tuple[int, ...]


def segments(nodes: Mapping[str, Node], links: Sequence[Link]) -> Segments:
    """The segments, in the order of their first interface in the topology."""
    number: dict[tuple[str, str | None], int] = {}  # a switch is one, whatever its ports
    for name, node in nodes.items():
        if node.kind == "switch":
            number[name, None] = len(number)
        else:
            for interface in node.interfaces:
                number[name, interface] = len(number)
    sets = _Sets(len(number))

    def key(node: str, interface: str) -> int:
        return number[node, None if nodes[node].kind == "switch" else interface]

    loops = tuple(
        index
        for index, link in enumerate(links)
        if not sets.join(*(key(end.node, end.interface) for end in link.ends))
    )
    return _gathered(number, sets, loops)


def _gathered(number: Mapping[tuple[str, str | None], int], sets: _Sets, loops: tuple[int, ...]) -> Segments:
    members: dict[int, list[Port]] = {}
    for (node, interface), index in number.items():
        if interface is not None:
            members.setdefault(sets.root(index), []).append((node, interface))
    of = {port: index for index, ports in enumerate(members.values()) for port in ports}
    return Segments(tuple(tuple(ports) for ports in members.values()), of, loops)


def realms(nodes: Mapping[str, Node], found: Segments) -> list[int]:
    """Segment ─► realm: what is behind one address translation is one realm, all the rest is another.

    Private addresses need be unique only within a realm.
    """
    sets = _Sets(len(found.ports))
    inner: list[int] = []
    for name, node in nodes.items():
        if node.kind == "router":
            outs = {rule.out for rule in node.nat}
            insides = [found.of[name, one] for one in node.interfaces if one not in outs]
            _join_all(sets, insides)
            if node.nat:
                inner += insides
    behind = {sets.root(segment) for segment in inner}
    roots = [sets.root(index) for index in range(len(found.ports))]
    return [root if root in behind else OUTER for root in roots]


def _join_all(sets: _Sets, items: Iterable[int]) -> None:
    first: int | None = None
    for item in items:
        if first is None:
            first = item
        else:
            sets.join(first, item)
