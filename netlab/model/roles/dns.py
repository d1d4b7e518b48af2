"""Name servers and resolvers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from netlab.model.roles.spec import Port, Spec


class ResolverSpec(Spec):
    """A recursive, caching resolver; `roots` are the nodes or addresses of the root name servers."""

    kind: Literal["resolver"] = "resolver"
    listen: Port = 53
    roots: tuple[str, ...]


class Record(Spec):
    """One resource record. `name` is relative to the zone (`@`: the zone itself).

    `data` as in a zone file; for A and AAAA a node's name is right too. `geo` answers by the
    location of the node that asks: {London: edge-london, Tokyo: edge-tokyo}; `data` is the default.
    """

    name: str
    type: Literal["A", "AAAA", "NS", "CNAME", "TXT", "MX", "SRV", "PTR", "HTTPS"]
    data: str = ""
    geo: dict[str, str] = Field({})
    ttl: Annotated[int, Field(ge=0)] = 300


class Zone(Spec):
    name: str
    records: tuple[Record, ...]


class NameserverSpec(Spec):
    """An authoritative name server for its zones (`.`: the root)."""

    kind: Literal["nameserver"] = "nameserver"
    listen: Port = 53
    zones: tuple[Zone, ...]
