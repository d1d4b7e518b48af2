"""A CDN's edge."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, WithJsonSchema

from netlab.model.addresses import NetworkText
from netlab.model.roles.limits import RateLimit
from netlab.model.roles.resilience import Resilience
from netlab.model.roles.spec import HostName, HttpVersion, Port, Spec, Upstream
from netlab.model.roles.tls import Pool, TlsServer
from netlab.model.units import DurationNs, size_bytes


class CacheKey(Spec):
    """What requests must have in common, beside the authority and the path, to be answered by one stored
    response. `query`: whether its parameters count; `keep`: those alone that do (empty: all); `drop`: those
    that don't. `headers`, `cookies`: names of those that count too."""

    query: StrictBool = True
    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    cookies: tuple[str, ...] = ()


SizeBytes = Annotated[
    int,
    BeforeValidator(size_bytes),
    Field(ge=0),
    WithJsonSchema(
        {"type": ["string", "integer"], "pattern": r"^\d+(\.\d+)?([kmg]?b)$", "examples": ["64mb", "1gb"]}
    ),
]


class Disk(Spec):
    """Where responses are kept beside memory, so that they outlive a restart of the role: a directory of the
    lab's state, at most `bytes` of it."""

    bytes: SizeBytes


def _call(text: str) -> str:
    where, colon, name = text.partition(":")
    if not where.strip() or not colon or not name.isidentifier():
        raise ValueError(f"{text} names no function; write edge_functions.py:name, or module:name")
    return text


class EdgeFunction(Spec):
    """A Python function at the edge, `call`: `file.py:name`, the file beside the topology, or `module:name`.

    `on`: it gets each request, before the cache; or each response, as it leaves. `on_error`: what happens
    where it fails, or is not done within `limit`: an answer of 500, or it is left out. `source`: the file's
    text, which is filled in when the topology is read.
    """

    call: Annotated[str, AfterValidator(_call)]
    on: Literal["request", "response"] = "request"
    on_error: Literal["refuse", "bypass"] = "refuse"
    limit_ns: Annotated[DurationNs, Field(gt=0)] = Field(50_000_000, alias="limit")
    source: str = ""

    @property
    def file(self) -> str:
        """The file that it is in; empty: a module that can be imported."""
        where = self.call.partition(":")[0]
        return where if where.endswith(".py") else ""


class Bots(Spec):
    """Programs that ask: each request gets a score of signs, and 403 from `refuse_at` on (0 to 100).

    `rapid`: so many requests of a client in 10 seconds are a sign. `allow`, `deny`: parts of User-Agents
    that are let through, or refused, whatever the signs.
    """

    refuse_at: Annotated[int, Field(ge=1, le=100)] = 70
    rapid: Annotated[int, Field(ge=1)] = 100
    allow: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    deny: tuple[Annotated[str, Field(min_length=1)], ...] = ()


class CdnSpec(Spec):
    """A CDN edge: TLS to the client, a shared cache (RFC 9111), TLS to the origin.

    `names`: what it serves and has certificates for. `http`: the versions it speaks to clients.
    `origin`: where misses go; `origin_name` the name that the origin's certificate must carry (and its
    SNI); `origin_http` the version spoken to it. `hsts_s`: for how many seconds clients shall come by TLS
    only (RFC 6797); 0: nothing is said.

    `shield`: another cdn that misses go to, under the first of `names`; where it can't be reached, the
    origin is asked. `trusted`: networks of edges whose X-Forwarded-For is believed, for a shield.

    `cache_bytes`: of memory; `disk`: more, behind it.

    `key`: what a stored response is found by. `purge`: networks whose PURGE requests are obeyed: of a URL,
    of all below it where it ends in `*`, or of what has a tag of the request's Cache-Tag; with
    `Soft-Purge: 1` it becomes stale and is not dropped. `stale_if_error`: for how long what is stale is
    used while the origin fails, where responses don't say (RFC 5861). `negative`: for
    how long it is believed that there is nothing (404, 405, 410, 414, 501), where responses don't say.
    `compress`: text goes out in gzip to who wants it. `resilience`: timeouts, retries and more towards the
    origin, and the shield before it.

    `rate_limits`, `bots`, `functions`: what a request meets before the cache, in this order.
    """

    kind: Literal["cdn"] = "cdn"
    listen: Port = 443
    names: Annotated[tuple[HostName, ...], Field(min_length=1)]
    http: Annotated[tuple[HttpVersion, ...], Field(min_length=1)] = ("1.1", "2", "3")
    tls: TlsServer = TlsServer()
    origin: Upstream
    origin_name: HostName
    origin_http: HttpVersion = "1.1"
    shield: Upstream | None = None
    trusted: tuple[NetworkText, ...] = ()
    pool: Pool = Pool()
    hsts_s: Annotated[int, Field(ge=0)] = 31_536_000
    cache_bytes: SizeBytes = 64 * 1024 * 1024
    disk: Disk | None = None
    key: CacheKey = CacheKey()
    purge: tuple[NetworkText, ...] = ()
    stale_if_error_ns: DurationNs = Field(0, alias="stale_if_error")
    negative_ns: DurationNs = Field(0, alias="negative")
    resilience: Resilience = Resilience()
    compress: StrictBool = False
    rate_limits: tuple[RateLimit, ...] = ()
    bots: Bots | None = None
    functions: tuple[EdgeFunction, ...] = ()
