"""Rules about one node or link by itself: names, MAC addresses, what a kind of node may have."""

from __future__ import annotations

import re

from netlab.model.draft import Draft
from netlab.model.resolve import Resolved, name_rule, valid_interface
from netlab.model.segments import Segments
from netlab.model.suggest import nearest
from netlab.model.topology import Node
from netlab.model.yaml import Path

_MAC = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}\Z")
_SYSCTL = re.compile(r"net([./][A-Za-z0-9_-]+)+\Z")
_IPV6_MTU = 1280  # RFC 8200 section 5


def check_nodes(draft: Draft, resolved: Resolved, found: Segments) -> None:
    """Report what is wrong with nodes and links by themselves."""
    macs: dict[str, str] = {}
    linked = {(end.node, end.interface) for link in resolved.links for end in link.ends}
    for name, node in resolved.nodes.items():
        _check_kind(draft, name, node)
        _check_nat(draft, name, node)
        _check_sysctls(draft, name, node)
        for interface, one in node.interfaces.items():
            path = ("nodes", name, "interfaces", interface)
            if interface not in draft.entry.nodes[name].interfaces:
                continue
            if not valid_interface(interface):
                draft.add(path, f"`{interface}` can't be an interface's name", name_rule(interface), True)
            elif resolved.complete and (name, interface) not in linked:
                draft.add(path, f"interface `{interface}` is in no link", "link it, or leave it out", True)
            if one.mac:
                _check_mac(draft, macs, f"{name}:{interface}", one.mac)
    _check_links(draft, resolved, found)


def _check_kind(draft: Draft, name: str, node: Node) -> None:
    path = ("nodes", name)
    if draft.is_broken(*path, "kind"):
        return
    if node.kind == "switch":
        if node.roles:
            draft.add((*path, "roles"), "a switch has no roles", "put them on a host", True)
        for interface, one in node.interfaces.items():
            if one.addresses:
                where = (*path, "interfaces", interface)
                draft.add(where, "a switch's port has no address", "put it on a host or router", True)
    if node.kind != "router":
        for key, what in (("nat", node.nat), ("forwarding", node.forwarding.model_fields_set)):
            if what and key in draft.entry.nodes[name].model_fields_set:
                draft.add((*path, key), f"a {node.kind} does not forward", "say `kind: router`", True)


def _check_nat(draft: Draft, name: str, node: Node) -> None:
    for index, rule in enumerate(node.nat):
        _check_interface(draft, name, node, ("nodes", name, "nat", index, "out"), rule.out)
    for index, accept in enumerate(node.forwarding.accept):
        path: Path = ("nodes", name, "forwarding", "accept", index)
        if accept.interface:
            _check_interface(draft, name, node, (*path, "interface"), accept.interface)
        if accept.port and accept.protocol not in ("tcp", "udp"):
            draft.add((*path, "port"), "a port needs a protocol", "say `protocol: tcp` or `protocol: udp`")


def _check_interface(draft: Draft, name: str, node: Node, path: Path, interface: str) -> None:
    if interface not in node.interfaces and not draft.is_broken("nodes", name, "interfaces", interface):
        known = nearest(interface, node.interfaces, "its interfaces")
        draft.add(path, f"node `{name}` has no interface `{interface}`", known)


def _check_sysctls(draft: Draft, name: str, node: Node) -> None:
    for key in node.sysctls:
        if not _SYSCTL.match(key):
            hint = "only those under net. belong to a node"
            draft.add(("nodes", name, "sysctls", key), f"`{key}` is no network sysctl", hint, True)


def _check_mac(draft: Draft, seen: dict[str, str], port: str, mac: str) -> None:
    name, _, interface = port.partition(":")
    path = ("nodes", name, "interfaces", interface, "mac")
    if not _MAC.match(mac):
        draft.add(path, f"`{mac}` is not a MAC address", "write for example 02:00:00:00:00:01")
    elif int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
        draft.add(path, f"`{mac}` is a group address", "the first byte of an interface's own MAC is even")
    elif mac in seen:
        draft.add(path, f"MAC address {mac} is already on {seen[mac]}")
    else:
        seen[mac] = port


def _check_links(draft: Draft, resolved: Resolved, found: Segments) -> None:
    for index in found.loops:
        message = "this link closes a loop of switches, in which a broadcast would circle for ever"
        draft.add(resolved.link_paths[index], message, "leave one of the links out")
    for link, path in zip(resolved.links, resolved.link_paths, strict=True):
        if link.mtu >= _IPV6_MTU:
            continue
        for end in link.ends:
            one = resolved.nodes[end.node].interfaces[end.interface]
            if any(address.version == 6 for address in one.addresses):
                message = f"MTU {link.mtu} is too small for IPv6 on {end}"
                draft.add((*path, "mtu"), message, f"at least {_IPV6_MTU}")
                break
