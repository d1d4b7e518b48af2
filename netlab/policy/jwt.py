"""Is this request's bearer token good? (RFC 6750, RFC 7519)."""

from __future__ import annotations

from dataclasses import dataclass

import jwt

from netlab.proto.http import Headers

_ALGORITHM = "ES256"  # and no other: the token does not choose how it is checked (RFC 8725 section 3.1)
_ISSUER = "netlab"


@dataclass(frozen=True, slots=True)
class Accepted:
    subject: str


@dataclass(frozen=True, slots=True)
class Refused:
    """`challenge` is the value of WWW-Authenticate (RFC 6750 section 3)."""

    cause: str
    challenge: str


class Verifier:
    """Verifies tokens by one public key (PEM)."""

    def __init__(self, public_pem: str) -> None:
        self._key = public_pem

    def check(self, headers: Headers, now: float) -> Accepted | Refused:
        """`now` in seconds of the epoch: the token must be valid then (`exp` needed, `nbf` if given)."""
        lines = headers.all("authorization")
        if not lines:
            return Refused("no token", 'Bearer realm="netlab"')  # section 3.1: no error code
        scheme, _, token = lines[0].partition(" ")
        if len(lines) > 1 or scheme.lower() != "bearer" or not token:
            return _refused("not one bearer token", "invalid_request")
        return self._verify(token.strip(), now)

    def _verify(self, token: str, now: float) -> Accepted | Refused:
        try:
            claims = jwt.decode(
                token,
                self._key,
                algorithms=[_ALGORITHM],
                issuer=_ISSUER,
                # Times are compared below, with the clock that was passed in.
                options={
                    "require": ["exp", "sub", "iss"],
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
            expires, begins = float(claims["exp"]), float(claims.get("nbf", now))
        except (jwt.InvalidTokenError, TypeError, ValueError) as error:
            return _refused(f"bad token: {error}", "invalid_token")
        if now >= expires:
            return _refused("the token has expired", "invalid_token")
        if now < begins:
            return _refused("the token is not valid yet", "invalid_token")
        return Accepted(str(claims["sub"]))


def _refused(cause: str, code: str) -> Refused:
    return Refused(cause, f'Bearer realm="netlab", error="{code}"')
