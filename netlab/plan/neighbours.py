"""Neighbour entries of long lines, which need no ARP."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from netlab.model.topology import Link, Topology
from netlab.plan.ops import AddNeighbour, Port


def neighbours(topology: Topology, lines: Iterable[tuple[Link, Port, Port]]) -> Iterator[AddNeighbour]:
    """Each end of a router's delayed line knows the other's addresses from the start.

    On the lines that such links stand for (PPP, optical paths, mobile bearers) nobody asks for MAC
    addresses; ARP (RFC 826) across an ocean would put a round trip before the first packet that no real
    network has. On a LAN, and between two hosts, ARP and neighbour discovery happen as they do.
    """
    for link, a, b in lines:
        kinds = {topology.nodes[port.node].kind for port in (a, b)}
        if "router" in kinds and "switch" not in kinds and (link.up.delay_ns or link.down.delay_ns):
            yield from _known(topology, a, b)
            yield from _known(topology, b, a)


def _known(topology: Topology, port: Port, far: Port) -> Iterator[AddNeighbour]:
    for address in topology.nodes[far.node].interfaces[far.interface].addresses:
        yield AddNeighbour(port.node, port.interface, str(address.ip), far.mac)
