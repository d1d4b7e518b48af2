"""What an interface's going down took from its node, and the plan gives back. Pure."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface

from netlab.lab.live_link import Cut
from netlab.plan.ops import AddAddress, AddNeighbour, AddRoute, Plan


def lost_by(plan: Plan, cut: Cut) -> list[AddAddress | AddNeighbour | AddRoute]:
    """The operations to do again, in order, once the interface is up.

    Linux drops an interface's IPv6 addresses, its neighbours, and the routes that go by it; IPv4 addresses
    stay, and with them the routes to their subnets.
    """
    place = (cut.node, cut.interface)
    addresses = [op for op in plan.operations if isinstance(op, AddAddress) and _place(op) == place]
    subnets = [ip_interface(op.address).network for op in addresses]
    again: list[AddAddress | AddNeighbour | AddRoute] = [op for op in addresses if ":" in op.address]
    for op in plan.operations:
        if isinstance(op, AddNeighbour) and _place(op) == place:
            again.append(op)
        elif isinstance(op, AddRoute) and op.node == cut.node:
            via = ip_address(op.via)
            if any(via.version == subnet.version and via in subnet for subnet in subnets):
                again.append(op)
    return again


def _place(op: AddAddress | AddNeighbour) -> tuple[str, str]:
    return op.node, op.interface
