"""The topology: what the user wrote, valid and immutable. Built only by `netlab.model.load`."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Literal

from pydantic import BaseModel, ConfigDict

from netlab.errors import Problem
from netlab.model.impairment import Impairment
from netlab.model.playback import Playback
from netlab.model.roles import RoleSpec

Address = IPv4Address | IPv6Address
InterfaceAddress = IPv4Interface | IPv6Interface
Network = IPv4Network | IPv6Network


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Interface(_Frozen):
    """One end of a link, in a node. `gateways`: the node's default routers reached through it."""

    addresses: tuple[InterfaceAddress, ...] = ()
    gateways: tuple[Address, ...] = ()
    mac: str = ""


class Pat(_Frozen):
    """Port address translation (masquerading) of what leaves by interface `out`."""

    kind: Literal["pat"] = "pat"
    out: str


class Forwarding(_Frozen):
    """A router's filter for forwarded traffic: `established` always passes; then the rules; then the policy.

    An `accept` rule: protocol, destination port, destination network, incoming interface; empty means any.
    """

    class Accept(_Frozen):
        protocol: Literal["tcp", "udp", "icmp", ""] = ""
        port: int = 0
        to: Network | None = None
        interface: str = ""

    policy: Literal["accept", "drop"] = "accept"
    accept: tuple[Accept, ...] = ()


class StaticRoute(_Frozen):
    """Overrides the computed route to `to`."""

    to: Network
    via: Address


class Node(_Frozen):
    """One network namespace. `location` names a place, for geo DNS and for views."""

    kind: Literal["host", "router", "switch"] = "host"
    location: str = ""
    interfaces: dict[str, Interface] = {}
    roles: tuple[RoleSpec, ...] = ()
    nat: tuple[Pat, ...] = ()
    forwarding: Forwarding = Forwarding()
    routes: tuple[StaticRoute, ...] = ()
    resolvers: tuple[str, ...] = ()
    sysctls: dict[str, str] = {}


class Endpoint(_Frozen):
    """`node:interface`."""

    node: str
    interface: str

    def __str__(self) -> str:
        return f"{self.node}:{self.interface}"


class Link(_Frozen):
    """A link. `up` impairs what the first end sends to the second, `down` what the second sends to the first.

    Medium and overrides are already resolved into `up` and `down`. `mtu` in bytes of IP packet.
    `playback`: what is played against a direction ("up", "down") from the start, again and again.
    """

    ends: tuple[Endpoint, Endpoint]
    medium: str = ""
    up: Impairment = Impairment()
    down: Impairment = Impairment()
    mtu: int = 1500
    offload: bool = False
    backend: Literal["auto", "netem", "wire"] = "auto"
    playback: dict[Literal["up", "down"], Playback] = {}

    @property
    def name(self) -> str:
        return f"{self.ends[0]}--{self.ends[1]}"


class Topology(_Frozen):
    """`warnings`: what is possible, but hardly meant; with the places in the file."""

    name: str
    description: str = ""
    nodes: dict[str, Node]
    links: tuple[Link, ...] = ()
    warnings: tuple[Problem, ...] = ()
