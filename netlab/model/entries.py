"""The shape of a topology file: what YAML may say, before names are resolved and rules are checked.

The JSON Schema is made from these models (`netlab.model.schema`); `netlab.model.load` turns them into
a Topology.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from netlab.model.addresses import AddressText, InterfaceText, NetworkText
from netlab.model.link_entries import Entry, LinkEntry, Seed
from netlab.model.roles import RoleSpec

# Both are what the kernel and /run accept: IFNAMSIZ is 16 with its end; a node's name is a host name.
NAME = r"^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$"
INTERFACE = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$"


def _one_or_more(value: object) -> object:
    return value if isinstance(value, list) else [value]


def _one_or_list(examples: list[str]) -> WithJsonSchema:
    item = {"type": "string", "examples": examples}
    return WithJsonSchema({"anyOf": [item, {"type": "array", "items": item}]})


class InterfaceEntry(Entry):
    """An interface. The short form is its address alone: `eth0: 192.168.1.10/24`.

    `address` is one or a list, `gateway` the node's default router reached through it (one for IPv4
    and one for IPv6), `mac` its MAC address (made up if left out).
    """

    address: Annotated[
        tuple[InterfaceText, ...],
        BeforeValidator(_one_or_more),
        _one_or_list(["192.168.1.10/24", "2001:db8::1/64"]),
    ] = ()
    gateway: Annotated[
        tuple[AddressText, ...], BeforeValidator(_one_or_more), _one_or_list(["192.168.1.1"])
    ] = ()
    mac: str = ""

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: object) -> object:
        if value is None:
            return {}
        return {"address": value} if isinstance(value, str | list) else value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        full = handler.resolve_ref_schema(handler(schema))
        short = full["properties"]["address"]["anyOf"]
        return {"anyOf": [{"type": "null"}, *short, full], "description": full.pop("description", "")}


class PatEntry(Entry):
    """Port address translation (masquerading) of what leaves by interface `out`."""

    kind: Literal["pat"] = "pat"
    out: str


class AcceptEntry(Entry):
    """What may be forwarded: protocol, destination port, destination network, incoming interface."""

    protocol: Literal["tcp", "udp", "icmp", ""] = ""
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    to: NetworkText | None = None
    interface: str = ""


class ForwardingEntry(Entry):
    """A router's filter: established connections pass; then the `accept` rules; then the policy."""

    policy: Literal["accept", "drop"] = "accept"
    accept: tuple[AcceptEntry, ...] = ()


class RouteEntry(Entry):
    """A static route, which overrides the computed one."""

    to: NetworkText
    via: AddressText


def _text_of_number(value: object) -> object:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


class NodeEntry(Entry):
    """A node: one network namespace. A `host` serves or asks, a `router` forwards, a `switch` bridges.

    `resolvers`: nodes or addresses that it asks for names. `location` names a place, for geo DNS.
    """

    kind: Literal["host", "router", "switch"] = "host"
    location: str = ""
    interfaces: dict[str, InterfaceEntry] = Field(default_factory=dict)
    roles: tuple[RoleSpec, ...] = ()
    nat: tuple[PatEntry, ...] = ()
    forwarding: ForwardingEntry = ForwardingEntry()
    routes: tuple[RouteEntry, ...] = ()
    resolvers: tuple[str, ...] = ()
    sysctls: dict[
        str,
        Annotated[str, BeforeValidator(_text_of_number), WithJsonSchema({"type": ["string", "number"]})],
    ] = Field(default_factory=dict)


class TopologyEntry(Entry):
    """A topology file. `seed` makes the random choices of links repeatable; a link may have its own."""

    name: Annotated[str, Field(pattern=NAME)]
    description: str = ""
    seed: Seed | None = None
    nodes: dict[Annotated[str, Field(pattern=NAME)], NodeEntry]
    links: tuple[LinkEntry, ...] = ()
