"""How certificates stand: OCSP responses (RFC 6960) and revocation lists (RFC 5280 section 5), made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509 import ocsp

from netlab.pki.certificate import Key, Party, Validity
from netlab.pki.revocation import digest, key_bits

if TYPE_CHECKING:
    from netlab.model.launch import ResponderLaunch

_STATUS = ocsp.OCSPResponseStatus
_NONCE_LONGEST = 128  # RFC 9654 section 2.1: at least 32 must be taken, more than 128 must not


@dataclass(frozen=True, slots=True)
class Revocation:
    """`reason` as in RFC 5280 section 5.3.1: keyCompromise, superseded …"""

    at: datetime
    reason: str

    @property
    def flag(self) -> x509.ReasonFlags:
        return x509.ReasonFlags(self.reason)


@dataclass(frozen=True, slots=True)
class _Subject:
    """Whom a response is about, as the request names it."""

    name_hash: bytes
    key_hash: bytes
    serial: int
    algorithm: hashes.HashAlgorithm


@dataclass(frozen=True, slots=True)
class _Signer:
    certificate: x509.Certificate
    key: Key
    delegated: bool


def staple(leaf: x509.Certificate, issuer: Party, revoked: Revocation | None, validity: Validity) -> bytes:
    """A response about `leaf` by its issuer itself, DER; short, as no certificate need go along."""
    algorithm = hashes.SHA1()  # noqa: S303 - the hash that RFC 5019 section 2.1.1 asks for; nothing rests on it
    subject = _Subject(*_issuer_hashes(issuer.shown, algorithm), leaf.serial_number, algorithm)
    status = ocsp.OCSPCertStatus.REVOKED if revoked else ocsp.OCSPCertStatus.GOOD
    builder = _about(subject, status, revoked, validity)
    return _signed(builder, _Signer(issuer.shown, issuer.key, delegated=False))


def revocation_list(issuer: Party, revoked: Mapping[int, Revocation], validity: Validity) -> bytes:
    """The complete list of an issuer, DER."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.name)
        .last_update(validity.first)
        .next_update(validity.last)
        .add_extension(x509.CRLNumber(1), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False
        )
    )
    for serial, one in revoked.items():
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(one.at)
        builder = builder.add_revoked_certificate(
            entry.add_extension(x509.CRLReason(one.flag), critical=False).build()
        )
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(Encoding.DER)


class Responder:
    """Answers requests about an authority's certificates, on its behalf (RFC 6960 section 4.2.2.2)."""

    def __init__(self, launch: ResponderLaunch) -> None:
        certificate = x509.load_pem_x509_certificate(launch.identity.chain_pem.encode())
        key = load_pem_private_key(launch.identity.key_pem.encode(), None)
        assert isinstance(key, Key)  # as our authority made it
        self._signer = _Signer(certificate, key, delegated=True)
        self._issuer = x509.load_pem_x509_certificate(launch.issuer_pem.encode())
        self._standings: dict[int, Revocation | None] = {
            int(one.serial, 16): Revocation(datetime.fromisoformat(one.revoked_at), one.reason)
            if one.revoked_at
            else None
            for one in launch.standings
        }

    def respond(self, request_der: bytes, validity: Validity) -> bytes:
        """The response, DER. A request that can't be read or is about another authority's certificate is
        answered so, unsigned (section 2.3)."""
        try:
            request = ocsp.load_der_ocsp_request(request_der)
            extensions = list(request.extensions)
            subject = _Subject(
                request.issuer_name_hash,
                request.issuer_key_hash,
                request.serial_number,
                request.hash_algorithm,
            )
            hashed = _issuer_hashes(self._issuer, subject.algorithm)
        except (ValueError, NotImplementedError, x509.DuplicateExtension):
            return _unsuccessful(_STATUS.MALFORMED_REQUEST)
        nonces = [one.value for one in extensions if isinstance(one.value, x509.OCSPNonce)]
        if any(not 1 <= len(one.nonce) <= _NONCE_LONGEST for one in nonces):
            return _unsuccessful(_STATUS.MALFORMED_REQUEST)
        if hashed != (subject.name_hash, subject.key_hash):
            return _unsuccessful(_STATUS.UNAUTHORIZED)  # RFC 5019 section 2.2.3
        return self._answer(subject, nonces, validity)

    def _answer(self, subject: _Subject, nonces: Iterable[x509.OCSPNonce], validity: Validity) -> bytes:
        status, revoked = ocsp.OCSPCertStatus.UNKNOWN, None
        if subject.serial in self._standings:
            revoked = self._standings[subject.serial]
            status = ocsp.OCSPCertStatus.REVOKED if revoked else ocsp.OCSPCertStatus.GOOD
        builder = _about(subject, status, revoked, validity)
        for nonce in nonces:
            builder = builder.add_extension(nonce, critical=False)
        return _signed(builder, self._signer)


def _issuer_hashes(issuer: x509.Certificate, algorithm: hashes.HashAlgorithm) -> tuple[bytes, bytes]:
    return digest(algorithm, issuer.subject.public_bytes()), digest(algorithm, key_bits(issuer))


def _about(
    subject: _Subject, status: ocsp.OCSPCertStatus, revoked: Revocation | None, validity: Validity
) -> ocsp.OCSPResponseBuilder:
    return ocsp.OCSPResponseBuilder().add_response_by_hash(
        issuer_name_hash=subject.name_hash,
        issuer_key_hash=subject.key_hash,
        serial_number=subject.serial,
        algorithm=subject.algorithm,
        cert_status=status,
        this_update=validity.first,
        next_update=validity.last,
        revocation_time=revoked.at if revoked else None,
        revocation_reason=revoked.flag if revoked else None,
    )


def _signed(builder: ocsp.OCSPResponseBuilder, signer: _Signer) -> bytes:
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, signer.certificate)
    if signer.delegated:
        builder = builder.certificates([signer.certificate])
    return builder.sign(signer.key, hashes.SHA256()).public_bytes(Encoding.DER)


def _unsuccessful(status: ocsp.OCSPResponseStatus) -> bytes:
    return ocsp.OCSPResponseBuilder.build_unsuccessful(status).public_bytes(Encoding.DER)
