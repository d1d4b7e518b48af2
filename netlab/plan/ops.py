"""Operations: the closed union that a topology becomes. Plain values; `fabric` and `lab` carry them out.

Nothing here outlives the lab's supervisor: namespaces are held by its descriptors alone (no mounts),
processes by its PID namespace. So no operation needs an inverse, and the kernel undoes a lab that died.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from netlab.model.impairment import Impairment
from netlab.model.playback import Playback
from netlab.model.roles import RoleSpec

# Namespaces of the lab's own, in the middle of links: the user-space relay's, and where netem is. No user's
# node can have these names.
WIRE = "@wire"
MIDDLE = "@netem"


@dataclass(frozen=True, slots=True)
class CreateNamespace:
    """Also brings `lo` up."""

    node: str


@dataclass(frozen=True, slots=True)
class Port:
    """One end of a veth to be made: where, its name, its MAC ("02:…"), its MTU in bytes."""

    node: str
    interface: str
    mac: str
    mtu: int


@dataclass(frozen=True, slots=True)
class CreateVeth:
    """Both ends are born inside their namespaces. They are left up."""

    a: Port
    b: Port


@dataclass(frozen=True, slots=True)
class CreateBridge:
    """A learning bridge `interface` in `node`; `ports` are interfaces of the node that already exist."""

    node: str
    interface: str
    mac: str
    ports: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AddAddress:
    """`address` with its prefix length: 192.168.1.10/24."""

    node: str
    interface: str
    address: str


@dataclass(frozen=True, slots=True)
class AddNeighbour:
    """A permanent entry in the neighbour table: who has `address` (without prefix length) on `interface`."""

    node: str
    interface: str
    address: str
    mac: str


@dataclass(frozen=True, slots=True)
class AddRoute:
    """`to` is a network ("0.0.0.0/0" is the default route). Of routes to one network the one with the
    lowest `metric` is used, as long as its interface has a carrier (see SetSysctl)."""

    node: str
    to: str
    via: str
    metric: int = 0


@dataclass(frozen=True, slots=True)
class SetSysctl:
    """`key` with dots: net.ipv4.ip_forward."""

    node: str
    key: str
    value: str


@dataclass(frozen=True, slots=True)
class LoadRuleset:
    """`text` is a whole nftables ruleset, for `nft -f`."""

    node: str
    text: str


@dataclass(frozen=True, slots=True)
class SetOffloads:
    """Segmentation, receive and checksum offloads of one interface, on or off. Both ends have theirs."""

    node: str
    interface: str
    enabled: bool


@dataclass(frozen=True, slots=True)
class SetQdisc:
    """netem at the root of `interface`, for what it sends."""

    node: str
    interface: str
    impairment: Impairment


@dataclass(frozen=True, slots=True)
class CrossConnect:
    """Frames that come in at `a` leave by `b`, and the other way round; `node`'s own stack sees none of them.

    `link` is the name of the link that they are in the middle of.
    """

    link: str
    node: str
    a: str
    b: str


@dataclass(frozen=True, slots=True)
class WireLink:
    """A link that the relay carries between two interfaces of its own namespace.

    `up` impairs frames from `a` to `b`. `name` is the link's, for statistics and live changes.
    """

    name: str
    a: str
    b: str
    up: Impairment
    down: Impairment


@dataclass(frozen=True, slots=True)
class StartWire:
    links: tuple[WireLink, ...]


@dataclass(frozen=True, slots=True)
class StartRole:
    """`role` is unique in its node. Names in `spec` are resolved to addresses.

    `names`: what its certificate must carry (DNS names and addresses); empty: it needs none.
    """

    node: str
    role: str
    spec: RoleSpec
    names: tuple[str, ...] = ()


Operation = (
    CreateNamespace
    | CreateVeth
    | CreateBridge
    | AddAddress
    | AddNeighbour
    | AddRoute
    | SetSysctl
    | LoadRuleset
    | SetOffloads
    | SetQdisc
    | CrossConnect
    | StartWire
    | StartRole
)


@dataclass(frozen=True, slots=True)
class Plan:
    """The operations in order, and what the lab needs to know beside them.

    `interfaces`: every interface of a user's node, in order, as (node, interface): what is captured.
    `addresses`: node ─► its addresses, in the order of its interfaces (what /etc/hosts is made from).
    `resolvers`: node ─► addresses. `locations`: network ─► location.
    `playbacks`: link and direction ("a:eth0--b:eth0 up") ─► what is played against it, again and again.
    """

    name: str
    operations: tuple[Operation, ...]
    interfaces: tuple[tuple[str, str], ...]
    addresses: dict[str, tuple[str, ...]]
    resolvers: dict[str, tuple[str, ...]]
    locations: dict[str, str]
    backend: str  # "netem", "wire", "mixed", or "none" where no link is impaired
    playbacks: dict[str, Playback] = field(default_factory=dict)
