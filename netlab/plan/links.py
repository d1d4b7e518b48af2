"""Links: which are plain veths, which netem impairs, and which the relay carries."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256

from netlab.errors import HostError, InputError
from netlab.model.capabilities import Capabilities
from netlab.model.impairment import Impairment
from netlab.model.topology import Endpoint, Link, Topology
from netlab.plan.ops import MIDDLE, WIRE, CreateVeth, CrossConnect, Port, SetOffloads, SetQdisc, WireLink


@dataclass(slots=True)
class Links:
    """The operations of all links. `backend`: netem, wire, mixed or none."""

    veths: list[CreateVeth] = field(default_factory=list)
    offloads: list[SetOffloads] = field(default_factory=list)
    crossings: list[CrossConnect] = field(default_factory=list)
    qdiscs: list[SetQdisc] = field(default_factory=list)
    wires: list[WireLink] = field(default_factory=list)
    lines: list[tuple[Link, Port, Port]] = field(default_factory=list)  # every link and its two ends

    @property
    def backend(self) -> str:
        if self.crossings and self.wires:
            return "mixed"
        return "netem" if self.crossings else "wire" if self.wires else "none"


def plan_links(topology: Topology, capabilities: Capabilities) -> Links:
    """Raises HostError where a link asks for a netem that isn't there, InputError for what netem can't do."""
    links = Links()
    macs = _Macs(topology)
    for link in topology.links:
        backend = _backend(link, capabilities)
        a, b = (Port(end.node, end.interface, macs.of(end), link.mtu) for end in link.ends)
        links.lines.append((link, a, b))
        if backend == "none":
            links.veths.append(CreateVeth(a, b))
            ports = [a, b]
        else:
            middle = _middle(links, link, backend, macs)
            links.veths += [CreateVeth(a, middle[0]), CreateVeth(b, middle[1])]
            ports = [a, b, *middle]
        if not link.offload or backend == "wire":  # the relay carries frames as a wire would: whole, at MTU
            links.offloads += [SetOffloads(port.node, port.interface, False) for port in ports]
    return links


def _middle(links: Links, link: Link, backend: str, macs: _Macs) -> list[Port]:
    """The two interfaces in the middle of an impaired link, and what is done between them.

    Captures at both ends then see a frame where a cable would show it: before the impairment at its
    sender, and after it at its receiver. netem at the sender's own interface would come before its capture.
    """
    made, node = (links.wires, WIRE) if backend == "wire" else (links.crossings, MIDDLE)
    a, b = (f"{backend[0]}{len(made)}{side}" for side in "ab")
    if backend == "wire":
        links.wires.append(WireLink(link.name, a, b, link.up, link.down))
    else:
        links.crossings.append(CrossConnect(link.name, MIDDLE, a, b))
        links.qdiscs += [SetQdisc(MIDDLE, b, link.up), SetQdisc(MIDDLE, a, link.down)]
    return [Port(node, name, macs.of(Endpoint(node=node, interface=name)), link.mtu) for name in (a, b)]


def _backend(link: Link, capabilities: Capabilities) -> str:
    """netem, wire, or none where a plain veth does what the link says."""
    seeded = any(one.seed is not None for one in (link.up, link.down)) and not capabilities.netem_seed
    if link.backend == "netem":
        _refuse(link, capabilities, seeded=seeded)
    if link.backend != "auto":
        return link.backend
    if link.up.perfect and link.down.perfect and not link.playback:
        return "none"
    beyond = seeded or _beyond_netem(link.up) or _beyond_netem(link.down)
    return "netem" if capabilities.netem and not beyond else "wire"


def _refuse(link: Link, capabilities: Capabilities, *, seeded: bool) -> None:
    """Raises HostError or InputError where a link insists on a netem that can't do what it says."""
    if not capabilities.netem:
        raise HostError(
            f"link {link.name} asks for netem, which this kernel lacks (sch_netem, or sch_ingress, cls_u32 "
            "and act_mirred to put it in the middle of a link)",
            "load or install these kernel modules, or say `backend: auto` or `backend: wire`",
        )
    if seeded:
        raise HostError(
            f"link {link.name} asks for netem with a seed, which this kernel's netem has not",
            "use a kernel of 6.6 or later, say `backend: auto` or `backend: wire`, or leave the seed out",
        )
    if _beyond_netem(link.up) or _beyond_netem(link.down):
        raise InputError(
            f"link {link.name}: netem can't duplicate on a line with a rate and jitter, reorder or slot",
            "say `backend: auto` or `backend: wire`",
        )


def _beyond_netem(one: Impairment) -> bool:
    """A line whose propagation varies takes two netems (fabric/netem.py), and two refuse to duplicate."""
    return bool(one.duplicate and one.rate_bps and (one.jitter_ns or one.reorder or one.slot))


class _Macs:
    """MAC addresses: the user's, else locally administered ones made from node and interface."""

    def __init__(self, topology: Topology) -> None:
        self.given = {
            (name, interface): one.mac
            for name, node in topology.nodes.items()
            for interface, one in node.interfaces.items()
            if one.mac
        }
        self.taken = set(self.given.values())

    def of(self, end: Endpoint) -> str:
        given = self.given.get((end.node, end.interface))
        return given or self._made(f"{end.node}:{end.interface}")

    def _made(self, seed: str) -> str:
        while (mac := derived_mac(seed)) in self.taken:
            seed += "'"
        self.taken.add(mac)
        return mac


def derived_mac(seed: str) -> str:
    """02:… with five bytes of the seed's SHA-256 (locally administered: IEEE 802 section 8.4)."""
    return "02:" + sha256(seed.encode()).digest()[:5].hex(":")
