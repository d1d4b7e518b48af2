"""The key that signs the lab's JSON Web Tokens (RFC 7519), with ES256 (RFC 7518 section 3.4)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ISSUER = "netlab"
_LIFETIME = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class TokenKey:
    """Made once per lab; only the public half leaves the lab's supervisor."""

    public_pem: str
    _key: ec.EllipticCurvePrivateKey

    @classmethod
    def create(cls) -> TokenKey:
        key = ec.generate_private_key(ec.SECP256R1())
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return cls(public.decode(), key)

    def token(self, subject: str, now: datetime) -> str:
        """A token for `subject`, valid from `now` (with its time zone) for seven days."""
        claims = {"iss": ISSUER, "sub": subject, "iat": now, "exp": now + _LIFETIME}
        return jwt.encode(claims, self._key, algorithm="ES256")
