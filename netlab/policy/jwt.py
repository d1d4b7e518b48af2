"""Is this request's bearer token good? (RFC 6750, RFC 7519, and RFC 8725 for what can go wrong.)"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

import jwt

from netlab.model.roles.jwt import Jwt
from netlab.proto.http import Headers

LAB_KEY = "lab"  # by this name tokens of the lab's own key call it
_ALGORITHMS = {("EC", "P-256"): "ES256", ("RSA", ""): "RS256", ("oct", ""): "HS256"}
_RSA_BITS = 2048  # RFC 7518 section 3.3: at least
_SECRET_BYTES = 32  # section 3.2
_SUBJECT = re.compile(r"[\x20-\x7e]{1,256}")  # it goes into a header field
_MAX_KEYS = 100
# PyJWT lets some of what JSON can do to Python pass: depth, numbers too large for a float.
_MALFORMED = (jwt.PyJWTError, TypeError, ValueError, OverflowError, RecursionError)


@dataclass(frozen=True, slots=True)
class Accepted:
    subject: str


@dataclass(frozen=True, slots=True)
class Refused:
    """`challenge` is the value of WWW-Authenticate (RFC 6750 section 3). `unknown_key`: the token names a key
    that is not known, and may be known after the next look at where keys come from."""

    cause: str
    challenge: str
    unknown_key: bool = False


@dataclass(frozen=True, slots=True)
class Key:
    """A key verifies one algorithm and no other: the token does not choose (RFC 8725 section 3.1)."""

    name: str
    algorithm: str
    material: Any  # as PyJWT takes it


def lab_key(public_pem: str) -> Key:
    """The lab's own."""
    return Key(LAB_KEY, "ES256", public_pem)


def key_of(jwk: Mapping[str, object]) -> Key:
    """Of a JSON Web Key. Raises ValueError where it is none of ours, or too weak."""
    kind, curve = str(jwk.get("kty", "")), str(jwk.get("crv", ""))
    algorithm = _ALGORITHMS.get((kind, curve if kind == "EC" else ""))
    if algorithm is None:
        raise ValueError(f"a key of type {kind or '(none)'} {curve} verifies nothing here")
    if jwk.get("alg") not in (None, "", algorithm) or jwk.get("use") not in (None, "sig"):
        raise ValueError(f"a key for {jwk.get('alg') or jwk.get('use')} is of type {kind}")
    try:
        size = len(urlsafe_b64decode(f"{jwk.get('n' if kind == 'RSA' else 'k', '')}=="))
        material = jwt.PyJWK.from_dict(dict(jwk), algorithm).key
    except (jwt.PyJWTError, TypeError, ValueError) as error:
        raise ValueError(f"a malformed key: {error}") from error
    if kind == "RSA" and size * 8 < _RSA_BITS:
        raise ValueError(f"an RSA key of {size * 8} bits, fewer than {_RSA_BITS}")
    if kind == "oct" and size < _SECRET_BYTES:
        raise ValueError(f"a secret of {size} bytes, fewer than {_SECRET_BYTES}")
    return Key(str(jwk.get("kid", "")), algorithm, material)


def key_set(document: object) -> tuple[Key, ...]:
    """The public keys of a JSON Web Key Set (RFC 7517 section 5); those that we have no use for are skipped,
    and so are secrets, which nobody publishes. Raises ValueError where it is no key set."""
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list) or len(keys) > _MAX_KEYS:
        raise ValueError(f"not a key set of at most {_MAX_KEYS} keys")
    found = []
    for one in keys:
        try:
            key = key_of(one) if isinstance(one, dict) else None
        except ValueError:
            continue
        if key is not None and key.algorithm != "HS256":
            found.append(key)
    return tuple(found)


class Verifier:
    """Verifies tokens by `own` keys and by those that `learn` was given last."""

    def __init__(self, settings: Jwt, own: Iterable[Key]) -> None:
        self._settings = settings
        self._own = tuple(own)
        self._keys = self._own

    def learn(self, keys: Iterable[Key]) -> None:
        """These, in place of those learnt before."""
        self._keys = (*self._own, *keys)

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
            head = jwt.get_unverified_header(token)
        except _MALFORMED as error:
            return _refused(f"bad token: {error}", "invalid_token")
        key = self._key(head)
        if isinstance(key, Refused):
            return key
        settings = self._settings
        try:
            claims = jwt.decode(
                token,
                key.material,
                algorithms=[key.algorithm],
                issuer=settings.issuer,
                audience=settings.audience or None,
                # Times are compared below, with the clock that was passed in.
                options={
                    "require": ["exp", "sub", "iss", *(["aud"] if settings.audience else [])],
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
            expires, begins = _time(claims["exp"]), _time(claims.get("nbf", now))
        except _MALFORMED as error:
            return _refused(f"bad token: {error}", "invalid_token")
        leeway_s = settings.leeway_ns / 1e9
        if now >= expires + leeway_s:
            return _refused("the token has expired", "invalid_token")
        if now < begins - leeway_s:
            return _refused("the token is not valid yet", "invalid_token")
        subject = claims["sub"]
        if not isinstance(subject, str) or not _SUBJECT.fullmatch(subject):
            return _refused("bad token: its subject is not printable", "invalid_token")
        return Accepted(subject)

    def _key(self, head: Mapping[str, object]) -> Key | Refused:
        """The one key that may have signed it."""
        algorithm, name = head.get("alg"), head.get("kid")
        if algorithm not in _ALGORITHMS.values():
            return _refused(f"bad token: algorithm {algorithm!s:.20}", "invalid_token")
        if "crit" in head:  # RFC 7515 section 4.1.11: extensions that must be understood
            return _refused("bad token: critical extensions", "invalid_token")
        named = [key for key in self._keys if name is not None and key.name == name]
        if name is not None and not named:
            return _refused(f"bad token: no key {name!s:.40}", "invalid_token", unknown_key=True)
        fitting = [key for key in named or self._keys if key.algorithm == algorithm]
        if not fitting:
            return _refused(f"bad token: {algorithm} is not its key's algorithm", "invalid_token")
        if len(fitting) > 1:
            return _refused("bad token: it does not say which key", "invalid_token")
        return fitting[0]


def _time(value: object) -> float:
    """NumericDate (RFC 7519 section 2). Raises ValueError; Python's JSON has NaN, which no time is past."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ValueError("a time that is no number")
    return float(value)


def _refused(cause: str, code: str, *, unknown_key: bool = False) -> Refused:
    return Refused(cause, f'Bearer realm="netlab", error="{code}"', unknown_key)
