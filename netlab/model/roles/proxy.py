"""A reverse proxy."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictBool

from netlab.model.addresses import NetworkText
from netlab.model.roles.balancing import Balanced, Health
from netlab.model.roles.spec import HttpVersion, Port, Spec
from netlab.model.roles.tls import Pool, TlsServer


class Sticky(Spec):
    """A client stays with its upstream, by a cookie of this name that the proxy sets; `max_age_s` 0: until
    the browser ends. Where the upstream is gone, it gets another."""

    cookie: Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")]
    max_age_s: Annotated[int, Field(ge=0)] = 0


class Route(Balanced):
    """Requests whose path starts with `path` go to `upstreams`, by `algorithm`; the longest path wins.

    `http`: the version spoken to them. `tls_name`: speak TLS to them, whose certificate must carry it;
    HTTP/3 needs it, and HTTP/2 without it is by prior knowledge. `next_upstream`: after which failures a
    request that may be repeated (RFC 9110 section 9.2.2) and has no body goes to the next one; a request that
    no upstream saw always does. `health`: active checks, over TCP; within TLS by its own `tls_name`.
    """

    path: Annotated[str, Field(pattern="^/")] = "/"
    next_upstream: tuple[Literal["error", "timeout", "http_5xx"], ...] = ()
    health: Health | None = None
    sticky: Sticky | None = None
    http: HttpVersion = "1.1"
    tls_name: str = ""


class ProxySpec(Spec):
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
