"""Which upstream is chosen, and which are left alone: what a balancer and a proxy's route have in common."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, StrictBool, Tag, model_validator

from netlab.model.roles.spec import Spec, Upstream
from netlab.model.units import DurationNs

Algorithm = Literal[
    "round-robin", "weighted", "least-connections", "ip-hash", "consistent-hash", "random", "two-choices"
]
HASHES = ("ip-hash", "consistent-hash")
Percent = Annotated[int, Field(ge=0, le=100)]


class Health(Spec):
    """Active checks: up after `rise` successes, down after `fall` failures in a row.

    A check opens a connection; with `http` it also asks GET for that path, and wants one of `expect`.
    `tls_name`: do so inside TLS, of a certificate that carries this name, which is the Host too.
    """

    interval_ns: Annotated[DurationNs, Field(gt=0)] = Field(5_000_000_000, alias="interval")
    timeout_ns: Annotated[DurationNs, Field(gt=0)] = Field(1_000_000_000, alias="timeout")
    rise: Annotated[int, Field(ge=1)] = 2
    fall: Annotated[int, Field(ge=1)] = 3
    http: Annotated[str, Field(pattern="^(/.*)?$")] = ""
    expect: Annotated[tuple[Annotated[int, Field(ge=100, le=599)], ...], Field(min_length=1)] = (200,)
    tls_name: str = ""


class Passive(Spec):
    """Passive checks: after `failures` in a row (0: never) an upstream is left alone for `ejection`; at most
    `percent` of the upstreams at once. A proxy counts requests that failed; a balancer connections that the
    upstream refused, or ended before its first byte while the client waited."""

    failures: Annotated[int, Field(ge=0)] = 0
    ejection_ns: DurationNs = Field(10_000_000_000, alias="ejection")
    percent: Percent = 50


class Server(Spec):
    """An upstream of which more is said than where it is.

    `weight`: of `algorithm: weighted`. `backup`: used while no other can be. `zone`: a name of your own; its
    node's location where it is empty.
    """

    to: Upstream
    weight: Annotated[int, Field(ge=1)] = 1
    backup: StrictBool = False
    zone: str = ""


def _form(value: object) -> str:
    return "mapping" if isinstance(value, dict | Server) else "text"


Entry = Annotated[Annotated[Upstream, Tag("text")] | Annotated[Server, Tag("mapping")], Discriminator(_form)]


class Balanced(Spec):
    """`slow_start`: an upstream that comes back gets more and more of its share, from a tenth to all of it
    after this time. `zone`: upstreams of this zone are preferred, as long as at least `spill` percent of them
    can be used. `all_down`: what to do when no upstream is healthy: refuse, or try them.
    """

    upstreams: Annotated[tuple[Entry, ...], Field(min_length=1)]
    algorithm: Algorithm = "round-robin"
    passive: Passive = Passive()
    slow_start_ns: DurationNs = Field(0, alias="slow_start")
    zone: str = ""
    spill: Percent = 50
    all_down: Literal["refuse", "try"] = "refuse"

    @property
    def servers(self) -> tuple[Server, ...]:
        """The upstreams in their long form."""
        return tuple(Server(to=one) if isinstance(one, str) else one for one in self.upstreams)

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        names = [one.to for one in self.servers]
        if repeated := next((name for name in names if names.count(name) > 1), ""):
            raise ValueError(f"`{repeated}` is twice in `upstreams`; leave out one")
        if all(one.backup for one in self.servers):
            raise ValueError("every upstream is a `backup`; of nobody, then")
        if self.algorithm != "weighted" and any(one.weight != 1 for one in self.servers):
            raise ValueError("`weight` goes with `algorithm: weighted`")
        if self.algorithm in HASHES and self.slow_start_ns:
            raise ValueError(f"`{self.algorithm}` ties clients to upstreams: no `slow_start` with it")
        return self
