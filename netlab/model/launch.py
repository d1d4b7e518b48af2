"""What a role's process is told when it starts: the process contract's first descriptor."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from netlab.model.roles import RoleSpec


class Identity(BaseModel):
    """A certificate chain (leaf first, then intermediate) and its key, PEM.

    `ocsp_der_base64`: its status as of the launch, for stapling; empty: there is none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    chain_pem: str
    key_pem: str
    ocsp_der_base64: str = ""


class Standing(BaseModel):
    """A certificate that the lab's authority has issued, by its serial number in hex. Times are ISO 8601."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    serial: str
    revoked_at: str = ""  # empty: it is good
    reason: str = ""  # as in RFC 5280 section 5.3.1, keyCompromise


class ResponderLaunch(BaseModel):
    """What an OCSP responder needs: the certificate to which the authority has delegated it, whose
    certificates it answers for and how they stand, and the authority's own list of the revoked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    identity: Identity
    issuer_pem: str
    standings: tuple[Standing, ...]
    crl_der_base64: str


class Launch(BaseModel):
    """The JSON document on descriptor NETLAB_SPEC_FD.

    Names in the spec (upstreams, roots, records) are already addresses. `locations` maps networks to
    locations, for geo DNS. `trust_pem` is the lab's root certificate. `identity` is for serving, and so are
    `more_identities`, of names that have a certificate of their own; `client_identity` is for calling, where
    the spec asks for it. `zone_keys`: a name server's signed zones and their private keys; `signed_zones`:
    all of the lab's and their public ones, PEM. `jwt_public_pem` verifies the lab's tokens (ES256);
    `bearer_token` is what a client sends. `seed` seeds the role's random numbers.
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
    more_identities: tuple[Identity, ...] = ()
    client_identity: Identity | None = None
    responder: ResponderLaunch | None = None
    zone_keys: dict[str, str] = {}
    signed_zones: dict[str, str] = {}
    jwt_public_pem: str = ""
    bearer_token: str = ""
    seed: int = 0
