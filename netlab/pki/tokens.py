"""The key that signs the lab's JSON Web Tokens (RFC 7519), with ES256 (RFC 7518 section 3.4)."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime, timedelta

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from netlab.errors import LocalProtocolError
from netlab.model.roles.jwt import TokenFault

ISSUER = "netlab"
KEY_NAME = "lab"
_LIFETIME = timedelta(days=7)
_HOUR = timedelta(hours=1)


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

    def token(self, subject: str, now: datetime, fault: TokenFault = "none") -> str:
        """A token for `subject`, valid from `now` (with its time zone) for seven days, or bad by `fault`."""
        claims = {"iss": ISSUER, "sub": subject, "iat": now, "exp": now + _LIFETIME}
        match fault:
            case "none":
                return self._signed(claims)
            case "expired":
                return self._signed({**claims, "iat": now - 2 * _HOUR, "exp": now - _HOUR})
            case "not-yet-valid":
                return self._signed({**claims, "nbf": now + _HOUR})
            case "wrong-key":
                return TokenKey.create().token(subject, now)
            case "alg-none":
                return jwt.encode(claims, "", algorithm="none", headers={"kid": KEY_NAME})
            case "hs256-public-key":
                return self._confused(claims)
        raise LocalProtocolError(f"there is no token that is bad by {fault}")

    def _signed(self, claims: dict[str, object]) -> str:
        return jwt.encode(claims, self._key, algorithm="ES256", headers={"kid": KEY_NAME})

    def _confused(self, claims: dict[str, object]) -> str:
        """HS256, with the public key, which everybody has, as the secret. No library lets one do so."""
        times = {
            name: int(one.timestamp()) if isinstance(one, datetime) else one for name, one in claims.items()
        }
        parts = ({"alg": "HS256", "typ": "JWT", "kid": KEY_NAME}, times)
        signing = ".".join(_encoded(json.dumps(one).encode()) for one in parts)
        mac = hmac.new(self.public_pem.encode(), signing.encode(), hashlib.sha256).digest()
        return f"{signing}.{_encoded(mac)}"


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
