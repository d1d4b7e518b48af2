"""A load balancer."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StrictBool, model_validator

from netlab.model.roles.balancing import Algorithm, Health, Weights, check_weights
from netlab.model.roles.spec import Port, Spec, Upstream


class BalancerSpec(Spec):
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
        check_weights(self.algorithm, self.weights, self.upstreams)
        if self.udp and self.algorithm in ("least-connections", "two-choices"):
            raise ValueError(f"`{self.algorithm}` counts connections, which UDP does not have")
        return self
