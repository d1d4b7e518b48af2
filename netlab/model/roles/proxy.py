"""A reverse proxy."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StrictBool, model_validator

from netlab.model.addresses import NetworkText
from netlab.model.roles.balancing import Balanced, Health
from netlab.model.roles.gateway import ClientTimeouts, JwtChoice, RequestLimits
from netlab.model.roles.limits import RateLimit
from netlab.model.roles.resilience import Resilience
from netlab.model.roles.routing import HeaderRules, Matched
from netlab.model.roles.spec import HostName, HttpVersion, Port, Spec
from netlab.model.roles.tls import Pool, TlsClient, TlsServer
from netlab.model.roles.waf import Waf
from netlab.model.units import DurationNs


class Sticky(Spec):
    """A client stays with its upstream, by a cookie of this name that the proxy sets; `max_age_s` 0: until
    the browser ends. Where the upstream is gone, it gets another."""

    cookie: Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")]
    max_age_s: Annotated[int, Field(ge=0)] = 0


class Route(Matched, Balanced):
    """Requests that it matches go to `upstreams`, by `algorithm`. Which route takes a request: the one with
    the most telling host, then with the longest path, a method, the most header fields.

    `http`: the version spoken to them. `tls_name`: speak TLS to them, whose certificate must carry it, as
    `tls` says; HTTP/3 needs it, and HTTP/2 without it is by prior knowledge. `next_upstream`: after which
    failures a request that may be repeated (RFC 9110 section 9.2.2) and has no body goes to the next one; a
    request that no upstream saw always does. `resilience`: timeouts, retries after the last one has failed,
    and more, for each upstream. `health`: active checks, over TCP; within TLS by its own
    `tls_name`. `jwt`: whether a token is needed; if nothing is said, as the proxy's. `rate_limits`: beside
    those of the proxy. `waf: false`: the firewall does not look. `request_headers`, `response_headers`: of
    what goes to the upstream, and to the client. `micro_cache`: for so long one answer to GET without
    credentials is given to all.
    """

    next_upstream: tuple[Literal["error", "timeout", "http_5xx"], ...] = ()
    resilience: Resilience = Resilience()
    health: Health | None = None
    sticky: Sticky | None = None
    http: HttpVersion = "1.1"
    tls_name: str = ""
    tls: TlsClient = TlsClient()
    jwt: StrictBool | None = None
    rate_limits: tuple[RateLimit, ...] = ()
    waf: StrictBool = True
    request_headers: HeaderRules = HeaderRules()
    response_headers: HeaderRules = HeaderRules()
    micro_cache_ns: DurationNs = Field(0, alias="micro_cache")


class ProxySpec(Spec):
    """A reverse proxy: TLS termination, tokens, limits, a firewall, routes; it tells upstreams who asks.

    `certificates`: groups of `names` that have a certificate of their own each; the others share the first.
    `jwt`: a bearer token is required: `true`, one signed by the lab's key; or a mapping with other keys.
    `trusted`: networks of peers whose X-Forwarded-*, Forwarded and X-Request-Id are believed (the CDN's
    edges). `proxy_protocol_from`: networks of balancers; connections come from there alone and start with a
    PROXY header, which is believed. `rate_limits`: for all routes together. `limits`: how long a request may
    be. `timeouts`: how long a client is waited for. `waf`: a firewall. `hsts_s`: as for a cdn.
    """

    kind: Literal["proxy"] = "proxy"
    listen: Port = 443
    names: Annotated[tuple[HostName, ...], Field(min_length=1)]
    certificates: tuple[Annotated[tuple[str, ...], Field(min_length=1)], ...] = ()
    http: Annotated[tuple[HttpVersion, ...], Field(min_length=1)] = ("1.1", "2", "3")
    tls: TlsServer = TlsServer()
    pool: Pool = Pool()
    hsts_s: Annotated[int, Field(ge=0)] = 31_536_000
    routes: Annotated[tuple[Route, ...], Field(min_length=1)]
    jwt: JwtChoice = False
    rate_limits: tuple[RateLimit, ...] = ()
    limits: RequestLimits = RequestLimits()
    timeouts: ClientTimeouts = ClientTimeouts()
    waf: Waf | None = None
    proxy_protocol_from: tuple[NetworkText, ...] = ()
    trusted: tuple[NetworkText, ...] = ()

    @property
    def name_groups(self) -> tuple[tuple[str, ...], ...]:
        """The names of each certificate."""
        grouped = {name for group in self.certificates for name in group}
        others = tuple(name for name in self.names if name not in grouped)
        return (others, *self.certificates) if others else self.certificates

    @model_validator(mode="after")
    def _certified(self) -> Self:
        grouped = [name for group in self.certificates for name in group]
        for name in grouped:
            if name not in self.names:
                raise ValueError(f"`certificates` has `{name}`, which is not in `names`")
            if grouped.count(name) > 1:
                raise ValueError(f"`{name}` is in two certificates; leave it out of one")
        return self
