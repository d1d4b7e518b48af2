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
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from netlab.model.roles.jwt import Jwt, TokenFault
from netlab.pki import TokenKey
from netlab.policy.jwt import Accepted, Key, Refused, Verifier, key_of, key_set, lab_key
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
    return Verifier(Jwt(), (lab_key(KEY.public_pem),)).check(
        Headers(("Authorization", line) for line in lines), now
    )


def encoded(document: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def encoded_text(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


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
        (signed(exp=float("nan")), "no number"),
        (signed(exp=float("inf")), "no number"),
        (signed(exp=str(NOW + DAY)), "no number"),
        (signed(sub="a\r\nX-Admin: 1"), "not printable"),
        (signed(sub=""), "not printable"),
        (signed(aud="someone else"), "bad token"),
        (jwt.encode({"sub": "a"}, KEY._key, algorithm="ES256", headers={"crit": ["x"]}), "critical"),
        ("x.y.z", "bad token"),
        (signed(exp=10**400), "bad token"),
        (f"{encoded_text('[' * 9000)}.{encoded_text('[' * 9000)}.x", "bad token"),
        (f"{token().split('.')[0]}.{encoded_text('[' * 9000)}.x", "bad token"),
        (f"{encoded({'alg': ['ES256'], 'kid': {'a': 1}})}.x.y", "bad token"),
        ("ü", "bad token"),
    ],
)
def test_bad_tokens(bad: str, says: str) -> None:
    verdict = check(f"Bearer {bad}")
    assert isinstance(verdict, Refused), verdict
    assert says in verdict.cause
    assert verdict.challenge == 'Bearer realm="netlab", error="invalid_token"'


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("expired", "has expired"),
        ("not-yet-valid", "not valid yet"),
        ("wrong-key", "Signature verification failed"),
        ("alg-none", "algorithm none"),
        ("hs256-public-key", "HS256 is not its key's algorithm"),
    ],
)
def test_faults_that_a_lab_can_make(fault: TokenFault, says: str) -> None:
    verdict = check(f"Bearer {KEY.token('alice', datetime.fromtimestamp(NOW, UTC), fault)}")
    assert isinstance(verdict, Refused), verdict
    assert says in verdict.cause


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


# Several keys, and their rotation.

RSA = rsa.generate_private_key(65_537, 2048)
SECRET = b"a secret that has at least thirty-two bytes"
KEYS: dict[str, tuple[Any, str]] = {
    "e": (PRIVATE, "ES256"),
    "r": (RSA, "RS256"),
    "h": (SECRET, "HS256"),
    "lab": (KEY._key, "ES256"),
}


def jwk(name: str, **more: str) -> dict[str, Any]:
    """The key that verifies."""
    key, algorithm = KEYS[name]
    if algorithm == "HS256":
        made: dict[str, Any] = jwt.algorithms.HMACAlgorithm.to_jwk(key, as_dict=True)
    elif algorithm == "RS256":
        made = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    else:
        made = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    made.pop("key_ops", None)
    return {**made, "kid": name, "alg": algorithm, **more}


def by(name: str, kid: str | None = None, algorithm: str = "", **claims: Any) -> Headers:
    """A request with a token by this key."""
    key, own = KEYS[name]
    given = {"iss": "netlab", "sub": name, "exp": NOW + DAY} | claims
    headers = {} if kid == "" else {"kid": kid or name}
    return Headers((("Authorization", f"Bearer {jwt.encode(given, key, algorithm or own, headers)}"),))


def verifier(*names: str, **settings: Any) -> Verifier:
    return Verifier(Jwt(**settings), [key_of(jwk(name)) for name in names])


@pytest.mark.parametrize("name", ["e", "r", "h"])
def test_each_algorithm(name: str) -> None:
    assert verifier("e", "r", "h").check(by(name), NOW) == Accepted(name)
    assert verifier("e", "r", "h").check(by(name, kid=""), NOW) == Accepted(name)  # its algorithm's only one


def test_a_key_is_of_one_algorithm_whatever_the_token_says() -> None:
    pem = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for kid in ("r", "e"):
        claims = encoded({"iss": "netlab", "sub": "root", "exp": NOW + DAY})
        signing = f"{encoded({'alg': 'HS256', 'kid': kid})}.{claims}"
        mac = hmac.new(pem, signing.encode(), hashlib.sha256).digest()
        forged = f"{signing}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
        found = verifier("e", "r", "h").check(Headers((("Authorization", f"Bearer {forged}"),)), NOW)
        assert isinstance(found, Refused)
        assert "HS256 is not its key's algorithm" in found.cause
    assert isinstance(verifier("e", "r").check(by("r", kid="e"), NOW), Refused)
    assert isinstance(verifier("r").check(by("r", algorithm="RS512"), NOW), Refused)


def test_keys_rotate() -> None:
    made = Verifier(Jwt(), ())
    unknown = made.check(by("e"), NOW)
    assert isinstance(unknown, Refused)
    assert unknown.unknown_key, unknown
    made.learn(key_set({"keys": [jwk("e")]}))
    assert made.check(by("e"), NOW) == Accepted("e")
    made.learn(key_set({"keys": [jwk("e"), jwk("r")]}))
    assert (made.check(by("e"), NOW), made.check(by("r"), NOW)) == (Accepted("e"), Accepted("r"))
    made.learn(key_set({"keys": [jwk("r")]}))
    gone = made.check(by("e"), NOW)
    assert isinstance(gone, Refused)
    assert gone.unknown_key, gone


def test_a_token_that_could_be_of_two_keys_says_which() -> None:
    two = verifier("e", "lab")
    assert two.check(by("e"), NOW) == Accepted("e")
    found = two.check(by("e", kid=""), NOW)
    assert isinstance(found, Refused)
    assert "which key" in found.cause


def test_audience_issuer_and_leeway() -> None:
    strict = verifier("e", issuer="idp", audience="api", leeway="30s")
    good: dict[str, Any] = {"iss": "idp", "aud": ["api", "web"]}
    wrong: list[dict[str, Any]] = [
        {"iss": "idp"},
        {"iss": "idp", "aud": "web"},
        {"iss": "netlab", "aud": "api"},
    ]
    assert strict.check(by("e", **good), NOW) == Accepted("e")
    assert strict.check(by("e", **good, exp=NOW), NOW + 29) == Accepted("e")
    assert isinstance(strict.check(by("e", **good, exp=NOW), NOW + 30), Refused)
    assert strict.check(by("e", **good, nbf=NOW + 30), NOW) == Accepted("e")
    assert isinstance(strict.check(by("e", **good, nbf=NOW + 31), NOW), Refused)
    for bad in wrong:
        assert isinstance(strict.check(by("e", **bad), NOW), Refused), bad


def test_key_sets() -> None:
    keys = [jwk("e"), jwk("h"), jwk("r", use="enc"), {"kty": "OKP"}, {"kty": "EC", "crv": "P-521"}, {}, 7]
    found: tuple[Key, ...] = key_set({"keys": keys})
    assert [one.name for one in found] == ["e"]  # a secret is not believed of a public place
    none: list[object] = [[], {}, {"keys": {}}, {"keys": [{}] * 101}, None]
    for bad in none:
        with pytest.raises(ValueError, match="key set"):
            key_set(bad)


@pytest.mark.parametrize(
    "bad",
    [
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        {"kty": "oct", "k": "c2hvcnQ"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        jwk("e", alg="RS256"),
    ],
)
def test_keys_that_are_weak_or_broken(bad: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"bits|bytes|malformed|type"):
        key_of(bad)


def test_settings_without_a_key() -> None:
    with pytest.raises(ValidationError, match="no key"):
        Jwt(lab_key=False)
    with pytest.raises(ValidationError, match="needs `crv`"):
        Jwt.model_validate({"keys": [{"kty": "EC", "x": "AA"}]})
    assert Jwt.model_validate({"keys": [jwk("e"), jwk("r"), jwk("h")]}).keys[0].kid == "e"


def test_a_signed_token_that_is_deep_is_refused() -> None:
    payload = encoded_text("[" * 9000)
    head = encoded({"alg": "HS256", "kid": "h"})
    mac = hmac.new(SECRET, f"{head}.{payload}".encode(), hashlib.sha256).digest()
    deep = f"{head}.{payload}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
    found = verifier("h").check(Headers((("Authorization", f"Bearer {deep}"),)), NOW)
    assert isinstance(found, Refused)


@given(st.text(alphabet=st.characters(max_codepoint=255)))
def test_no_field_raises(value: str) -> None:
    found = verifier("e", "r", "h").check(Headers((("Authorization", f"Bearer {value}"),)), NOW)
    assert isinstance(found, Refused)
