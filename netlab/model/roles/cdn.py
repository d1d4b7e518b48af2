"""A CDN's edge."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StrictBool, WithJsonSchema

from netlab.model.addresses import NetworkText
from netlab.model.roles.spec import HttpVersion, Port, Spec, Upstream
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
    used while the origin fails, where responses don't say (RFC 5861).
    """

    kind: Literal["cdn"] = "cdn"
    listen: Port = 443
    names: Annotated[tuple[str, ...], Field(min_length=1)]
    http: Annotated[tuple[HttpVersion, ...], Field(min_length=1)] = ("1.1", "2", "3")
    tls: TlsServer = TlsServer()
    origin: Upstream
    origin_name: str
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
