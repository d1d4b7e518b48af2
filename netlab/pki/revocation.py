"""Whether a certificate was revoked: OCSP responses (RFC 6960) and revocation lists (RFC 5280 section 5)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp

from netlab.pki.chain import UNREADABLE, check_dates, check_path, when
from netlab.pki.rejected import (
    BAD_CERTIFICATE_STATUS_RESPONSE,
    CERTIFICATE_REVOKED,
    Rejected,
    label,
)

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)
_SKEW = timedelta(minutes=5)  # by which clocks may differ


def check_ocsp(
    der: bytes, certificate: x509.Certificate, issuer: x509.Certificate, now: datetime
) -> Rejected | None:
    """RFC 6960 section 3.2: the response is about this certificate, signed by who may, fresh, and good."""
    try:
        return _check_response(ocsp.load_der_ocsp_response(der), certificate, issuer, now)
    except UNREADABLE as error:
        return _bad(f"the OCSP response can't be read: {error}")


def _check_response(
    response: ocsp.OCSPResponse, certificate: x509.Certificate, issuer: x509.Certificate, now: datetime
) -> Rejected | None:
    if response.response_status != ocsp.OCSPResponseStatus.SUCCESSFUL:
        return _bad(f"the OCSP responder says {response.response_status.name.lower()}")
    cause = _signature_fault(response, issuer, now)
    if cause:
        return _bad(cause)
    single = next((one for one in response.responses if _is_about(one, certificate, issuer)), None)
    if single is None:
        return _bad(f"the OCSP response is about another certificate than that of {label(certificate)}")
    return _freshness(single, now) or _verdict(single, certificate)


def _bad(cause: str) -> Rejected:
    return Rejected("revocation", cause, BAD_CERTIFICATE_STATUS_RESPONSE)


def _is_about(
    single: ocsp.OCSPSingleResponse, certificate: x509.Certificate, issuer: x509.Certificate
) -> bool:
    algorithm = single.hash_algorithm
    return (
        single.serial_number == certificate.serial_number
        and single.issuer_name_hash == digest(algorithm, issuer.subject.public_bytes())
        and single.issuer_key_hash == digest(algorithm, key_bits(issuer))
    )


def digest(algorithm: hashes.HashAlgorithm, data: bytes) -> bytes:
    hasher = hashes.Hash(algorithm)
    hasher.update(data)
    return hasher.finalize()


def key_bits(certificate: x509.Certificate) -> bytes:
    """The subjectPublicKey without the algorithm around it, as key hashes are made of."""
    key = certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    if isinstance(key, rsa.RSAPublicKey):
        return key.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    raise UnsupportedAlgorithm(type(key).__name__)


def _signature_fault(response: ocsp.OCSPResponse, issuer: x509.Certificate, now: datetime) -> str:
    """The issuer signs, or someone to whom the issuer has delegated it (section 4.2.2.2)."""
    signer = _signer(response, issuer)
    if signer is None:
        return f"the OCSP response is signed neither by {label(issuer)} nor by whom it delegated"
    if signer is not issuer:
        rejected = check_path([signer], "ocsp") or check_dates([signer], now)
        if rejected is not None:
            return f"the OCSP response's signer: {rejected.cause}"
    if not _signed_by(response, signer):
        return f"the OCSP response's signature is not that of {label(signer)}"
    return ""


def _signer(response: ocsp.OCSPResponse, issuer: x509.Certificate) -> x509.Certificate | None:
    if _is_responder(response, issuer):
        return issuer
    for one in response.certificates:
        try:
            one.verify_directly_issued_by(issuer)
        except (*UNREADABLE, InvalidSignature):
            continue
        if _is_responder(response, one):
            return one
    return None


def _is_responder(response: ocsp.OCSPResponse, certificate: x509.Certificate) -> bool:
    if response.responder_name is not None:
        return response.responder_name == certificate.subject
    return response.responder_key_hash == digest(hashes.SHA1(), key_bits(certificate))  # noqa: S303 - RFC 6960


def _signed_by(response: ocsp.OCSPResponse, signer: x509.Certificate) -> bool:
    key, algorithm = signer.public_key(), response.signature_hash_algorithm
    signature, data = response.signature, response.tbs_response_bytes
    try:
        if isinstance(key, ec.EllipticCurvePublicKey) and algorithm is not None:
            key.verify(signature, data, ec.ECDSA(algorithm))
        elif isinstance(key, rsa.RSAPublicKey) and algorithm is not None:
            key.verify(signature, data, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
            key.verify(signature, data)
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


def _freshness(single: ocsp.OCSPSingleResponse, now: datetime) -> Rejected | None:
    start, end = single.this_update_utc, single.next_update_utc
    if start > now + _SKEW:
        return _bad(f"the OCSP response is from the future: {when(start)}; it is {when(now)}")
    if end is None:  # RFC 5019 section 2.2.4: what is kept must say until when
        return _bad("the OCSP response doesn't say until when it holds (nextUpdate)")
    if end < now - _SKEW:
        return _bad(f"the OCSP response held until {when(end)}; it is {when(now)}")
    return None


def _verdict(single: ocsp.OCSPSingleResponse, certificate: x509.Certificate) -> Rejected | None:
    if single.certificate_status == ocsp.OCSPCertStatus.GOOD:
        return None
    if single.certificate_status == ocsp.OCSPCertStatus.REVOKED:
        return _revoked(certificate, single.revocation_time_utc, single.revocation_reason)
    return _bad(f"the OCSP responder doesn't know the certificate of {label(certificate)}")


def _revoked(certificate: x509.Certificate, at: datetime | None, reason: x509.ReasonFlags | None) -> Rejected:
    moment = when(at) if at is not None else "an unknown time"
    because = f" ({reason.value})" if reason is not None else ""
    cause = f"the certificate of {label(certificate)} was revoked at {moment}{because}"
    return Rejected("revocation", cause, CERTIFICATE_REVOKED)


def check_crl(
    der: bytes, certificate: x509.Certificate, issuer: x509.Certificate, now: datetime
) -> Rejected | None:
    """RFC 5280 section 6.3, for complete lists by the certificate's own issuer."""
    try:
        return _check_list(x509.load_der_x509_crl(der), certificate, issuer, now)
    except UNREADABLE as error:
        return _bad(f"the revocation list can't be read: {error}")


def _check_list(
    crl: x509.CertificateRevocationList,
    certificate: x509.Certificate,
    issuer: x509.Certificate,
    now: datetime,
) -> Rejected | None:
    cause = _crl_fault(crl, issuer, now)
    entry = crl.get_revoked_certificate_by_serial_number(certificate.serial_number)
    if cause:
        return _bad(cause)
    if entry is None:
        return None
    reasons = _values(entry.extensions, x509.CRLReason)
    if reasons and reasons[0].reason == x509.ReasonFlags.remove_from_crl:
        return None
    return _revoked(certificate, entry.revocation_date_utc, reasons[0].reason if reasons else None)


def _crl_fault(crl: x509.CertificateRevocationList, issuer: x509.Certificate, now: datetime) -> str:
    if crl.issuer != issuer.subject:
        return f"the revocation list is not by {label(issuer)}"
    usage = _values(issuer.extensions, x509.KeyUsage)
    if usage and not usage[0].crl_sign:
        return f"{label(issuer)} may not sign revocation lists (keyUsage lacks cRLSign)"
    if not crl.is_signature_valid(issuer.public_key()):  # type: ignore[arg-type] # any that signs certificates
        return f"the revocation list's signature is not that of {label(issuer)}"
    critical = [one.oid.dotted_string for one in crl.extensions if one.critical]
    if critical:  # a delta, or a list of some certificates only
        return f"the revocation list has an extension that is not understood ({critical[0]})"
    start, end = crl.last_update_utc, crl.next_update_utc
    if start > now + _SKEW:
        return f"the revocation list is from the future: {when(start)}; it is {when(now)}"
    if end is not None and end < now - _SKEW:
        return f"the revocation list held until {when(end)}; it is {when(now)}"
    return ""


def _values(extensions: x509.Extensions, kind: type[_Extension]) -> Sequence[_Extension]:
    return [one.value for one in extensions if isinstance(one.value, kind)]
