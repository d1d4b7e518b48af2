"""An operation in a few words, for errors."""

from __future__ import annotations

from typing import assert_never

from netlab.plan.ops import (
    AddAddress,
    AddNeighbour,
    AddRoute,
    CreateBridge,
    CreateNamespace,
    CreateVeth,
    CrossConnect,
    LoadRuleset,
    Operation,
    SetOffloads,
    SetQdisc,
    SetSysctl,
    StartRole,
    StartWire,
)


def describe(operation: Operation) -> str:  # noqa: C901, PLR0911 - one case for each operation
    """What the operation does and to what: "create veth a:eth0 -- b:eth0"."""
    match operation:
        case CreateNamespace(node):
            return f"create namespace {node}"
        case CreateVeth(a, b):
            return f"create veth {a.node}:{a.interface} -- {b.node}:{b.interface}"
        case CreateBridge(node, interface):
            return f"create bridge {node}:{interface}"
        case AddAddress(node, interface, address):
            return f"add address {address} to {node}:{interface}"
        case AddNeighbour(node, interface, address):
            return f"add neighbour {address} at {node}:{interface}"
        case AddRoute(node, to, via, metric):
            return f"add route to {to} via {via} in {node}" + (f", metric {metric}" if metric else "")
        case SetSysctl(node, key, value):
            return f"set sysctl {key} = {value} in {node}"
        case LoadRuleset(node):
            return f"load nftables ruleset in {node}"
        case SetOffloads(node, interface, enabled):
            return f"turn offloads {'on' if enabled else 'off'} at {node}:{interface}"
        case SetQdisc(node, interface):
            return f"set netem at {node}:{interface}"
        case CrossConnect(link, node, a, b):
            return f"connect {node}:{a} and {node}:{b} in the middle of {link}"
        case StartWire():
            return "start wire"
        case StartRole(node, role):
            return f"start role {role} in {node}"
        case _:
            assert_never(operation)
