"""From entries to the words of the topology: ends become interfaces, media become impairments."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from netlab.model.check_commands import with_configs
from netlab.model.draft import Draft
from netlab.model.edge_sources import with_sources
from netlab.model.entries import INTERFACE, NodeEntry
from netlab.model.link_entries import LinkEntry
from netlab.model.resolve_links import resolve_link
from netlab.model.roles import CommandSpec
from netlab.model.suggest import nearest
from netlab.model.topology import Endpoint, Forwarding, Interface, Link, Node, Pat, StaticRoute
from netlab.model.yaml import Path

BRIDGE = "br0"  # the bridge of a switch
RESERVED = ("lo", BRIDGE, "all", "default")  # the last two are names of /proc/sys/net/ipv4/conf
_VALID = re.compile(INTERFACE)


@dataclass(slots=True)
class Resolved:
    """`link_paths`: where each link is written. `complete`: every link's ends are known."""

    nodes: dict[str, Node] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)
    link_paths: list[Path] = field(default_factory=list)
    complete: bool = True


def resolve(draft: Draft) -> Resolved:
    """The nodes and links of a draft, without what can't be resolved; problems go to the draft."""
    resolved = Resolved()
    ends = _Ends(draft).resolve()
    resolved.complete = ends.complete
    for index, entry in enumerate(draft.entry.links):
        pair = ends.found.get(index)
        if pair is not None:
            resolved.links.append(resolve_link(draft, ("links", index), entry, pair))
            resolved.link_paths.append(("links", index))
    for name, node in draft.entry.nodes.items():
        made = _node(node, ends.ports.get(name, ()))
        roles = tuple(
            with_configs(draft, ("nodes", name, "roles", index), spec)
            if isinstance(spec, CommandSpec)
            else spec
            for index, spec in enumerate(made.roles)
        )
        roles = with_sources(draft, ("nodes", name, "roles"), roles)
        resolved.nodes[name] = made.model_copy(update={"roles": roles})
    return resolved


def valid_interface(name: str) -> bool:
    """True where the kernel and its sysctl tree take `name` for an interface."""
    return bool(_VALID.match(name)) and name not in RESERVED


def _node(entry: NodeEntry, ports: tuple[str, ...] | Mapping[str, int]) -> Node:
    interfaces = {
        name: Interface(addresses=one.address, gateways=one.gateway, mac=one.mac.lower())
        for name, one in entry.interfaces.items()
    }
    if entry.kind == "switch":
        interfaces |= {name: Interface() for name in ports if name not in interfaces}
    return Node(
        kind=entry.kind,
        location=entry.location,
        interfaces=interfaces,
        roles=entry.roles,
        nat=tuple(Pat(out=rule.out) for rule in entry.nat),
        forwarding=Forwarding(
            policy=entry.forwarding.policy,
            accept=tuple(Forwarding.Accept(**dict(rule)) for rule in entry.forwarding.accept),
        ),
        routes=tuple(StaticRoute(to=route.to, via=route.via) for route in entry.routes),
        resolvers=entry.resolvers,
        sysctls=entry.sysctls,
    )


class _Ends:
    """Finds the interfaces that links mean. Named interfaces come first, then those to be chosen."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.nodes = draft.entry.nodes
        self.ports: dict[str, dict[str, int]] = {}  # node ─► interface ─► its link
        self.found: dict[int, tuple[Endpoint, Endpoint]] = {}
        self.complete = not any(path[0] == "links" and len(path) < 3 for path in draft.broken)

    def resolve(self) -> _Ends:
        links = self.draft.entry.links
        halves: dict[tuple[int, int], str | None] = {}
        for named in (True, False):
            for index, link in enumerate(links):
                for side in (0, 1):
                    if (":" in link.ends[side]) == named:
                        halves[index, side] = self._interface(index, side, link)
        for index, link in enumerate(links):
            a, b = halves[index, 0], halves[index, 1]
            if a is None or b is None:
                self.complete = False
                continue
            first, second = (end.partition(":")[0] for end in link.ends)
            if first == second:
                self.draft.add(("links", index, "ends"), f"joins `{first}` to itself")
                continue
            self.found[index] = (Endpoint(node=first, interface=a), Endpoint(node=second, interface=b))
        return self

    def _interface(self, index: int, side: int, link: LinkEntry) -> str | None:
        path: Path = ("links", index, "ends", side)
        name, _, interface = link.ends[side].partition(":")
        if name not in self.nodes:
            if not self.draft.is_broken("nodes", name):
                self.draft.add(path, f"unknown node `{name}`", nearest(name, self.nodes, "nodes"))
            return None
        if not interface:
            peer = link.ends[1 - side].partition(":")[0]
            interface = self._chosen(path, name, peer) or ""
        elif not self._exists(path, name, interface):
            return None
        return self._claimed(path, index, name, interface) if interface else None

    def _exists(self, path: Path, name: str, interface: str) -> bool:
        node = self.nodes[name]
        if interface in node.interfaces:
            return True
        if self.draft.is_broken("nodes", name, "interfaces", interface):
            return False
        if node.kind == "switch":
            if valid_interface(interface):
                return True
            self.draft.add(path, f"`{interface}` can't be an interface's name", name_rule(interface))
            return False
        if self.draft.is_broken("nodes", name, "kind"):
            return False
        known = nearest(interface, node.interfaces, "its interfaces")
        self.draft.add(path, f"node `{name}` has no interface `{interface}`", known)
        return False

    def _claimed(self, path: Path, index: int, name: str, interface: str) -> str | None:
        taken = self.ports.setdefault(name, {})
        if interface in taken:
            line = self.draft.line(("links", taken[interface]))
            self.draft.add(path, f"`{name}:{interface}` is already in the link of line {line}")
            return None
        taken[interface] = index
        return interface

    def _chosen(self, path: Path, name: str, peer: str) -> str | None:
        taken = self.ports.setdefault(name, {})
        node = self.nodes[name]
        if node.kind == "switch":
            return port_name(peer, {*taken, *RESERVED})
        free = [one for one in node.interfaces if one not in taken]
        if len(free) == 1:
            return free[0]
        if self._unknown(name):
            return None
        if free:
            choice = " or ".join(f"{name}:{one}" for one in free)
            self.draft.add(path, f"node `{name}` has {len(free)} interfaces; which is meant?", choice)
        elif node.interfaces:
            self.draft.add(path, f"every interface of node `{name}` is in another link", "give it one more")
        else:
            self.draft.add(
                path, f"node `{name}` has no interface", "give it one, such as `eth0: 10.0.0.1/24`"
            )
        return None

    def _unknown(self, name: str) -> bool:
        """True where a node's interfaces, or whether it is a switch, could not be read."""
        return self.draft.is_broken("nodes", name, "interfaces") or self.draft.is_broken(
            "nodes", name, "kind"
        )


def port_name(peer: str, taken: set[str]) -> str:
    """A switch port's name: the peer's, cut to what the kernel takes, and made unique."""
    name, count = peer[:15], 1
    while name in taken:
        count += 1
        name = f"{peer[: 14 - len(str(count))]}-{count}"
    return name


def name_rule(name: str) -> str:
    """Why `name` can't be an interface."""
    if name in RESERVED:
        return "the kernel or netlab has that name already"
    if len(name) > 15:
        return f"it has {len(name)} characters; the kernel takes 15"
    return "use letters, digits, _ . and -"
