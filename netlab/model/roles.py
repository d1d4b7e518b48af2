"""Role specs: what a user writes about a process in a node. A closed set plus `command`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from netlab.model.addresses import NetworkText
from netlab.model.units import DurationNs

Port = Annotated[int, Field(ge=1, le=65535)]
# "node:port" or "address:port" ("[v6]:port"); the plan resolves node names to addresses.
Upstream = Annotated[str, Field(pattern=r"^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$", examples=["app-1:8080"])]


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)


class Request(_Spec):
    """One request of a client, in order. `traceparent` is made up (W3C Trace Context) if empty."""

    url: str
    name: str = ""
    method: str = "GET"
    headers: dict[str, str] = {}
    traceparent: str = ""
    timeout_ns: DurationNs = Field(30_000_000_000, alias="timeout")


class ClientSpec(_Spec):
    """Asks URLs, one after another, each on a new connection. Without requests it waits for a scenario.

    `bearer`: send `Authorization: Bearer` with a token that the lab signs for this subject.
    """

    kind: Literal["client"] = "client"
    requests: tuple[Request, ...] = ()
    bearer: str = ""
    user_agent: str = "netlab-client"


class ResolverSpec(_Spec):
    """A recursive, caching resolver; `roots` are the nodes or addresses of the root name servers."""

    kind: Literal["resolver"] = "resolver"
    listen: Port = 53
    roots: tuple[str, ...]


class Record(_Spec):
    """One resource record. `name` is relative to the zone (`@`: the zone itself).

    `data` as in a zone file; for A and AAAA a node's name is right too. `geo` answers by the
    location of the node that asks: {London: edge-london, Tokyo: edge-tokyo}; `data` is the default.
    """

    name: str
    type: Literal["A", "AAAA", "NS", "CNAME", "TXT", "MX", "SRV", "PTR", "HTTPS"]
    data: str = ""
    geo: dict[str, str] = {}
    ttl: Annotated[int, Field(ge=0)] = 300


class Zone(_Spec):
    name: str
    records: tuple[Record, ...]


class NameserverSpec(_Spec):
    """An authoritative name server for its zones (`.`: the root)."""

    kind: Literal["nameserver"] = "nameserver"
    listen: Port = 53
    zones: tuple[Zone, ...]


class CdnSpec(_Spec):
    """A CDN edge: TLS to the client, a shared cache (RFC 9111), TLS to the origin.

    `names`: what it serves and has certificates for. `origin`: where misses go;
    `origin_name` the name that the origin's certificate must carry (and its SNI).
    """

    kind: Literal["cdn"] = "cdn"
    listen: Port = 443
    names: tuple[str, ...]
    origin: Upstream
    origin_name: str
    cache_bytes: int = 64 * 1024 * 1024


class Health(_Spec):
    """Active TCP checks: up after `rise` successes, down after `fall` failures in a row."""

    interval_ns: DurationNs = Field(5_000_000_000, alias="interval")
    timeout_ns: DurationNs = Field(1_000_000_000, alias="timeout")
    rise: Annotated[int, Field(ge=1)] = 2
    fall: Annotated[int, Field(ge=1)] = 3


class BalancerSpec(_Spec):
    """A layer 4 balancer: splices TCP to the next healthy upstream, round robin.

    `proxy_protocol`: tell the upstream who the client is, by a PROXY protocol v2 header.
    """

    kind: Literal["balancer"] = "balancer"
    listen: Port = 443
    upstreams: Annotated[tuple[Upstream, ...], Field(min_length=1)]
    proxy_protocol: StrictBool = False
    health: Health = Health()


class Route(_Spec):
    """Requests whose path starts with `path` go round robin to `upstreams`; the longest path wins."""

    path: Annotated[str, Field(pattern="^/")] = "/"
    upstreams: Annotated[tuple[Upstream, ...], Field(min_length=1)]


class ProxySpec(_Spec):
    """A reverse proxy: TLS termination, JWT check, X-Forwarded-For and X-Real-IP, routes by path.

    `jwt`: a bearer token signed by the lab's key is required. `trusted`: networks of peers whose
    X-Forwarded-For is believed (the CDN's edges). `proxy_protocol`: connections start with a PROXY header.
    """

    kind: Literal["proxy"] = "proxy"
    listen: Port = 443
    names: tuple[str, ...]
    routes: Annotated[tuple[Route, ...], Field(min_length=1)]
    jwt: StrictBool = False
    proxy_protocol: StrictBool = False
    trusted: tuple[NetworkText, ...] = ()


class AppSpec(_Spec):
    """The application server: GET /user/{id} from the database, GET /health.

    `allow`: the subjects (of verified tokens) that may read users; empty: anyone who gets here.
    """

    kind: Literal["app"] = "app"
    listen: Port = 8080
    database: Upstream
    max_age_s: Annotated[int, Field(ge=0)] = 300
    allow: tuple[str, ...] = ()


class DatabaseSpec(_Spec):
    """PostgreSQL, the real server, with its data in memory and seeded with the guide's user 42."""

    kind: Literal["database"] = "database"
    listen: Port = 5432


class CommandSpec(_Spec):
    """Any program. It is ready when `ready_port` accepts TCP, or at once without one."""

    kind: Literal["command"] = "command"
    argv: Annotated[tuple[str, ...], Field(min_length=1)]
    env: dict[str, str] = {}
    ready_port: Port | None = None


RoleSpec = Annotated[
    ClientSpec
    | ResolverSpec
    | NameserverSpec
    | CdnSpec
    | BalancerSpec
    | ProxySpec
    | AppSpec
    | DatabaseSpec
    | CommandSpec,
    Field(discriminator="kind"),
]
