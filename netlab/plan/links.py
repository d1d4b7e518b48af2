"""Links: which are plain veths, which netem impairs, and which the relay carries."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256

from netlab.errors import HostError, InputError
from netlab.model.capabilities import Capabilities
from netlab.model.impairment import Impairment
from netlab.model.topology import Endpoint, Link, Topology
from netlab.plan.ops import WIRE, CreateVeth, Port, SetOffloads, SetQdisc, WireLink


@dataclass(slots=True)
class Links:
    """The operations of all links. `backend`: netem, wire, mixed or none."""

    veths: list[CreateVeth] = field(default_factory=list)
    offloads: list[SetOffloads] = field(default_factory=list)
    qdiscs: list[SetQdisc] = field(default_factory=list)
    wires: list[WireLink] = field(default_factory=list)
    lines: list[tuple[Link, Port, Port]] = field(default_factory=list)  # every link and its two ends

    @property
    def backend(self) -> str:
        if self.qdiscs and self.wires:
            return "mixed"
        return "netem" if self.qdiscs else "wire" if self.wires else "none"


def plan_links(topology: Topology, capabilities: Capabilities) -> Links:
    """Raises HostError where a link asks for a netem that isn't there, InputError for what netem can't do."""
    links = Links()
    macs = _Macs(topology)
    for link in topology.links:
        backend = _backend(link, capabilities)
        a, b = (Port(end.node, end.interface, macs.of(end), link.mtu) for end in link.ends)
        links.lines.append((link, a, b))
        if backend == "wire":
            number = len(links.wires)
            far = [
                Port(WIRE, name, macs.of(Endpoint(node=WIRE, interface=name)), link.mtu)
                for name in (f"w{number}a", f"w{number}b")
            ]
            links.veths += [CreateVeth(a, far[0]), CreateVeth(b, far[1])]
            links.wires.append(WireLink(link.name, far[0].interface, far[1].interface, link.up, link.down))
            ports = [a, b, *far]
        else:
            links.veths.append(CreateVeth(a, b))
            ports = [a, b]
        if backend == "netem":
            links.qdiscs.append(SetQdisc(a.node, a.interface, link.up))
            links.qdiscs.append(SetQdisc(b.node, b.interface, link.down))
        if not link.offload or backend == "wire":  # the relay carries frames as a wire would: whole, at MTU
            links.offloads += [SetOffloads(port.node, port.interface, False) for port in ports]
    return links


def _backend(link: Link, capabilities: Capabilities) -> str:
    """netem, wire, or none where a plain veth does what the link says."""
    if link.backend == "netem" and not capabilities.netem:
        raise HostError(
            f"link {link.name} asks for netem, which this kernel lacks (sch_netem)",
            "load or install the kernel module sch_netem, or say `backend: auto` or `backend: wire`",
        )
    beyond = _beyond_netem(link.up) or _beyond_netem(link.down)
    if link.backend == "netem" and beyond:
        raise InputError(
            f"link {link.name}: netem can't duplicate on a line with a rate and jitter, reorder or slot",
            "say `backend: auto` or `backend: wire`",
        )
    if link.backend != "auto":
        return link.backend
    if link.up.perfect and link.down.perfect and not link.playback:
        return "none"
    return "netem" if capabilities.netem and not beyond else "wire"


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
