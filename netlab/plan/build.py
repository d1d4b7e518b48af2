"""Topology ─► Plan."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_network

from netlab.errors import HostError
from netlab.model.capabilities import Capabilities
from netlab.model.resolve import BRIDGE
from netlab.model.roles import AppSpec, CdnSpec, CommandSpec, ProxySpec, ResolverSpec, RoleSpec
from netlab.model.segments import segments
from netlab.model.topology import Network, Node, Topology
from netlab.plan.links import Links, derived_mac, plan_links
from netlab.plan.names import Names
from netlab.plan.neighbours import neighbours
from netlab.plan.ops import (
    MIDDLE,
    WIRE,
    AddAddress,
    AddRoute,
    CreateBridge,
    CreateNamespace,
    LoadRuleset,
    Operation,
    Plan,
    StartRole,
    StartWire,
)
from netlab.plan.routes import Routes, defaults, routes
from netlab.plan.ruleset import ruleset
from netlab.plan.sysctls import has_ipv6, middle_sysctls, sysctls

# Whom others call starts before its callers.
SPARE_METRIC = 100  # of the second gateway's default route; the first has 0
_ORDER = (
    "ocsp",
    "database",
    "app",
    "proxy",
    "balancer",
    "nameserver",
    "resolver",
    "cdn",
    "command",
    "datagrams",
    "client",
)


def plan(topology: Topology, capabilities: Capabilities) -> Plan:
    """What to do to bring `topology` up; the same for the same arguments.

    Raises HostError where the machine lacks what the topology asks for, InputError where a role calls
    a node to which there is no way.
    """
    _require_ipv6(topology, capabilities)
    found = segments(topology.nodes, topology.links)
    ways = {version: routes(topology, found, version) for version in (4, 6)}
    links = plan_links(topology, capabilities)
    names = Names(topology, ways)
    operations: list[Operation] = [
        *_namespaces(topology, links, capabilities),
        *links.veths,
        *links.offloads,
        *_bridges(topology),
        *_addresses(topology),
        *neighbours(topology, links.lines),
        *_routes(topology, ways),
        *_rulesets(topology, capabilities),
        *links.crossings,
        *links.qdiscs,
    ]
    if links.wires:
        operations.append(StartWire(tuple(links.wires)))
    operations += _roles(topology, names)
    return Plan(
        name=topology.name,
        operations=tuple(operations),
        interfaces=tuple((name, one) for name, node in topology.nodes.items() for one in node.interfaces),
        addresses={name: tuple(map(str, found)) for name, found in names.addresses.items()},
        resolvers={
            name: tuple(names.address(name, resolver) for resolver in node.resolvers)
            for name, node in topology.nodes.items()
        },
        locations=_locations(topology),
        backend=links.backend,
        playbacks={
            f"{link.name} {direction}": played
            for link in topology.links
            for direction, played in link.playback.items()
        },
    )


def _require_ipv6(topology: Topology, capabilities: Capabilities) -> None:
    if not capabilities.ipv6:
        for name, node in topology.nodes.items():
            if has_ipv6(node):
                raise HostError(
                    f"node {name} has an IPv6 address, and this kernel has no IPv6",
                    "boot without ipv6.disable=1, or leave IPv6 addresses out",
                )


def _namespaces(topology: Topology, links: Links, capabilities: Capabilities) -> Iterator[Operation]:
    for name in topology.nodes:
        yield CreateNamespace(name)
    for middle, needed in ((WIRE, links.wires), (MIDDLE, links.crossings)):
        if needed:
            yield CreateNamespace(middle)
            yield from middle_sysctls(middle, capabilities)
    for name, node in topology.nodes.items():
        yield from sysctls(name, node, capabilities)


def _bridges(topology: Topology) -> Iterator[CreateBridge]:
    for name, node in topology.nodes.items():
        if node.kind == "switch":
            yield CreateBridge(name, BRIDGE, derived_mac(f"{name}:{BRIDGE}"), tuple(node.interfaces))


def _addresses(topology: Topology) -> Iterator[AddAddress]:
    for name, node in topology.nodes.items():
        for interface, one in node.interfaces.items():
            for address in one.addresses:
                yield AddAddress(name, interface, str(address))


def _routes(topology: Topology, ways: dict[int, Routes]) -> Iterator[AddRoute]:
    tables = {version: _Tables(topology, found) for version, found in ways.items()}
    texts = {version: _Texts(found) for version, found in ways.items()}
    for number, (name, node) in enumerate(topology.nodes.items()):
        if node.kind != "switch":
            for version in ways:
                yield from _routes_of(name, node, tables[version].of(number), texts[version])
                for turn, hop in enumerate(tables[version].spare[number], 1):
                    everything = texts[version].prefix(0, 0)
                    yield AddRoute(name, everything, texts[version].address(hop), turn * SPARE_METRIC)


class _Tables:
    """The tables of one family, with the default routes that users declared."""

    def __init__(self, topology: Topology, found: Routes) -> None:
        gateways = [_gateways(node, found.version) for node in topology.nodes.values()]
        self.found = found
        self.near = [near for _, near in gateways]
        self.defaults = defaults(found, {node: hops[0] for node, (hops, _) in enumerate(gateways) if hops})
        # What a host with several gateways falls back to when the interface of the first has no carrier.
        self.spare = [hops[1:] for hops, _ in gateways]

    def of(self, number: int) -> list[tuple[int, int, int]]:
        return self.found.table(number, self.defaults.get(number, 0), self.near[number])


def _routes_of(name: str, node: Node, table: list[tuple[int, int, int]], texts: _Texts) -> Iterator[AddRoute]:
    """The computed routes, then the user's own, which take the place of those within them."""
    static = [route for route in node.routes if route.to.version == texts.version]
    for first, length, hop in table:
        if static and any(texts.within(first, length, route.to) for route in static):
            continue
        yield AddRoute(name, texts.prefix(first, length), texts.address(hop))
    for route in static:
        yield AddRoute(name, str(route.to), str(route.via))


class _Texts:
    """Integers as text. Most prefixes are in the tables of many nodes, so they are kept."""

    def __init__(self, found: Routes) -> None:
        self.version = found.version
        self.bits = found.bits
        self._type = IPv4Address if found.version == 4 else IPv6Address
        self._addresses: dict[int, str] = {}
        self._prefixes: dict[tuple[int, int], str] = {}

    def address(self, value: int) -> str:
        text = self._addresses.get(value)
        if text is None:
            text = self._addresses[value] = str(self._type(value))
        return text

    def prefix(self, first: int, length: int) -> str:
        text = self._prefixes.get((first, length))
        if text is None:
            text = self._prefixes[first, length] = f"{self.address(first)}/{length}"
        return text

    def within(self, first: int, length: int, other: Network) -> bool:
        """A static default route replaces the computed default, and leaves what is more exact."""
        if other.prefixlen == 0:
            return length == 0
        shift = self.bits - other.prefixlen
        return length >= other.prefixlen and first >> shift == int(other.network_address) >> shift


def _gateways(node: Node, version: int) -> tuple[list[int], tuple[range, ...]]:
    """The declared gateways in their order, and the subnets in which a host leaves every choice to them."""
    hops: list[int] = []
    near: list[range] = []
    for one in node.interfaces.values():
        for gateway in one.gateways:
            if gateway.version != version:
                continue
            hops.append(int(gateway))
            for address in one.addresses:
                if node.kind == "host" and gateway in address.network:
                    start = int(address.network.network_address)
                    near.append(range(start, int(address.network.broadcast_address) + 1))
    return hops, tuple(near)


def _rulesets(topology: Topology, capabilities: Capabilities) -> Iterator[LoadRuleset]:
    for name, node in topology.nodes.items():
        text = ruleset(node)
        if text and not capabilities.nft:
            raise HostError(
                f"router {name} translates or filters, and there is no nft", "apt install nftables"
            )
        if text:
            yield LoadRuleset(name, text)


def _roles(topology: Topology, names: Names) -> list[StartRole]:
    started = []
    for name, node in topology.nodes.items():
        count: dict[str, int] = {}
        addresses = tuple(map(str, names.addresses.get(name, ())))
        for spec in node.roles:
            count[spec.kind] = count.get(spec.kind, 0) + 1
            role = spec.kind if count[spec.kind] == 1 else f"{spec.kind}-{count[spec.kind]}"
            started.append(StartRole(name, role, names.spec(name, spec), certified(spec, addresses)))
    return sorted(started, key=lambda start: _ORDER.index(start.spec.kind))


def certified(spec: RoleSpec, addresses: tuple[str, ...] = ()) -> tuple[str, ...]:
    """What the role's certificate must carry; empty: it needs none. `addresses`: its node's, by which
    clients know a resolver."""
    if isinstance(spec, ResolverSpec):
        return (*spec.names, *addresses) if spec.dot or spec.doh else ()
    return spec.names if isinstance(spec, AppSpec | CdnSpec | CommandSpec | ProxySpec) else ()


def _locations(topology: Topology) -> dict[str, str]:
    """Every address of a node that has a location, and every subnet whose nodes all have the same."""
    hosts: dict[str, str] = {}
    subnets: dict[str, set[str]] = {}
    for node in topology.nodes.values():
        for one in node.interfaces.values():
            for address in one.addresses:
                if node.location:
                    hosts.setdefault(str(ip_network(address.ip)), node.location)
                subnets.setdefault(str(address.network), set()).add(node.location)
    shared = {subnet: next(iter(places)) for subnet, places in subnets.items() if len(places) == 1}
    return {subnet: place for subnet, place in shared.items() if place} | hosts
