"""A load balancer."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import StrictBool, model_validator

from netlab.model.roles.balancing import Balanced, Health
from netlab.model.roles.spec import Port

COUNTING = ("least-connections", "two-choices")


class BalancerSpec(Balanced):
    """A layer 4 balancer: splices TCP to a healthy upstream, chosen by `algorithm`. An upstream is text, or a
    mapping such as `{to: app-1:8080, weight: 3}`. The hashes are of the client's address.

    `proxy_protocol`: tell the upstream who the client is, by a PROXY protocol v2 header (TCP).
    `udp`: pass UDP of the same port too, for QUIC: a connection stays with its upstream by its
    connection ID, also when the client's address changes.
    """

    kind: Literal["balancer"] = "balancer"
    listen: Port = 443
    proxy_protocol: StrictBool = False
    udp: StrictBool = False
    health: Health = Health()

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if self.udp and self.algorithm in COUNTING:
            raise ValueError(f"`{self.algorithm}` counts connections, which UDP does not have")
        return self
