"""What a run directory says of its lab: pure, from the topology and what the capture counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from netlab.model.impairment import Impairment
from netlab.model.topology import Link, Node, Topology
from netlab.trace.run import Run, RunCapture, RunDrops, RunLink, RunNode, RunRelay


def run_of(
    topology: Topology,
    *,
    scenario: str,
    lab: str,
    times_ns: tuple[int, int],
    backend: str,
    capture: RunCapture,
    links: Mapping[tuple[str, str], tuple[Impairment, Impairment]],
    relay: RunRelay | None = None,
) -> Run:
    """run.json of a scenario. `times_ns`: when the capture started and stopped, CLOCK_REALTIME.

    `links`: ends ─► what the link did in the run, up and down, which may not be what the topology says.
    """
    return Run(
        scenario=scenario,
        lab=lab,
        topology=topology.name,
        started_ns=times_ns[0],
        ended_ns=times_ns[1],
        backend=backend,
        nodes={name: _node(node) for name, node in topology.nodes.items()},
        links=tuple(_link(link, links) for link in topology.links),
        capture=capture,
        relay=relay,
    )


def _node(node: Node) -> RunNode:
    addresses = tuple(
        str(address.ip) for interface in node.interfaces.values() for address in interface.addresses
    )
    return RunNode(
        kind=node.kind,
        location=node.location,
        roles=tuple(role.kind for role in node.roles),
        addresses=addresses,
    )


def _link(link: Link, now: Mapping[tuple[str, str], tuple[Impairment, Impairment]]) -> RunLink:
    ends = (str(link.ends[0]), str(link.ends[1]))
    up, down = now.get(ends, (link.up, link.down))
    return RunLink(ends=ends, medium=link.medium, mtu=link.mtu, up=up, down=down)


def with_drops(run: Run, dropped: Mapping[tuple[str, str], tuple[RunDrops, RunDrops]]) -> Run:
    """The run with what its links did not deliver, by their ends, up and down."""
    links = tuple(link.model_copy(update={"dropped": dropped.get(link.ends)}) for link in run.links)
    return run.model_copy(update={"links": links})


def drops_of(
    before: Iterable[Mapping[str, Any]], after: Iterable[Mapping[str, Any]]
) -> dict[tuple[str, str], tuple[RunDrops, RunDrops]]:
    """Ends ─► what links did not deliver between two of their documents (`LabClient.links`), up and down. A
    counter that went back has begun anew in between."""
    then = {tuple(link["ends"]): link for link in before}
    found = {}
    for link in after:
        ends = (str(link["ends"][0]), str(link["ends"][1]))
        first = then.get(ends)
        if first is not None:
            found[ends] = (_drops(first["up"], link["up"]), _drops(first["down"], link["down"]))
    return found


def _drops(before: Mapping[str, Any], after: Mapping[str, Any]) -> RunDrops:
    def grown(name: str) -> int:
        then, now = int(before["counters"].get(name, 0)), int(after["counters"].get(name, 0))
        return now - then if now >= then else now

    if "dropped" in after["counters"]:
        return RunDrops(lost=grown("dropped"), queue=None)
    return RunDrops(lost=grown("lost"), queue=grown("overlimit"))


def names_of(topology: Topology) -> dict[str, tuple[str, ...]]:
    """Node ─► its addresses, for the names that Wireshark shows."""
    found = {name: _node(node).addresses for name, node in topology.nodes.items()}
    return {name: addresses for name, addresses in found.items() if addresses}


def descriptions_of(topology: Topology, interfaces: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """(node, interface) ─► "London, wifi-6 to home-sw:port1", for the captures' interfaces."""
    ends: dict[str, str] = {}
    for link in topology.links:
        one, other = str(link.ends[0]), str(link.ends[1])
        ends[one] = f"{link.medium or 'link'} to {other}"
        ends[other] = f"{link.medium or 'link'} to {one}"
    found = {}
    for node, interface in interfaces:
        location = topology.nodes[node].location if node in topology.nodes else ""
        found[node, interface] = ", ".join(filter(None, (location, ends.get(f"{node}:{interface}", ""))))
    return found


def speeds_of(
    links: Mapping[tuple[str, str], tuple[Impairment, Impairment]],
) -> dict[tuple[str, str], int]:
    """(node, interface) ─► the rate at which its link takes what it sends, bit/s; for links with a rate.

    `links`: as of `run_of`.
    """
    found = {}
    for ends, ways in links.items():
        for end, way in zip(ends, ways, strict=True):
            node, _, interface = end.partition(":")
            if way.rate_bps:
                found[node, interface] = way.rate_bps
    return found
