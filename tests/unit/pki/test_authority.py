"""Certificates and tokens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import jwt
import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from netlab.errors import LocalProtocolError
from netlab.pki import Authority, TokenKey

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def certificates(pem: str) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(pem.encode())


def verify(authority: Authority, chain_pem: str, name: x509.GeneralName, when: datetime) -> None:
    """As a TLS client does, by another implementation than the one that signs."""
    assert isinstance(name, x509.DNSName | x509.IPAddress)
    leaf, *others = certificates(chain_pem)
    builder = PolicyBuilder().store(Store(certificates(authority.root_pem))).time(when)
    builder.build_server_verifier(name).verify(leaf, others)


@pytest.mark.parametrize(
    "name",
    [
        x509.DNSName("api.example.com"),
        x509.DNSName("a.cdn.example.com"),
        x509.IPAddress(ip_address("192.0.2.1")),
        x509.IPAddress(ip_address("2001:db8::1")),
    ],
)
def test_a_leaf_is_good_for_its_names(name: x509.GeneralName) -> None:
    authority = Authority.create("lab", NOW)
    identity = authority.issue(("api.example.com", "*.cdn.example.com", "192.0.2.1", "2001:db8::1"))
    assert len(certificates(identity.chain_pem)) == 2
    for when in (NOW - timedelta(minutes=59), NOW, NOW + timedelta(days=6, hours=23)):
        verify(authority, identity.chain_pem, name, when)


@pytest.mark.parametrize(
    ("name", "when", "lab"),
    [
        ("other.example.com", NOW, "same"),
        ("api.example.com", NOW + timedelta(days=8), "same"),
        ("api.example.com", NOW - timedelta(hours=2), "same"),
        ("api.example.com", NOW, "other"),
    ],
)
def test_a_leaf_is_good_for_nothing_else(name: str, when: datetime, lab: str) -> None:
    authority = Authority.create("lab", NOW)
    identity = authority.issue(("api.example.com",))
    judge = authority if lab == "same" else Authority.create("lab", NOW)
    with pytest.raises(VerificationError):
        verify(judge, identity.chain_pem, x509.DNSName(name), when)


def test_path_lengths_and_usage() -> None:
    authority = Authority.create("x" * 100, NOW)
    leaf, intermediate = certificates(authority.issue(("a",)).chain_pem)
    (root,) = certificates(authority.root_pem)
    lengths = [
        one.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length
        for one in (root, intermediate, leaf)
    ]
    assert lengths == [1, 0, None]
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_cert_sign) == (True, False)


def test_a_certificate_needs_a_name() -> None:
    with pytest.raises(LocalProtocolError):
        Authority.create("lab", NOW).issue(())


def test_a_token_says_who_and_how_long() -> None:
    key = TokenKey.create()
    token = key.token("alice", NOW)
    claims = jwt.decode(
        token, key.public_pem, algorithms=["ES256"], options={"verify_exp": False, "verify_iat": False}
    )
    assert claims == {
        "iss": "netlab",
        "sub": "alice",
        "iat": NOW.timestamp(),
        "exp": (NOW + timedelta(days=7)).timestamp(),
    }
    assert "PRIVATE" not in key.public_pem
