"""Name servers and resolvers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictBool

from netlab.model.roles.spec import Port, Spec
from netlab.model.units import DurationNs

RecordType = Literal[
    "A",
    "AAAA",
    "CAA",
    "CNAME",
    "DNAME",
    "DS",
    "HINFO",
    "HTTPS",
    "LOC",
    "MX",
    "NAPTR",
    "NS",
    "PTR",
    "SOA",
    "SRV",
    "SSHFP",
    "SVCB",
    "TLSA",
    "TXT",
]


class ResolverSpec(Spec):
    """A recursive, caching resolver; `roots` are the nodes or addresses of the root name servers.

    `ecs`: tell name servers the network of who asks (RFC 7871), so that they can answer by its location.
    `minimise`: tell them no more of a name than they need (RFC 9156). `serve_stale`: where they don't
    answer, answers that are past their TTL by at most this are better than none (RFC 8767).
    `dot`: serve DNS over TLS too (RFC 7858), on port 853; `doh`: over HTTPS (RFC 8484), on 443.
    """

    kind: Literal["resolver"] = "resolver"
    listen: Port = 53
    roots: tuple[str, ...]
    ecs: StrictBool = False
    minimise: StrictBool = False
    serve_stale_ns: DurationNs = Field(0, alias="serve_stale")
    dot: StrictBool = False
    doh: StrictBool = False


class Record(Spec):
    """One resource record. `name` is relative to the zone (`@`: the zone itself).

    `data` as in a zone file; for A and AAAA a node's name is right too. `geo` answers by the
    location of the node that asks: {London: edge-london, Tokyo: edge-tokyo}; `data` is the default.
    `weights` answers with one of several, by chance: {edge-london: 3, edge-tokyo: 1}.
    """

    name: str
    type: RecordType
    data: str = ""
    geo: dict[str, str] = Field({})
    weights: dict[str, Annotated[int, Field(ge=1)]] = Field({})
    ttl: Annotated[int, Field(ge=0)] = 300


class Zone(Spec):
    name: str
    records: tuple[Record, ...]


class NameserverSpec(Spec):
    """An authoritative name server for its zones (`.`: the root)."""

    kind: Literal["nameserver"] = "nameserver"
    listen: Port = 53
    zones: tuple[Zone, ...]
