"""The sysctls of a node. They are set before its interfaces exist, so that those inherit the defaults."""

from __future__ import annotations

from collections.abc import Iterator

from netlab.model.capabilities import Capabilities
from netlab.model.topology import Node
from netlab.plan.ops import SetSysctl

_NO_IPV6 = ("net.ipv6.conf.default.disable_ipv6", "1")


def sysctls(name: str, node: Node, capabilities: Capabilities) -> Iterator[SetSysctl]:
    """What a node needs, then what its user asks for."""
    for key, value in _needed(node, capabilities):
        yield SetSysctl(name, key, value)
    for key, value in node.sysctls.items():
        yield SetSysctl(name, key, value)


def middle_sysctls(node: str, capabilities: Capabilities) -> Iterator[SetSysctl]:
    """Interfaces in the middle of links must not speak: their frames would appear on the links."""
    if capabilities.ipv6:
        yield SetSysctl(node, *_NO_IPV6)


def has_ipv6(node: Node) -> bool:
    """True where an interface has an IPv6 address."""
    return any(address.version == 6 for one in node.interfaces.values() for address in one.addresses)


def _needed(node: Node, capabilities: Capabilities) -> Iterator[tuple[str, str]]:
    # A new namespace takes the host's IPv4 settings over, so what matters is set either way.
    if node.kind != "switch":
        yield "net.ipv4.ip_forward", "1" if node.kind == "router" else "0"
    if node.kind != "switch" and len(node.interfaces) > 1:
        yield "net.ipv4.conf.all.rp_filter", "0"  # answers may come by another way
        yield "net.ipv4.conf.default.rp_filter", "0"
    if has_ipv6(node):
        yield from _ipv6(node)
    elif capabilities.ipv6:
        yield _NO_IPV6  # without addresses IPv6 would only add link-local chatter to the captures
    if len([one for one in node.interfaces.values() if one.gateways]) > 1:
        # What has no carrier is no way out, as on a phone that has left the Wi-Fi.
        yield "net.ipv4.conf.default.ignore_routes_with_linkdown", "1"
        if capabilities.ipv6:
            yield "net.ipv6.conf.default.ignore_routes_with_linkdown", "1"
    if node.kind == "host":
        # A second connection must not profit from what the kernel remembers of the first.
        yield "net.ipv4.tcp_no_metrics_save", "1"
    if node.roles:
        # Roles are unprivileged, and yet serve port 53 and 443, and may ping.
        yield "net.ipv4.ip_unprivileged_port_start", "0"
        yield "net.ipv4.ping_group_range", "0 2147483647"


def _ipv6(node: Node) -> Iterator[tuple[str, str]]:
    """Addresses are usable at once (no duplicate detection), and come from the topology alone."""
    yield "net.ipv6.conf.default.accept_dad", "0"
    yield "net.ipv6.conf.default.accept_ra", "0"
    if node.kind == "router":
        yield "net.ipv6.conf.all.forwarding", "1"
