"""What TLS Certificate messages say: each certificate of the chain, field by field.

Sources: RFC 8446, section 4.4.2 (TLS 1.3); RFC 5246, section 7.4.2 (TLS 1.2); RFC 8879 (compressed);
RFC 5280.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.x509.oid import SignatureAlgorithmOID

from netlab.decode.field import Field
from netlab.decode.tls_hello import Reader

MOST = 20  # certificates of one chain that are told
_LARGEST = 1 << 18  # bytes of a message that was compressed
_ZLIB = 1
_SIGNATURES = {
    value: name.replace("_WITH_", " with ").replace("_", " ")
    for name, value in vars(SignatureAlgorithmOID).items()
    if isinstance(value, x509.ObjectIdentifier)
}
_COMPRESSIONS = {1: "zlib", 2: "brotli", 3: "zstd"}


def certificate_fields(body: bytes) -> Iterator[Field]:
    """Of a Certificate message's body. Raises ValueError where it is damaged; a certificate that can't be
    read is told as such."""
    chain = list(certificates(body))
    yield _fact("certificates", len(chain))
    for number, one in enumerate(chain[:MOST], 1):
        for field in _of_certificate(one):
            yield field._replace(name=f"certificate {number} {field.name}")


def compressed_fields(body: bytes) -> Iterator[Field]:
    """Of a CompressedCertificate message's body. Raises ValueError as `certificate_fields`."""
    reader = Reader(body)
    algorithm, size = reader.number(2), reader.number(3)
    packed = reader.vector(3)
    name = _COMPRESSIONS.get(algorithm, str(algorithm))
    yield Field("compression", algorithm, f"{name}, {len(packed)} bytes of {size}")
    if algorithm != _ZLIB:
        yield Field("certificates", "", f"not read: {name} isn't decompressed here")
        return
    try:
        plain = zlib.decompressobj().decompress(packed, _LARGEST)
    except zlib.error as error:
        raise ValueError(f"zlib: {error}") from error
    if len(plain) != size:
        raise ValueError(f"{len(plain)} bytes, not the {size} that were announced")
    yield from certificate_fields(plain)


def certificates(body: bytes) -> Iterator[bytes]:
    """DER, the end entity's first. Raises ValueError where the message is damaged.

    The two versions differ in a context before the list, and extensions behind each certificate; the list's
    length, which is the rest of the message, tells which it is.
    """
    newer = int.from_bytes(body[:3], "big") != len(body) - 3
    outer = Reader(body)
    if newer:
        outer.vector(1)
    inner = Reader(outer.vector(3))
    while inner.left():
        yield inner.vector(3)
        if newer:
            inner.vector(2)


def _of_certificate(der: bytes) -> Iterator[Field]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of encodings that are odd, and told all the same
            yield from list(_facts(x509.load_der_x509_certificate(der)))
    except (
        ValueError,
        TypeError,
        UnsupportedAlgorithm,
        x509.InvalidVersion,
        x509.DuplicateExtension,
    ) as error:
        yield _fact("unreadable", f"{len(der)} bytes: {error}")


def _facts(one: x509.Certificate) -> Iterator[Field]:
    yield _fact("subject", one.subject.rfc4514_string())
    if names := list(_names(one)):
        yield _fact("subject alternative names", ", ".join(names))
    yield _fact("issuer", one.issuer.rfc4514_string())
    yield _fact("not valid before", f"{one.not_valid_before_utc:%Y-%m-%d %H:%M:%S} UTC")
    yield _fact("not valid after", f"{one.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC")
    yield _fact("serial number", f"{one.serial_number:x}")
    yield _fact("key", _key(one))
    yield _fact("signature algorithm", _signature(one))
    yield _fact("SHA-256 fingerprint", one.fingerprint(hashes.SHA256()).hex())


def _names(one: x509.Certificate) -> Iterator[str]:
    try:
        found = one.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return
    for name in found:
        value = name.value
        if isinstance(value, (str, IPv4Address, IPv6Address)):
            yield str(value)
        else:
            yield type(name).__name__


def _key(one: x509.Certificate) -> str:
    key = one.public_key()
    match key:
        case ec.EllipticCurvePublicKey():
            return f"EC {key.curve.name}, {key.key_size} bits"
        case rsa.RSAPublicKey():
            return f"RSA, {key.key_size} bits"
        case dsa.DSAPublicKey():
            return f"DSA, {key.key_size} bits"
        case ed25519.Ed25519PublicKey():
            return "Ed25519"
        case ed448.Ed448PublicKey():
            return "Ed448"
    return type(key).__name__


def _signature(one: x509.Certificate) -> str:
    oid = one.signature_algorithm_oid
    return _SIGNATURES.get(oid, oid.dotted_string)


def _fact(name: str, value: int | str) -> Field:
    return Field(name, value, str(value))
