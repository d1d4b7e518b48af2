"""The shape of a topology file: what YAML may say, before names are resolved and rules are checked.

The JSON Schema is made from these models (`netlab.model.schema`); `netlab.model.load` turns them into
a Topology.
"""

from __future__ import annotations

from typing import Annotated, Generic, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StrictBool,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from netlab.model.addresses import AddressText, InterfaceText, NetworkText
from netlab.model.media import DEFAULT, media
from netlab.model.roles import RoleSpec
from netlab.model.units import DurationNs, Probability, RateBps

# Both are what the kernel and /run accept: IFNAMSIZ is 16 with its end; a node's name is a host name.
NAME = r"^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$"
INTERFACE = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$"

Value = TypeVar("Value")


def _one_or_more(value: object) -> object:
    return value if isinstance(value, list) else [value]


def _one_or_list(examples: list[str]) -> WithJsonSchema:
    item = {"type": "string", "examples": examples}
    return WithJsonSchema({"anyOf": [item, {"type": "array", "items": item}]})


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class InterfaceEntry(_Entry):
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


class PatEntry(_Entry):
    """Port address translation (masquerading) of what leaves by interface `out`."""

    kind: Literal["pat"] = "pat"
    out: str


class AcceptEntry(_Entry):
    """What may be forwarded: protocol, destination port, destination network, incoming interface."""

    protocol: Literal["tcp", "udp", "icmp", ""] = ""
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    to: NetworkText | None = None
    interface: str = ""


class ForwardingEntry(_Entry):
    """A router's filter: established connections pass; then the `accept` rules; then the policy."""

    policy: Literal["accept", "drop"] = "accept"
    accept: tuple[AcceptEntry, ...] = ()


class RouteEntry(_Entry):
    """A static route, which overrides the computed one."""

    to: NetworkText
    via: AddressText


def _text_of_number(value: object) -> object:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


class NodeEntry(_Entry):
    """A node: one network namespace. A `host` serves or asks, a `router` forwards, a `switch` bridges.

    `resolvers`: nodes or addresses that it asks for names. `location` names a place, for geo DNS.
    """

    kind: Literal["host", "router", "switch"] = "host"
    location: str = ""
    interfaces: dict[str, InterfaceEntry] = {}
    roles: tuple[RoleSpec, ...] = ()
    nat: tuple[PatEntry, ...] = ()
    forwarding: ForwardingEntry = ForwardingEntry()
    routes: tuple[RouteEntry, ...] = ()
    resolvers: tuple[str, ...] = ()
    sysctls: dict[
        str,
        Annotated[str, BeforeValidator(_text_of_number), WithJsonSchema({"type": ["string", "number"]})],
    ] = {}


class Directed(_Entry, Generic[Value]):
    """One value for both directions, or `{up: …, down: …}`; up is from the first end to the second."""

    up: Value | None = None
    down: Value | None = None

    @model_validator(mode="before")
    @classmethod
    def _both(cls, value: object) -> object:
        return value if isinstance(value, dict) else {"up": value, "down": value}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        full = handler.resolve_ref_schema(handler(schema))
        for name, shape in full["properties"].items():
            full["properties"][name] = next(one for one in shape["anyOf"] if one.get("type") != "null")
        return {"anyOf": [full["properties"]["up"], full], "description": full.pop("description", "")}


class Durations(Directed[DurationNs]):
    """A duration such as `20ms` for both directions, or `{up: …, down: …}`."""


class Rates(Directed[RateBps]):
    """A rate such as `10mbit` for both directions, or `{up: …, down: …}`."""


class Shares(Directed[Probability]):
    """A share such as `0.1%` for both directions, or `{up: …, down: …}`."""


class Counts(Directed[Annotated[int, Field(ge=1, le=10_000_000)]]):
    """A number of packets for both directions, or `{up: …, down: …}`."""


def _ends(value: object) -> object:
    if isinstance(value, list) and len(value) == 2 and all(isinstance(end, str) for end in value):
        return value
    raise ValueError("a link has two ends: [node:interface, node:interface]")


End = Annotated[str, Field(pattern=r"^[^:\s]+(:[^:\s]+)?$", examples=["client-a:eth0", "home-sw"])]


class LinkEntry(_Entry):
    """A link. An end is `node:interface`, or a node alone where only one interface can be meant.

    The medium gives delay, jitter, loss, rate and MTU; what is written beside it overrides it. `limit`
    is the queue in packets. `backend`: who impairs the link; `auto` takes netem where the kernel has it.
    `offload`: leave segmentation and checksum offloads on, for throughput work.
    """

    ends: Annotated[tuple[End, End], BeforeValidator(_ends)]
    medium: Annotated[str, Field(json_schema_extra={"enum": list(media)})] = DEFAULT
    delay: Durations | None = None
    jitter: Durations | None = None
    loss: Shares | None = None
    rate: Rates | None = None
    limit: Counts | None = None
    mtu: Annotated[int, Field(ge=68, le=65535)] | None = None
    offload: StrictBool = False
    backend: Literal["auto", "netem", "wire"] = "auto"


class TopologyEntry(_Entry):
    """A topology file."""

    name: Annotated[str, Field(pattern=NAME)]
    description: str = ""
    nodes: dict[Annotated[str, Field(pattern=NAME)], NodeEntry]
    links: tuple[LinkEntry, ...] = ()
