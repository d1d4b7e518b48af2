"""The links of a lab that is up, as values: what each does now, and which one a user means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from netlab.errors import InputError
from netlab.model.impairment import Impairment
from netlab.model.suggest import nearest
from netlab.model.topology import Endpoint, Link, Topology
from netlab.plan.ops import MIDDLE, WIRE, CrossConnect, Plan, StartWire

if TYPE_CHECKING:
    from netlab.lab.playing import Player

DIRECTIONS = ("up", "down")


@dataclass(frozen=True, slots=True)
class Cut:
    """An interface that was brought down to take a plain link's carrier away."""

    node: str
    interface: str


@dataclass
class LiveLink:
    """One link. `backend`: "wire", "netem" or "none"; `middle`: its two interfaces in the namespace between
    its ends, which a plain link has not, not even when it is a netem link later.

    Per direction ("up" is from the first end to the second): `given` is what the topology or a user
    says, `now` what is in force; they differ while one of `players` changes the direction.
    """

    link: Link
    backend: str
    given: dict[str, Impairment]
    middle: tuple[str, ...] = ()
    now: dict[str, Impairment] = field(init=False)
    wanted_up: bool = True
    held: str = ""  # which of the middle's interfaces is down because the other has no carrier
    cut: Cut | None = None
    players: dict[str, Player] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.now = dict(self.given)

    @property
    def name(self) -> str:
        return self.link.name

    @property
    def ends(self) -> tuple[str, str]:
        return str(self.link.ends[0]), str(self.link.ends[1])

    def sender(self, direction: str) -> Endpoint:
        """The end that sends in this direction."""
        return self.link.ends[DIRECTIONS.index(direction)]

    @property
    def middle_node(self) -> str:
        """The namespace that `middle` is in."""
        return WIRE if self.backend == "wire" else MIDDLE

    def qdisc(self, direction: str) -> tuple[str, str]:
        """Where netem impairs this direction, as (node, interface)."""
        if self.middle:
            return self.middle_node, self.middle[1 - DIRECTIONS.index(direction)]
        end = self.sender(direction)
        return end.node, end.interface


def live_links(topology: Topology, plan: Plan) -> tuple[LiveLink, ...]:
    """As the plan makes them, in the order of the topology."""
    relayed = {wire.name: wire for op in plan.operations if isinstance(op, StartWire) for wire in op.links}
    crossed = {op.link: (op.a, op.b) for op in plan.operations if isinstance(op, CrossConnect)}
    found = []
    for link in topology.links:
        wire = relayed.get(link.name)
        given = {"up": link.up, "down": link.down}
        if wire is not None:
            found.append(LiveLink(link, "wire", given, (wire.a, wire.b)))
        elif link.name in crossed:
            found.append(LiveLink(link, "netem", given, crossed[link.name]))
        else:
            found.append(LiveLink(link, "none", given))
    return tuple(found)


def find_link(links: Sequence[LiveLink], end: str) -> LiveLink:
    """The link of `node:interface`, of a node with a single link, or of the link's whole name.

    Raises InputError that says what may be meant.
    """
    by_end = {name: link for link in links for name in (*link.ends, link.name)}
    if end in by_end:
        return by_end[end]
    of_node = {name: link for link in links for name in link.ends if name.partition(":")[0] == end}
    if not of_node:
        ends = [name for link in links for name in link.ends]
        nodes = [name.partition(":")[0] for name in ends]
        near = nearest(end, ends if ":" in end else [*nodes, *ends], "ends")
        raise InputError(f"no link ends at {end!r}", near or "netlab link show")
    if len({link.name for link in of_node.values()}) > 1:
        raise InputError(f"{end} has several links", f"say which end you mean: {', '.join(of_node)}")
    return next(iter(of_node.values()))


def chosen_directions(direction: str) -> tuple[str, ...]:
    """ "up", "down", or both. Raises InputError."""
    if direction == "both":
        return DIRECTIONS
    if direction not in DIRECTIONS:
        raise InputError(f"no direction {direction!r}", nearest(direction, (*DIRECTIONS, "both")))
    return (direction,)


def end_to_cut(link: Link, near: str, kinds: Mapping[str, str]) -> Cut:
    """Whose interface goes down so that a plain veth link loses its carrier.

    An interface that goes down takes its node's routes and IPv6 addresses along. A switch has none; else
    it is the far end's, so that the node that the user named (`near`) keeps what a node keeps whose cable is
    pulled.
    """
    first, second = link.ends
    far = first if str(second) == near or second.node == near else second
    switches = [end for end in link.ends if kinds[end.node] == "switch"]
    one = switches[0] if switches else far
    return Cut(one.node, one.interface)


def total(counters: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sums of counters of the same names."""
    sums: dict[str, int] = {}
    for one in counters:
        for name, count in one.items():
            sums[name] = sums.get(name, 0) + count
    return sums
