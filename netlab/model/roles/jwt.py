"""Which bearer tokens a proxy believes."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StrictBool, model_validator

from netlab.model.roles.spec import Spec, Upstream
from netlab.model.units import DurationNs

# How a client's token is bad. `wrong-key`: another key signed it. `alg-none`: nobody did.
# `hs256-public-key`: its secret is the public key, which would do where the token chooses the algorithm.
TokenFault = Literal["none", "expired", "not-yet-valid", "wrong-key", "alg-none", "hs256-public-key"]

_NEEDED = {"EC": ("crv", "x", "y"), "RSA": ("n", "e"), "oct": ("k",)}
Base64Url = Annotated[str, Field(pattern="^[A-Za-z0-9_-]*$")]


class Jwk(Spec):
    """A key as JSON Web Key (RFC 7517): `EC` on P-256 verifies ES256, `RSA` RS256, `oct`, which is a secret,
    HS256. `kid` is by which tokens name it. The members have their names in the RFC."""

    kid: str = ""
    kty: Literal["EC", "RSA", "oct"]
    use: Literal["sig"] = "sig"
    alg: Literal["", "ES256", "RS256", "HS256"] = ""
    crv: Literal["", "P-256"] = ""
    x: Base64Url = ""
    y: Base64Url = ""
    n: Base64Url = ""
    e: Base64Url = ""
    k: Base64Url = ""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for name in _NEEDED[self.kty]:
            if not getattr(self, name):
                raise ValueError(f"a key of `kty: {self.kty}` needs `{name}`")
        return self


class Jwks(Spec):
    """A key set that is asked for over HTTP: GET `path` of `upstream`, inside TLS where `tls_name` says whose
    certificate it must be. It is asked for again every `refresh`, and, not more than once in `cooldown`, when
    a token names a key that is not known. Keys that are no longer in it are no longer believed."""

    upstream: Upstream
    path: Annotated[str, Field(pattern="^/")] = "/.well-known/jwks.json"
    tls_name: str = ""
    refresh_ns: Annotated[DurationNs, Field(ge=1)] = Field(300_000_000_000, alias="refresh")
    cooldown_ns: DurationNs = Field(5_000_000_000, alias="cooldown")


class Jwt(Spec):
    """Tokens are believed that one of these keys has signed: the lab's own (`lab_key`, which signs a client's
    `bearer`), those of `keys`, those of `jwks`. A key fits one algorithm, whatever the token says. They must
    name `issuer` and, where it is given, `audience`; `leeway`: how far clocks may differ."""

    lab_key: StrictBool = True
    keys: tuple[Jwk, ...] = ()
    jwks: Jwks | None = None
    issuer: str = "netlab"
    audience: str = ""
    leeway_ns: DurationNs = Field(0, alias="leeway")

    @model_validator(mode="after")
    def _some_key(self) -> Self:
        if not (self.lab_key or self.keys or self.jwks):
            raise ValueError("no key: say `lab_key: true`, `keys` or `jwks`")
        return self
