"""Role specs: what a user writes about a process in a node. A closed set plus `command`."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, model_validator

from netlab.model.addresses import NetworkText
from netlab.model.units import DurationNs, RateBps

Port = Annotated[int, Field(ge=1, le=65535)]
# "node:port" or "address:port" ("[v6]:port"); the plan resolves node names to addresses.
Upstream = Annotated[str, Field(pattern=r"^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$", examples=["app-1:8080"])]


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)


def _as_written(value: object) -> object:
    """YAML reads `1.1` and `2` as numbers; as versions they are names."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


HttpVersion = Annotated[Literal["1.1", "2", "3"], BeforeValidator(_as_written)]
TlsVersion = Annotated[Literal["1.2", "1.3"], BeforeValidator(_as_written)]


CertificateFault = Literal[
    "none",
    "expired",
    "not-yet-valid",
    "wrong-name",
    "self-signed",
    "untrusted-root",
    "weak-chain",
    "revoked",
]


class Quic(_Spec):
    """How a side does QUIC. `congestion`: its congestion control. `idle`: a connection on which nothing
    comes for so long ends. `stream_bytes`, `connection_bytes`: how much may come beyond what was read, per
    stream and in all. `retry`: a server has clients prove their address first, for one more round trip.
    `qlog`: record each connection for qvis; it costs a quarter of the speed, and memory until its end."""

    congestion: Literal["reno", "cubic"] = "cubic"
    idle_ns: DurationNs = Field(60_000_000_000, alias="idle")
    stream_bytes: Annotated[int, Field(ge=16_384)] = 1024 * 1024
    connection_bytes: Annotated[int, Field(ge=16_384)] = 2 * 1024 * 1024
    retry: StrictBool = False
    qlog: StrictBool = False


class TlsServer(_Spec):
    """How a server does TLS. `versions`: those it accepts (QUIC is always 1.3). `ciphers`: names of
    OpenSSL's, those of TLS 1.3 start with TLS_; empty: all with AES-GCM or ChaCha20 and ephemeral keys.
    `client_certificates`: whether clients must show one of the lab's. `tickets`: sessions can be resumed.
    `staple`: send the certificate's OCSP status, to clients that ask for it. `early_data`: QUIC accepts
    0-RTT requests, where they are safe (RFC 8470). `fault`: the certificate is bad in this way, for showing
    what clients do."""

    versions: Annotated[tuple[TlsVersion, ...], Field(min_length=1)] = ("1.2", "1.3")
    ciphers: tuple[str, ...] = ()
    client_certificates: Literal["none", "optional", "required"] = "none"
    tickets: StrictBool = True
    staple: StrictBool = True
    early_data: StrictBool = True
    fault: CertificateFault = "none"
    quic: Quic = Quic()


class TlsClient(_Spec):
    """How a client does TLS. `versions`, `ciphers`: as for a server. `resume`: use session tickets.
    `early_data`: QUIC sends safe requests in 0-RTT. `certificate`: show one if asked.
    `revocation`: `staple` needs an OCSP status in the handshake, `crl` gets the authority's list (from an
    `ocsp` role of the lab) and looks there; a session that is resumed was checked when it began.
    `pins`: base64 SHA-256 of public keys (RFC 7469), one of which must be in the chain.
    `verify`: false accepts any certificate, for showing what that does."""

    versions: Annotated[tuple[TlsVersion, ...], Field(min_length=1)] = ("1.2", "1.3")
    ciphers: tuple[str, ...] = ()
    resume: StrictBool = True
    early_data: StrictBool = False
    certificate: StrictBool = False
    revocation: Literal["none", "staple", "crl"] = "none"
    pins: tuple[str, ...] = ()
    verify: StrictBool = True
    quic: Quic = Quic()


class Pool(_Spec):
    """Limits of a connection pool (the guide's 9.2): connections in all, connections per host for
    HTTP/1.1 (HTTP/2 and 3 share one), how long one may be idle, and how old."""

    total: Annotated[int, Field(ge=1)] = 100
    per_host: Annotated[int, Field(ge=1)] = 6
    idle_ns: DurationNs = Field(30_000_000_000, alias="idle")
    lifetime_ns: DurationNs = Field(600_000_000_000, alias="lifetime")


class Request(_Spec):
    """One request of a client, in order. `traceparent` is made up (W3C Trace Context) if empty.

    `http`: the one version to speak; without it the client offers 2 and 1.1 by ALPN, and takes 3 where
    Alt-Svc or an HTTPS record has told of it. `fresh`: on a new connection, which nobody uses after it.
    `upload_bytes`: send a body of so many bytes, made while it is sent, in place of `body`. `read_rate`:
    read the response no faster, so that flow control holds the server back.
    """

    url: str
    name: str = ""
    method: str = "GET"
    headers: dict[str, str] = {}
    body: str = ""
    upload_bytes: Annotated[int, Field(ge=0)] = 0
    read_rate_bps: RateBps | None = Field(None, alias="read_rate")
    http: HttpVersion | None = None
    tls: TlsClient | None = None
    fresh: StrictBool = False
    traceparent: str = ""
    timeout_ns: DurationNs = Field(30_000_000_000, alias="timeout")


class Subscription(_Spec):
    """What a client wants of a channel of an app, `url`: …/channels/NAME. It comes back by itself after a
    break, and asks for what it missed.

    `way`: a WebSocket, server-sent events, long polling, or polling every `interval`. It ends when `count`
    messages have come, and fails where fewer came in `duration`; `count` 0: it ends with `duration`.
    `publish`: texts that it sends to the channel, the first `publish_after` it is subscribed, then one
    every `publish_interval`. `http`, `tls`: as of a request; a WebSocket goes over 1.1 if nothing is said.
    """

    url: str
    name: str = ""
    way: Literal["websocket", "sse", "long-poll", "poll"] = "websocket"
    http: HttpVersion | None = None
    tls: TlsClient | None = None
    interval_ns: DurationNs = Field(1_000_000_000, alias="interval")
    count: Annotated[int, Field(ge=0)] = 0
    duration_ns: DurationNs = Field(30_000_000_000, alias="duration")
    publish: tuple[str, ...] = ()
    publish_after_ns: DurationNs = Field(0, alias="publish_after")
    publish_interval_ns: DurationNs = Field(1_000_000_000, alias="publish_interval")


class ClientSpec(_Spec):
    """Asks URLs, `parallel` at a time, and gets what channels say. Without either it waits for a scenario.

    `bearer`: send `Authorization: Bearer` with a token that the lab signs for this subject.
    `pool`: connections are kept and used again within these limits. `tls`: for requests that say nothing.
    `https_records`: ask the DNS for these too, as browsers do, which tell of HTTP/3 before any response.
    """

    kind: Literal["client"] = "client"
    requests: tuple[Request, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()
    parallel: Annotated[int, Field(ge=1)] = 1
    bearer: str = ""
    user_agent: str = "netlab-client"
    tls: TlsClient = TlsClient()
    pool: Pool = Pool()
    https_records: StrictBool = False


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


class CacheKey(_Spec):
    """What requests must have in common, beside the authority and the path, to be answered by one stored
    response. `query`: whether its parameters count; `keep`: those alone that do (empty: all); `drop`: those
    that don't. `headers`, `cookies`: names of those that count too."""

    query: StrictBool = True
    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    cookies: tuple[str, ...] = ()


class CdnSpec(_Spec):
    """A CDN edge: TLS to the client, a shared cache (RFC 9111), TLS to the origin.

    `names`: what it serves and has certificates for. `http`: the versions it speaks to clients.
    `origin`: where misses go; `origin_name` the name that the origin's certificate must carry (and its
    SNI); `origin_http` the version spoken to it. `hsts_s`: for how many seconds clients shall come by TLS
    only (RFC 6797); 0: nothing is said.

    `key`: what a stored response is found by. `purge`: networks whose PURGE requests are obeyed: of a URL,
    of all below it where it ends in `*`, or of what has a tag of the request's Cache-Tag; with
    `Soft-Purge: 1` it becomes stale and is not dropped. `stale_if_error`: for how long what is stale is
    used while the origin fails, where responses don't say (RFC 5861).
    """

    kind: Literal["cdn"] = "cdn"
    listen: Port = 443
    names: tuple[str, ...]
    http: Annotated[tuple[HttpVersion, ...], Field(min_length=1)] = ("1.1", "2", "3")
    tls: TlsServer = TlsServer()
    origin: Upstream
    origin_name: str
    origin_http: HttpVersion = "1.1"
    pool: Pool = Pool()
    hsts_s: Annotated[int, Field(ge=0)] = 31_536_000
    cache_bytes: Annotated[int, Field(ge=0)] = 64 * 1024 * 1024
    key: CacheKey = CacheKey()
    purge: tuple[NetworkText, ...] = ()
    stale_if_error_ns: DurationNs = Field(0, alias="stale_if_error")


class Health(_Spec):
    """Active TCP checks: up after `rise` successes, down after `fall` failures in a row."""

    interval_ns: DurationNs = Field(5_000_000_000, alias="interval")
    timeout_ns: DurationNs = Field(1_000_000_000, alias="timeout")
    rise: Annotated[int, Field(ge=1)] = 2
    fall: Annotated[int, Field(ge=1)] = 3


Algorithm = Literal[
    "round-robin", "weighted", "least-connections", "ip-hash", "consistent-hash", "random", "two-choices"
]
Weights = tuple[Annotated[int, Field(ge=1)], ...]


def _check_weights(algorithm: Algorithm, weights: Weights, upstreams: tuple[str, ...]) -> None:
    """Raises ValueError where the weights don't fit."""
    if len(weights) != (len(upstreams) if algorithm == "weighted" else 0):
        raise ValueError("`weights` goes with `algorithm: weighted`, one for each upstream")


class BalancerSpec(_Spec):
    """A layer 4 balancer: splices TCP to a healthy upstream, chosen by `algorithm`.

    `weights`: of `weighted`, one for each upstream. The hashes are of the client's address.
    `proxy_protocol`: tell the upstream who the client is, by a PROXY protocol v2 header (TCP).
    `udp`: pass UDP of the same port too, for QUIC: a connection stays with its upstream by its
    connection ID, also when the client's address changes.
    """

    kind: Literal["balancer"] = "balancer"
    listen: Port = 443
    upstreams: Annotated[tuple[Upstream, ...], Field(min_length=1)]
    algorithm: Algorithm = "round-robin"
    weights: Weights = ()
    proxy_protocol: StrictBool = False
    udp: StrictBool = False
    health: Health = Health()

    @model_validator(mode="after")
    def _fit(self) -> Self:
        _check_weights(self.algorithm, self.weights, self.upstreams)
        if self.udp and self.algorithm in ("least-connections", "two-choices"):
            raise ValueError(f"`{self.algorithm}` counts connections, which UDP does not have")
        return self


class Passive(_Spec):
    """Passive checks: after `failures` requests in a row that failed (0: never) an upstream is left alone for
    `ejection`; at most `percent` of the upstreams at once."""

    failures: Annotated[int, Field(ge=0)] = 0
    ejection_ns: DurationNs = Field(10_000_000_000, alias="ejection")
    percent: Annotated[int, Field(ge=0, le=100)] = 50


class Route(_Spec):
    """Requests whose path starts with `path` go to `upstreams`, by `algorithm`; the longest path wins.

    `http`: the version spoken to them. `tls_name`: speak TLS to them, whose certificate must carry it;
    HTTP/3 needs it, and HTTP/2 without it is by prior knowledge. `next_upstream`: after which failures a
    request that may be repeated (RFC 9110 section 9.2.2) and has no body goes to the next one; a request that
    no upstream saw always does.
    """

    path: Annotated[str, Field(pattern="^/")] = "/"
    upstreams: Annotated[tuple[Upstream, ...], Field(min_length=1)]
    algorithm: Algorithm = "round-robin"
    weights: Weights = ()
    next_upstream: tuple[Literal["error", "timeout", "http_5xx"], ...] = ()
    passive: Passive = Passive()
    http: HttpVersion = "1.1"
    tls_name: str = ""

    @model_validator(mode="after")
    def _fit(self) -> Self:
        _check_weights(self.algorithm, self.weights, self.upstreams)
        return self


class ProxySpec(_Spec):
    """A reverse proxy: TLS termination, JWT check, X-Forwarded-For and X-Real-IP, routes by path.

    `jwt`: a bearer token signed by the lab's key is required. `trusted`: networks of peers whose
    X-Forwarded-For is believed (the CDN's edges). `proxy_protocol`: connections start with a PROXY header.
    `hsts_s`: as for a cdn.
    """

    kind: Literal["proxy"] = "proxy"
    listen: Port = 443
    names: tuple[str, ...]
    http: Annotated[tuple[HttpVersion, ...], Field(min_length=1)] = ("1.1", "2", "3")
    tls: TlsServer = TlsServer()
    pool: Pool = Pool()
    hsts_s: Annotated[int, Field(ge=0)] = 31_536_000
    routes: Annotated[tuple[Route, ...], Field(min_length=1)]
    jwt: StrictBool = False
    proxy_protocol: StrictBool = False
    trusted: tuple[NetworkText, ...] = ()


class AppSpec(_Spec):
    """The application server: GET /user/{id} from the database, GET /health; see docs/reference.md.

    `allow`: the subjects (of verified tokens) that may read users; empty: anyone who gets here.
    `names`: serve TLS, with a certificate for these; without names it serves plain HTTP/1.1 and, by prior
    knowledge, HTTP/2. Without a `database` there are no users, and a channel ends at this process.
    """

    kind: Literal["app"] = "app"
    listen: Port = 8080
    names: tuple[str, ...] = ()
    http: Annotated[tuple[HttpVersion, ...], Field(min_length=1)] = ("1.1", "2", "3")
    tls: TlsServer = TlsServer()
    database: Upstream | None = None
    max_age_s: Annotated[int, Field(ge=0)] = 300
    allow: tuple[str, ...] = ()


class DatabaseSpec(_Spec):
    """PostgreSQL, the real server, with its data in memory and seeded with the guide's user 42."""

    kind: Literal["database"] = "database"
    listen: Port = 5432


class OcspSpec(_Spec):
    """Tells how the certificates of the lab's authority stand, over plain HTTP: an OCSP responder (RFC 6960;
    GET and POST), and at /authority.crl the list of the revoked. A lab has at most one.

    With one in the lab, certificates say where it is, and clients with `revocation: crl` ask it.
    """

    kind: Literal["ocsp"] = "ocsp"
    listen: Port = 80


class DatagramsSpec(_Spec):
    """UDP traffic. With `to` (`node:port`): sends `count` datagrams of `size` bytes (UDP payload), one every
    `interval`, and ends. Without: counts those that come to `listen`. Nothing is sent again."""

    kind: Literal["datagrams"] = "datagrams"
    listen: Port = 9
    to: Upstream | Literal[""] = ""
    count: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    interval_ns: DurationNs = Field(1_000_000, alias="interval")
    size: Annotated[int, Field(ge=20, le=65_507)] = 200


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
    | OcspSpec
    | DatagramsSpec
    | CommandSpec,
    Field(discriminator="kind"),
]
