"""Name servers and resolvers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictBool

from netlab.model.roles.spec import HostName, Port, Spec
from netlab.model.units import DurationNs


class DnsClient(Spec):
    """How a client asks its resolvers. `protocol`: over UDP (and TCP for what is too long), TCP, TLS (RFC
    7858) or HTTPS (RFC 8484); a resolver serves the last two with `dot` and `doh`. `resolvers`: addresses,
    in place of the node's; `port`: theirs, for UDP and TCP. `search`: domains in which short names are
    looked for; a name with `ndots` dots or more is first taken as it is.
    """

    protocol: Literal["udp", "tcp", "tls", "https"] = "udp"
    resolvers: tuple[str, ...] = ()
    port: Port = 53
    search: tuple[str, ...] = ()
    ndots: Annotated[int, Field(ge=0, le=15)] = 1


class Lookup(Spec):
    """A question that a client asks its resolver, `after` the answer before; nothing of it is remembered."""

    name: str
    type: Annotated[str, Field(pattern=r"^[A-Z0-9]+$")] = "A"
    after_ns: DurationNs = Field(0, alias="after")


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
    `dnssec`: validate what is signed, from the key of the lab's root zone (RFC 4035).
    `dot`: serve DNS over TLS too (RFC 7858), on port 853; `doh`: over HTTPS (RFC 8484), on 443, `names`
    being what its certificate carries besides the node's addresses.
    """

    kind: Literal["resolver"] = "resolver"
    listen: Port = 53
    roots: Annotated[tuple[str, ...], Field(min_length=1)]
    ecs: StrictBool = False
    minimise: StrictBool = False
    serve_stale_ns: DurationNs = Field(0, alias="serve_stale")
    dnssec: StrictBool = False
    dot: StrictBool = False
    doh: StrictBool = False
    names: tuple[HostName, ...] = ()


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
    ttl: Annotated[int, Field(ge=0, le=2_147_483_647)] = 300  # RFC 2181 section 8


class Zone(Spec):
    """`dnssec`: the lab makes a key for the zone, its server signs it, and the zone above has its DS record.
    `dnssec_fault`: its signatures are wrong, or of yesterday, for showing what resolvers do."""

    name: str
    records: tuple[Record, ...]
    dnssec: StrictBool = False
    dnssec_fault: Literal["none", "bogus", "expired"] = "none"


class NameserverSpec(Spec):
    """An authoritative name server for its zones (`.`: the root)."""

    kind: Literal["nameserver"] = "nameserver"
    listen: Port = 53
    zones: tuple[Zone, ...]
