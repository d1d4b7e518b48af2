"""Routes from the shape of the network: shortest paths by hop count, on integers.

For every subnet a breadth-first search starts at the nodes that are in it and goes from router to
router; whoever is found learns the way by which it was found. Routers forward, hosts don't. What is
inside an address translation is not told to its outside. The order of nodes in the topology breaks
ties, so the same topology always has the same routes.

Performance: a chain of 250 routers has 62,000 pairs of router and subnet. Plain lists indexed by small
integers, and `groupby` over runs of neighbouring subnets, keep that at some 30 ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from operator import itemgetter

from netlab.model.segments import Segments, realms
from netlab.model.topology import Node, Topology
from netlab.plan.aggregate import cover

UNREACHABLE = 0  # no next hop; no router has the address 0
CONNECTED = -1

_Edge = tuple[int, int, bool, bool]  # see _edges


@dataclass(slots=True)
class Subnet:
    """An address block on one segment, and who is in it: (node, its address, is it outside its NAT)."""

    segment: int
    start: int
    end: int
    members: list[tuple[int, int, bool]] = field(default_factory=list)


@dataclass(slots=True)
class Routes:
    """The ways of one family. `hops[node][subnet]`: the next hop as an integer, CONNECTED or UNREACHABLE.

    Nodes are numbered in the order of the topology, subnets in the order of their addresses.
    `stretches[subnet]` is the same for subnets with no gap between them.
    """

    version: int
    subnets: list[Subnet]
    hops: list[tuple[int, ...]]
    stretches: list[int]

    @property
    def bits(self) -> int:
        return 32 if self.version == 4 else 128

    def toward(self, node: int, address: int) -> int:
        """The next hop of `node` to `address`: CONNECTED, UNREACHABLE or a router's address."""
        hops = [
            hop
            for subnet, hop in zip(self.subnets, self.hops[node], strict=True)
            if subnet.start <= address <= subnet.end
        ]
        return CONNECTED if CONNECTED in hops else max(hops, default=UNREACHABLE)

    def table(self, node: int, default: int = 0, near: Sequence[range] = ()) -> list[tuple[int, int, int]]:
        """The routes of `node` as (first address, prefix length, next hop), in the order of addresses.

        `default` is the next hop of the default route, if there is to be one; it also takes the place
        of next hops in `near`. Any other route covers exactly what is known to be there.
        """
        hops = self.hops[node]
        if near:
            hops = tuple(default if any(hop in one for one in near) else hop for hop in hops)
        ways = set(hops) - {CONNECTED, UNREACHABLE}
        routes = [(0, 0, default)] if default else []
        if not ways - {default}:
            return routes
        for (hop, _), run in groupby(zip(hops, self.stretches, self.subnets, strict=True), itemgetter(0, 1)):
            if hop in (CONNECTED, UNREACHABLE, default):
                continue
            members = [subnet for _, _, subnet in run]
            routes += [
                (first, length, hop) for first, length in cover(members[0].start, members[-1].end, self.bits)
            ]
        return routes


def defaults(found: Routes, declared: dict[int, int]) -> dict[int, int]:
    """Node ─► the next hop of its default route: the declared one, or its only one.

    A node whose only next hop has its own default route back gets none, or packets to nowhere would go
    to and fro until their time to live is over.
    """
    owner = {address: node for subnet in found.subnets for node, address, _ in subnet.members}
    granted = dict(declared)
    for node, hops in enumerate(found.hops):
        ways = set(hops) - {CONNECTED, UNREACHABLE}
        if node in granted or len(ways) != 1:
            continue
        (way,) = ways
        seen, after = {node}, owner[way]
        while after not in seen and after in granted and granted[after] in owner:
            seen.add(after)
            after = owner[granted[after]]
        if after != node:
            granted[node] = way
    return granted


def routes(topology: Topology, found: Segments, version: int) -> Routes:
    """The ways between all nodes for IPv4 or IPv6."""
    nodes = list(topology.nodes.values())
    subnets = _subnets(topology, found, version)
    edges = _edges(nodes, subnets)
    columns = [_search(subnet, edges, len(nodes)) for subnet in subnets]
    hops: list[tuple[int, ...]] = list(zip(*columns, strict=True)) if columns else [()] * len(nodes)
    result = Routes(version, subnets, hops, _stretches(subnets))
    if _repeated(subnets):
        _prefer_own_realm(result, nodes, realms(topology.nodes, found))
    return result


def _subnets(topology: Topology, found: Segments, version: int) -> list[Subnet]:
    subnets: dict[tuple[int, int, int], Subnet] = {}
    for number, (name, node) in enumerate(topology.nodes.items()):
        outs = {rule.out for rule in node.nat} if version == 4 else set()
        for interface, one in node.interfaces.items():
            for address in one.addresses:
                if address.version != version or address.is_link_local:
                    continue
                value, hosts = int(address.ip), int(address.hostmask)
                start = value & ~hosts
                key = (start, start | hosts, found.of[name, interface])
                subnet = subnets.get(key)
                if subnet is None:
                    subnet = subnets[key] = Subnet(key[2], key[0], key[1])
                subnet.members.append((number, value, interface in outs))
    return [subnets[key] for key in sorted(subnets)]


def _edges(nodes: list[Node], subnets: list[Subnet]) -> list[list[_Edge]]:
    """Router ─► (neighbour, the router's address there, learns from inside, tells the outside).

    Learns from inside: the neighbour translates, and hears this from its inside. Tells the outside: the
    router translates, and the neighbour is on its outside. Only routers have edges.
    """
    edges: list[list[_Edge]] = [[] for _ in nodes]
    translates = [bool(node.nat) for node in nodes]
    for subnet in subnets:
        for router, address, outside in subnet.members:
            if nodes[router].kind == "router":
                edges[router] += [
                    (other, address, translates[other] and not theirs, outside)
                    for other, _, theirs in subnet.members
                    if other != router
                ]
    return edges


def _search(subnet: Subnet, edges: list[list[_Edge]], count: int) -> list[int]:
    """Node ─► its next hop to `subnet`."""
    hops = [UNREACHABLE] * count
    inner: set[int] = set()  # translating routers that have the subnet on their inside
    queue: list[int] = []
    for node, _, outside in subnet.members:
        if hops[node] == UNREACHABLE:
            hops[node] = CONNECTED
            queue.append(node)
        if not outside:
            inner.add(node)
    for node in queue:  # it grows on the way
        secret = node in inner
        for neighbour, via, learns_inside, tells_outside in edges[node]:
            if hops[neighbour] == UNREACHABLE and not (secret and tells_outside):
                hops[neighbour] = via
                queue.append(neighbour)
                if learns_inside:
                    inner.add(neighbour)
    return hops


def _stretches(subnets: list[Subnet]) -> list[int]:
    numbers = []
    stretch, expected = 0, -1
    for subnet in subnets:
        stretch += subnet.start != expected
        expected = subnet.end + 1
        numbers.append(stretch)
    return numbers


def _repeated(subnets: list[Subnet]) -> bool:
    return any(a.end >= b.start for a, b in pairwise(subnets))


def _prefer_own_realm(found: Routes, nodes: list[Node], realm: list[int]) -> None:
    """Where a private block exists in several realms, a node means the one in its own."""
    own: list[set[int]] = [set() for _ in nodes]
    for subnet in found.subnets:
        for node, _, outside in subnet.members:
            if not outside or len(nodes[node].interfaces) == 1:
                own[node].add(realm[subnet.segment])
    for number, hops in enumerate(found.hops):
        kept = list(hops)
        for index, subnet in enumerate(found.subnets):
            for other, rival in enumerate(found.subnets):
                clash = other != index and subnet.start <= rival.end and rival.start <= subnet.end
                if clash and hops[other] != UNREACHABLE and realm[subnet.segment] not in own[number]:
                    kept[index] = UNREACHABLE
        found.hops[number] = tuple(kept)
