"""What a role's process is told when it starts: the process contract's first descriptor."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from netlab.model.roles import RoleSpec


class Identity(BaseModel):
    """A certificate chain (leaf first, then intermediate) and its key, PEM."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    chain_pem: str
    key_pem: str


class Launch(BaseModel):
    """The JSON document on descriptor NETLAB_SPEC_FD.

    Names in the spec (upstreams, roots, records) are already addresses. `locations` maps networks to
    locations, for geo DNS. `trust_pem` is the lab's root certificate. `jwt_public_pem` verifies tokens
    (RS256 or ES256); `bearer_token` is what a client sends. `seed` seeds the role's random numbers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    lab: str
    node: str
    role: str  # "client"; "app-2" for the second app of one node
    spec: RoleSpec
    addresses: tuple[str, ...] = ()
    resolvers: tuple[str, ...] = ()
    locations: dict[str, str] = {}
    trust_pem: str = ""
    identity: Identity | None = None
    jwt_public_pem: str = ""
    bearer_token: str = ""
    seed: int = 0
