"""Routes, by walking them: every packet arrives, by a shortest way, and none where it must not."""

from __future__ import annotations

from collections import deque
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netlab.model.capabilities import Capabilities
from netlab.model.find import shipped
from netlab.model.load import load, loads
from netlab.model.topology import Topology
from netlab.plan import plan
from netlab.plan.ops import AddRoute

MACHINE = Capabilities(netem=False)


class Walker:
    """Forwards by longest prefix match, as the kernel does."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        made = plan(topology, MACHINE)
        self.owner: dict[str, str] = {}
        self.connected = {
            name: [a.network for one in node.interfaces.values() for a in one.addresses]
            for name, node in topology.nodes.items()
        }
        for name, addresses in made.addresses.items():
            self.owner |= dict.fromkeys(addresses, name)
        self.tables = {
            name: [
                (ip_network(one.to), one.via)
                for one in made.operations
                if isinstance(one, AddRoute) and one.node == name
            ]
            for name in topology.nodes
        }

    def walk(self, node: str, to: str) -> list[str]:
        """The nodes that a packet crosses, its start and end included; it ends short where no route is."""
        way = [node]
        while self.owner[to] != node:
            via = self._next(node, to)
            if via is None or (len(way) > 1 and self.topology.nodes[node].kind != "router"):
                break
            node = self.owner[via]
            assert node not in way, f"a loop: {[*way, node]}"
            way.append(node)
        return way

    def _next(self, node: str, to: str) -> str | None:
        address = ip_address(to)
        if any(address in network for network in self.connected[node]):
            return to
        found = [(network.prefixlen, via) for network, via in self.tables[node] if address in network]
        return max(found)[1] if found else None


INTERNET = Walker(load(shipped()["internet"]))


@pytest.mark.parametrize(
    ("start", "to", "way"),
    [
        ("edge-london", "93.184.216.34", "edge-london ix-london transit-eu transit-us cloud-edge lb"),
        ("client-a", "198.51.100.10", "client-a home-router isp-london ix-london edge-london"),
        ("client-a", "203.0.113.53", "client-a home-router isp-london resolver-london"),
        ("client-b", "192.0.2.10", "client-b carrier-tokyo isp-tokyo ix-tokyo edge-tokyo"),
        ("edge-tokyo", "93.184.216.34", "edge-tokyo ix-tokyo transit-asia transit-us cloud-edge lb"),
        ("lb", "203.0.113.5", "lb cloud-edge transit-us transit-eu ix-london isp-london home-router"),
        ("lb", "10.0.1.51", "lb vpc-router app-2"),
        ("app-2", "10.0.2.10", "app-2 vpc-router db"),
    ],
)
def test_the_ways_of_the_internet(start: str, to: str, way: str) -> None:
    assert " ".join(INTERNET.walk(start, to)) == way


@pytest.mark.parametrize(
    ("start", "to"),
    [
        ("ix-london", "192.168.1.10"),
        ("isp-tokyo", "100.64.0.10"),
        ("transit-us", "10.0.1.50"),
        ("app-1", "203.0.113.5"),
    ],
)
def test_what_is_inside_stays_inside(start: str, to: str) -> None:
    assert INTERNET.walk(start, to)[-1] != INTERNET.owner[to]


@st.composite
def networks(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    """A connected graph of routers: a random tree with some more edges."""
    count = draw(st.integers(2, 12))
    edges = {(draw(st.integers(0, node - 1)), node) for node in range(1, count)}
    for _ in range(draw(st.integers(0, 6))):
        a, b = sorted((draw(st.integers(0, count - 1)), draw(st.integers(0, count - 1))))
        if a != b:
            edges.add((a, b))
    return count, sorted(edges)


def source(count: int, edges: list[tuple[int, int]], version: int) -> str:
    """Every edge a subnet of its own, with gaps between some of them."""
    interfaces: dict[int, list[str]] = {node: [] for node in range(count)}
    links = []
    for number, (a, b) in enumerate(edges):
        block = 2 * number + number // 3
        for node, last in ((a, 1), (b, 2)):
            address = f"10.0.{block}.{last}/24" if version == 4 else f'"2001:db8:{block:x}::{last}/64"'
            interfaces[node].append(f"e{number}: {address}")
        links.append(f"  - {{ends: [n{a}:e{number}, n{b}:e{number}]}}")
    nodes = [f"  n{node}: {{kind: router, interfaces: {{{', '.join(i)}}}}}" for node, i in interfaces.items()]
    return "\n".join(["name: t", "nodes:", *nodes, "links:", *links]) + "\n"


def hops(count: int, edges: list[tuple[int, int]], start: int) -> list[int]:
    """Distances from `start`, in edges."""
    near = [-1] * count
    near[start] = 0
    queue = deque([start])
    while queue:
        node = queue.popleft()
        for other in (b if a == node else a for a, b in edges if node in (a, b)):
            if near[other] < 0:
                near[other] = near[node] + 1
                queue.append(other)
    return near


@settings(max_examples=40, deadline=None)
@given(networks(), st.sampled_from([4, 6]))
def test_every_packet_arrives_by_a_shortest_way(
    network: tuple[int, list[tuple[int, int]]], version: int
) -> None:
    count, edges = network
    walker = Walker(loads(source(count, edges, version), "t"))
    for start in range(count):
        near = hops(count, edges, start)
        for to, owner in walker.owner.items():
            way = walker.walk(f"n{start}", to)
            assert way[-1] == owner, (way, to)
            # The subnet is reached by the nearer of its two routers, and then crossed if need be.
            assert len(way) - 1 <= near[int(owner[1:])] + 1, (way, near)


@settings(max_examples=40, deadline=None)
@given(networks())
def test_no_route_covers_what_is_not_there(network: tuple[int, list[tuple[int, int]]]) -> None:
    walker = Walker(loads(source(*network, 4), "t"))
    known = {net for networks in walker.connected.values() for net in networks}
    for table in walker.tables.values():
        for to, _ in table:
            if to.prefixlen:
                inside = [
                    net
                    for net in known
                    if net.version == to.version and int(net[0]) >= int(to[0]) and int(net[-1]) <= int(to[-1])
                ]
                assert sum(net.num_addresses for net in inside) == to.num_addresses, to


def test_the_same_private_block_behind_two_translations() -> None:
    homes = "".join(
        f"  pc{n}: {{interfaces: {{eth0: {{address: 192.168.1.10/24, gateway: 192.168.1.1}}}}}}\n"
        f"  box{n}: {{kind: router, nat: [{{out: wan}}],"
        f" interfaces: {{lan: 192.168.1.1/24, wan: 192.0.2.{n}/24}}}}\n"
        for n in (1, 2)
    )
    pairs = ("pc1, box1:lan", "pc2, box2:lan", "box1, s", "box2, s")
    links = "links:\n" + "".join(f"  - {{ends: [{ends}]}}\n" for ends in pairs)
    made = plan(loads(f"name: t\nnodes:\n  s: {{kind: switch}}\n{homes}{links}", "t"), MACHINE)
    routes = [(one.node, one.to, one.via) for one in made.operations if isinstance(one, AddRoute)]
    assert routes == [("pc1", "0.0.0.0/0", "192.168.1.1"), ("pc2", "0.0.0.0/0", "192.168.1.1")]


@settings(max_examples=40, deadline=None)
@given(networks())
def test_packets_to_nowhere_do_not_circle(network: tuple[int, list[tuple[int, int]]]) -> None:
    walker = Walker(loads(source(*network, 4), "t"))
    for start in walker.topology.nodes:
        node, seen = start, [start]
        while (via := walker._next(node, "203.0.113.9")) is not None:
            node = walker.owner[via]
            assert node not in seen, [*seen, node]
            seen.append(node)
