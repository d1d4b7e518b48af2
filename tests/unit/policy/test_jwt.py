"""Bearer tokens: what is accepted, and the ways to cheat."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from netlab.pki import TokenKey
from netlab.policy.jwt import Accepted, Refused, Verifier
from netlab.proto.http import Headers

NOW = 1_700_000_000.0
DAY = 86_400
KEY = TokenKey.create()
PRIVATE = ec.generate_private_key(ec.SECP256R1())


def token() -> str:
    return KEY.token("alice", datetime.fromtimestamp(NOW, UTC))


def signed(**claims: Any) -> str:
    """By the right key, with other claims."""
    good = {"iss": "netlab", "sub": "alice", "exp": NOW + DAY}
    kept = {name: value for name, value in (good | claims).items() if value is not None}
    return jwt.encode(kept, KEY._key, algorithm="ES256")


def check(*lines: str, now: float = NOW) -> Accepted | Refused:
    return Verifier(KEY.public_pem).check(Headers(("Authorization", line) for line in lines), now)


def encoded(document: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def hs256_with_the_public_key() -> str:
    """Algorithm confusion: the public key, which everyone has, as the secret of HS256."""
    signing = f"{encoded({'alg': 'HS256', 'typ': 'JWT'})}.{token().split('.')[1]}"
    mac = hmac.new(KEY.public_pem.encode(), signing.encode(), hashlib.sha256).digest()
    return f"{signing}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def tampered() -> str:
    head, _, signature = token().split(".")
    return f"{head}.{encoded({'iss': 'netlab', 'sub': 'root', 'exp': NOW + DAY})}.{signature}"


def test_a_good_token() -> None:
    assert check(f"Bearer {token()}") == Accepted("alice")
    assert check(f"bearer {signed(nbf=NOW)}", now=NOW + DAY - 1) == Accepted("alice")


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (hs256_with_the_public_key(), "bad token"),
        (f"{encoded({'alg': 'none'})}.{token().split('.')[1]}.", "bad token"),
        (tampered(), "bad token"),
        (jwt.encode({"iss": "netlab", "sub": "a", "exp": NOW + 9}, PRIVATE, algorithm="ES256"), "bad token"),
        (signed(exp=NOW), "expired"),
        (signed(nbf=NOW + 1), "not valid yet"),
        (signed(exp=None), "bad token"),
        (signed(sub=None), "bad token"),
        (signed(iss="someone"), "bad token"),
        (signed(nbf="soon"), "bad token"),
        ("x.y.z", "bad token"),
        ("ü", "bad token"),
    ],
)
def test_bad_tokens(bad: str, says: str) -> None:
    verdict = check(f"Bearer {bad}")
    assert isinstance(verdict, Refused), verdict
    assert says in verdict.cause
    assert verdict.challenge == 'Bearer realm="netlab", error="invalid_token"'


@pytest.mark.parametrize(
    ("lines", "challenge"),
    [
        ((), 'Bearer realm="netlab"'),
        (("Basic eDp5",), 'Bearer realm="netlab", error="invalid_request"'),
        (("Bearer ",), 'Bearer realm="netlab", error="invalid_request"'),
        ((f"Bearer {token()}", f"Bearer {token()}"), 'Bearer realm="netlab", error="invalid_request"'),
    ],
)
def test_requests_without_one_token(lines: tuple[str, ...], challenge: str) -> None:
    verdict = check(*lines)
    assert isinstance(verdict, Refused)
    assert verdict.challenge == challenge
