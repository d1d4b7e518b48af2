"""Certificate messages of TLS 1.2 and 1.3, compressed ones, odd ones."""

from __future__ import annotations

import datetime as dt
import hashlib
import zlib
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from netlab.decode.tls_certificate import certificate_fields, compressed_fields

BEGINS, ENDS = dt.datetime(2026, 1, 2, tzinfo=dt.UTC), dt.datetime(2027, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


def der(key: Key, *, names: bool = True) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "api.example.com")])
    issuer = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "A, Authority")])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(0xABCDEF)
        .not_valid_before(BEGINS)
        .not_valid_after(ENDS)
    )
    if names:
        address = x509.IPAddress(ip_address("2001:db8::1"))
        other = [x509.DNSName("*.example.com"), address, x509.RegisteredID(NameOID.TITLE)]
        made = made.add_extension(x509.SubjectAlternativeName(other), critical=False)
    hashed = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return made.sign(key, hashed).public_bytes(serialization.Encoding.DER)


def vector(width: int, data: bytes) -> bytes:
    return len(data).to_bytes(width, "big") + data


def older(*chain: bytes) -> bytes:
    return vector(3, b"".join(vector(3, one) for one in chain))


def newer(*chain: bytes, context: bytes = b"") -> bytes:
    return vector(1, context) + vector(3, b"".join(vector(3, one) + vector(2, b"ext!") for one in chain))


CURVE, EDWARDS = ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()
LONG = rsa.generate_private_key(65537, 2048)


def told(body: bytes) -> dict[str, str]:
    return {one.name: one.text for one in certificate_fields(body)}


@pytest.mark.parametrize("message", [older, newer])
def test_a_chain_of_two(message: Callable[..., bytes]) -> None:
    first = der(CURVE)
    found = told(message(first, der(LONG, names=False)))
    assert found["certificates"] == "2"
    start = "certificate 1 "
    assert {name.removeprefix(start): value for name, value in found.items() if name.startswith(start)} == {
        "subject": "CN=api.example.com",
        "subject alternative names": "*.example.com, 2001:db8::1, RegisteredID",
        "issuer": "O=A\\, Authority",
        "not valid before": "2026-01-02 00:00:00 UTC",
        "not valid after": "2027-01-02 03:04:05 UTC",
        "serial number": "abcdef",
        "key": "EC secp256r1, 256 bits",
        "signature algorithm": "ECDSA with SHA256",
        "SHA-256 fingerprint": hashlib.sha256(first).hexdigest(),
    }
    assert found["certificate 2 key"] == "RSA, 2048 bits"
    assert found["certificate 2 signature algorithm"] == "RSA with SHA256"
    assert "certificate 2 subject alternative names" not in found


def test_a_clients_certificate_has_a_context_and_may_be_none() -> None:
    assert told(newer(der(EDWARDS), context=b"asked"))["certificate 1 key"] == "Ed25519"
    assert told(newer()) == told(older()) == {"certificates": "0"}


def test_compressed_by_zlib_and_by_what_is_not_read() -> None:
    body = newer(der(CURVE))
    packed = zlib.compress(body)
    sent = (1).to_bytes(2, "big") + len(body).to_bytes(3, "big") + vector(3, packed)
    fields = {one.name: one.text for one in compressed_fields(sent)}
    assert fields["compression"] == f"zlib, {len(packed)} bytes of {len(body)}"
    assert fields["certificate 1 subject"] == "CN=api.example.com"
    other = {one.name: one.text for one in compressed_fields(b"\0\2" + sent[2:])}
    assert "brotli isn't decompressed" in other["certificates"]
    for damaged in (sent[:4] + b"\x01" + sent[5:], sent[:8] + b"?" * len(packed)):
        with pytest.raises(ValueError, match=r"announced|zlib"):
            list(compressed_fields(damaged))


def test_a_bomb_is_not_unpacked() -> None:
    packed = zlib.compress(bytes(1 << 24))
    with pytest.raises(ValueError, match="262144 bytes"):
        list(compressed_fields(b"\0\1" + b"\xff\xff\xff" + vector(3, packed)))


def test_what_is_no_certificate_is_told_as_such() -> None:
    found = told(newer(b"\x30\x03abc", der(CURVE)))
    assert "5 bytes" in found["certificate 1 unreadable"]
    assert found["certificate 2 subject"] == "CN=api.example.com"


@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_else_than_value_error(body: bytes) -> None:
    for read in (certificate_fields, compressed_fields):
        with suppress(ValueError):
            list(read(body))


@given(st.integers(0, 500), st.integers(0, 255))
def test_damaged_certificates_are_told_or_refused(place: int, value: int) -> None:
    body = bytearray(newer(FIXED))
    body[place % len(body)] = value
    with suppress(ValueError):
        assert list(certificate_fields(bytes(body)))


FIXED = der(CURVE)
