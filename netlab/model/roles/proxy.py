"""A reverse proxy."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StrictBool, model_validator

from netlab.model.addresses import NetworkText
from netlab.model.roles.balancing import Algorithm, Passive, Weights, check_weights
from netlab.model.roles.spec import HttpVersion, Port, Spec, Upstream
from netlab.model.roles.tls import Pool, TlsServer


class Route(Spec):
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
        check_weights(self.algorithm, self.weights, self.upstreams)
        return self


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
