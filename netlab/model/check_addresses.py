"""Rules about addresses: none twice, no subnet on two segments, every gateway within reach."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_network

from netlab.model.draft import Draft
from netlab.model.resolve import Resolved
from netlab.model.segments import OUTER, Port, Segments, realms
from netlab.model.topology import Address, InterfaceAddress, Network
from netlab.model.yaml import Path

# RFC 1918, RFC 6598 (carrier-grade NAT), RFC 4193: may repeat in realms that NAT keeps apart.
_PRIVATE = tuple(
    ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
)
_RANGES = tuple(
    (network.version, int(network.network_address), int(network.broadcast_address)) for network in _PRIVATE
)


@dataclass(frozen=True, slots=True)
class _Use:
    """One address on one interface. `scope`: within which it must be unique."""

    port: Port
    index: int
    address: InterfaceAddress
    segment: int
    scope: tuple[str, int]
    start: int
    end: int

    @property
    def name(self) -> str:
        return ":".join(self.port)

    @property
    def path(self) -> Path:
        return ("nodes", self.port[0], "interfaces", self.port[1], "address", self.index)


@dataclass(slots=True)
class Owners:
    """Who has an address: by segment, and anywhere."""

    on_segment: dict[tuple[int, Address], Port] = field(default_factory=dict)
    nodes: dict[Address, list[str]] = field(default_factory=dict)


def check_addresses(draft: Draft, resolved: Resolved, found: Segments) -> Owners:
    """Report wrong addresses, subnets, gateways and static routes; return who has which address."""
    realm = realms(resolved.nodes, found)
    uses = list(_uses(resolved, found, realm))
    owners = Owners()
    seen: dict[tuple[tuple[str, int], Address], _Use] = {}
    for use in uses:
        ip = use.address.ip
        first = seen.setdefault((use.scope, ip), use)
        if first is not use:
            draft.add(use.path, f"address {ip} is already on {first.name}")
        owners.on_segment.setdefault((use.segment, ip), use.port)
        owners.nodes.setdefault(ip, []).append(use.port[0])
        _check_usable(draft, use)
    by_segment: dict[int, list[_Use]] = {}
    for use in uses:
        by_segment.setdefault(use.segment, []).append(use)
    for members in by_segment.values():
        _check_segment(draft, members)
    if resolved.complete:  # else what is one segment might look like two
        linked = {(end.node, end.interface) for link in resolved.links for end in link.ends}
        _check_overlaps(draft, [use for use in uses if use.port in linked and use.scope[0] != "link-local"])
    _check_overlaps_at_nat(draft, resolved, uses)
    _check_gateways(draft, resolved, found, owners)
    return owners


def _uses(resolved: Resolved, found: Segments, realm: list[int]) -> Iterator[_Use]:
    for name, node in resolved.nodes.items():
        if node.kind == "switch":
            continue
        for interface, one in node.interfaces.items():
            segment = found.of[name, interface]
            for index, address in enumerate(one.addresses):
                start = int(address.ip) & int(address.netmask)
                end = start | int(address.hostmask)
                scope = _scope(address, start, segment, realm[segment])
                yield _Use((name, interface), index, address, segment, scope, start, end)


def _scope(address: InterfaceAddress, start: int, segment: int, realm: int) -> tuple[str, int]:
    version = address.version
    if version == 6 and start >> 118 == 0x3FA:  # fe80::/10
        return ("link-local", segment)
    private = any(version == one and low <= start <= high for one, low, high in _RANGES)
    return (f"ipv{version}", realm if private else OUTER)


def _check_usable(draft: Draft, use: _Use) -> None:
    ip, network = use.address.ip, use.address.network
    few = network.max_prefixlen - network.prefixlen < 2  # RFC 3021: both addresses of a /31 are usable
    if ip.is_multicast or ip.is_loopback or ip.is_unspecified:
        draft.add(use.path, f"{ip} can't be an interface's address")
    elif few:
        return
    elif int(ip) == use.start:
        draft.add(use.path, f"{ip} is the address of the network {network} itself", _hosts(network))
    elif ip.version == 4 and int(ip) == use.end:
        draft.add(use.path, f"{ip} is the broadcast address of {network}", _hosts(network))


def _hosts(network: Network) -> str:
    return f"hosts have {network[1]} to {network[-2]}"


def _check_segment(draft: Draft, members: list[_Use]) -> None:
    """Interfaces that hear each other share a subnet, family by family."""
    first: dict[int, _Use] = {}
    known: dict[int, set[tuple[int, int]]] = {}
    by_port: dict[tuple[Port, int], list[_Use]] = {}
    for use in members:
        if use.scope[0] != "link-local":
            by_port.setdefault((use.port, use.address.version), []).append(use)
    for (_, version), uses in by_port.items():
        subnets = {(use.start, use.end) for use in uses}
        before = known.setdefault(version, set())
        if before and not before & subnets:
            other = first[version]
            message = f"{uses[0].address} is not in the subnet of {other.name} on the same segment"
            draft.add(uses[0].path, message, f"that is {other.address.network}")
        else:
            first.setdefault(version, uses[0])
            before |= subnets


def _check_overlaps(draft: Draft, uses: list[_Use]) -> None:
    """No address block on two segments: a router would not know which is meant."""
    order = {id(use): index for index, use in enumerate(uses)}
    found: dict[tuple[object, ...], tuple[_Use, _Use]] = {}
    widest: _Use | None = None
    for use in sorted(uses, key=lambda one: (one.scope, one.start, -one.end)):
        if widest is None or widest.scope != use.scope or use.start > widest.end:
            widest = use
        elif use.segment != widest.segment and use.address.ip != widest.address.ip:
            later, other = sorted((use, widest), key=lambda one: -order[id(one)])
            found.setdefault((use.segment, use.start, use.end, widest.segment), (later, other))
        if use.end > widest.end:
            widest = use
    for later, other in found.values():  # once for two segments, however many interfaces they have
        message = f"subnet {later.address.network} overlaps {other.address.network} of {other.name}"
        draft.add(later.path, message, "they are on different segments, so they need different subnets")


def _check_overlaps_at_nat(draft: Draft, resolved: Resolved, uses: list[_Use]) -> None:
    """A translating router sees both realms, so on its own interfaces no block may repeat."""
    for name, node in resolved.nodes.items():
        if not node.nat:
            continue
        own = [use for use in uses if use.port[0] == name]
        for index, use in enumerate(own):
            for other in own[:index]:
                apart = use.scope != other.scope and use.address.version == other.address.version
                if apart and use.start <= other.end and other.start <= use.end:
                    message = f"subnet {use.address.network} overlaps that of the router's own {other.name}"
                    draft.add(use.path, message)


def _check_gateways(draft: Draft, resolved: Resolved, found: Segments, owners: Owners) -> None:
    for name, node in resolved.nodes.items():
        if node.kind == "switch":
            continue
        for interface, one in node.interfaces.items():
            families: set[int] = set()
            for index, gateway in enumerate(one.gateways):
                path: Path = ("nodes", name, "interfaces", interface, "gateway", index)
                if gateway.version in families:
                    draft.add(path, f"{interface} has another gateway for IPv{gateway.version}")
                    continue
                families.add(gateway.version)
                _check_next_hop(draft, path, gateway, (name, (interface,)), (resolved, found, owners))
        for index, route in enumerate(node.routes):
            via: Path = ("nodes", name, "routes", index, "via")
            if route.to.version != route.via.version:
                draft.add(via, f"{route.via} is no next hop for {route.to}", "both are IPv4, or both IPv6")
            else:
                _check_next_hop(
                    draft, via, route.via, (name, tuple(node.interfaces)), (resolved, found, owners)
                )


def _check_next_hop(
    draft: Draft,
    path: Path,
    hop: Address,
    source: tuple[str, tuple[str, ...]],
    world: tuple[Resolved, Segments, Owners],
) -> None:
    """`hop` must be in a subnet of one of the source's interfaces, and a router there must have it."""
    (name, interfaces), (resolved, found, owners) = source, world
    node = resolved.nodes[name]
    subnets = {one: [address.network for address in node.interfaces[one].addresses] for one in interfaces}
    near = [one for one, networks in subnets.items() if any(hop in network for network in networks)]
    if not near:
        if draft.is_broken("nodes", name, "interfaces"):
            return
        reach = ", ".join(str(network) for networks in subnets.values() for network in networks)
        draft.add(path, f"{hop} is not in a subnet of `{name}`", f"it reaches {reach}" if reach else "")
        return
    segment = found.of[name, near[0]]
    owner = owners.on_segment.get((segment, hop))
    if owner is None:
        if resolved.complete and not draft.broken:
            routers = _routers_on(segment, hop.version, resolved, found)
            draft.add(path, f"nobody on the segment of {name}:{near[0]} has {hop}", routers)
    elif owner[0] == name:
        draft.add(path, f"{hop} is an address of `{name}` itself")
    elif resolved.nodes[owner[0]].kind != "router" and not draft.is_broken("nodes", owner[0], "kind"):
        draft.add(path, f"{hop} is on `{owner[0]}`, which does not forward", "say `kind: router` there")


def _routers_on(segment: int, version: int, resolved: Resolved, found: Segments) -> str:
    there = [
        f"{name} has {address.ip}"
        for name, interface in found.ports[segment]
        if resolved.nodes[name].kind == "router"
        for address in resolved.nodes[name].interfaces[interface].addresses
        if address.version == version
    ]
    return ", ".join(there) or "there is no router on it"
