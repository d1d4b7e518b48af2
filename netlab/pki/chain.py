"""From a leaf to a trusted root: signatures, constraints, usage, strength (RFC 5280 section 6.1)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from netlab.pki.rejected import CERTIFICATE_EXPIRED, UNKNOWN_CA, Rejected, label, label_of

Purpose = Literal["server", "client", "ocsp"]
_Extension = TypeVar("_Extension", bound=x509.ExtensionType)
_USAGES = {
    "server": ExtendedKeyUsageOID.SERVER_AUTH,
    "client": ExtendedKeyUsageOID.CLIENT_AUTH,
    "ocsp": ExtendedKeyUsageOID.OCSP_SIGNING,
}
_WORDS = {"server": "a server", "client": "a client", "ocsp": "an OCSP responder"}
_LONGEST = 8  # certificates in a path
_RSA_BITS = 2048
_EC_BITS = 256
_WEAK_HASHES = ("md5", "sha1")
# What cryptography raises for extensions and keys that are no good.
UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
_UNDERSTOOD = (
    x509.BasicConstraints,
    x509.KeyUsage,
    x509.ExtendedKeyUsage,
    x509.SubjectAlternativeName,
    x509.SubjectKeyIdentifier,
    x509.AuthorityKeyIdentifier,
    x509.CRLDistributionPoints,
    x509.AuthorityInformationAccess,
    x509.TLSFeature,
    x509.CertificatePolicies,
)


def path(
    presented: Sequence[x509.Certificate], roots: Sequence[x509.Certificate]
) -> tuple[x509.Certificate, ...] | Rejected:
    """The leaf's way to a root, both included. `presented`: the leaf first, then others in any order."""
    if not presented:
        return Rejected("chain", "no certificate was shown", UNKNOWN_CA)
    found = [presented[0]]
    while len(found) <= _LONGEST:
        last = found[-1]
        if last in roots:
            return tuple(found)
        issuer = _issuer(last, roots) or _issuer(last, presented[1:], found)
        if issuer is None:
            return _unknown(last, roots, presented[1:])
        found.append(issuer)
    return Rejected("chain", f"the chain has more than {_LONGEST} certificates")


def _issuer(
    certificate: x509.Certificate,
    candidates: Sequence[x509.Certificate],
    used: Sequence[x509.Certificate] = (),
) -> x509.Certificate | None:
    return next((one for one in candidates if one not in used and _issued(certificate, one)), None)


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (*UNREADABLE, InvalidSignature):
        return False
    return True


def _unknown(
    last: x509.Certificate, roots: Sequence[x509.Certificate], others: Sequence[x509.Certificate]
) -> Rejected:
    trusted = ", ".join(label(root) for root in roots) or "none"
    if last.issuer == last.subject:
        cause = f"{label(last)} signed its own certificate, and is no trusted root ({trusted})"
    elif any(one.subject == last.issuer for one in (*roots, *others)):
        cause = f"the signature on the certificate of {label(last)} is not that of {label_of(last.issuer)}"
    else:
        cause = (
            f"{label(last)} is signed by {label_of(last.issuer)}, "
            f"which is not in the chain, nor a trusted root ({trusted})"
        )
    return Rejected("chain", cause, UNKNOWN_CA)


def check_path(certificates: Sequence[x509.Certificate], purpose: Purpose) -> Rejected | None:
    """What each certificate of a path may be used for, and how strong it is."""
    for depth, certificate in enumerate(certificates):
        try:
            cause = _fault(certificate, depth, purpose)
        except UNREADABLE as error:
            cause = f"can't be read: {error}"
        if cause:
            return Rejected("chain", f"the certificate of {label(certificate)} {cause}")
    return None


def _fault(certificate: x509.Certificate, depth: int, purpose: Purpose) -> str:
    for extension in certificate.extensions:
        if extension.critical and not isinstance(extension.value, _UNDERSTOOD):
            return f"has a critical extension that is not understood ({extension.oid.dotted_string})"
    return _weakness(certificate) or (
        _leaf_fault(certificate, purpose) if depth == 0 else _authority_fault(certificate, depth)
    )


def _leaf_fault(certificate: x509.Certificate, purpose: Purpose) -> str:
    usage = _extension(certificate, x509.KeyUsage)
    if usage is not None and not usage.digital_signature:
        return "may not sign handshakes (keyUsage lacks digitalSignature)"
    extended = _extension(certificate, x509.ExtendedKeyUsage)
    if extended is None:
        return "doesn't say what it is for (no extendedKeyUsage)" if purpose == "ocsp" else ""
    if _USAGES[purpose] not in extended and (
        purpose == "ocsp" or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE not in extended
    ):
        return f"is not for {_WORDS[purpose]} (extendedKeyUsage)"
    return ""


def _authority_fault(certificate: x509.Certificate, depth: int) -> str:
    constraints = _extension(certificate, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        return "is no authority's (basicConstraints), but has signed another"
    # pathLenConstraint counts the authorities below it; the leaf is none (RFC 5280 section 4.2.1.9).
    if constraints.path_length is not None and depth - 1 > constraints.path_length:
        return f"allows {constraints.path_length} authorities below it, and has {depth - 1}"
    usage = _extension(certificate, x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        return "may not sign certificates (keyUsage lacks keyCertSign)"
    return ""


def _weakness(certificate: x509.Certificate) -> str:
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < _RSA_BITS:
            return f"has a weak key: RSA with {key.key_size} bits, at least {_RSA_BITS} are needed"
    elif isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.key_size < _EC_BITS:
            return f"has a weak key: {key.curve.name}, at least {_EC_BITS} bits are needed"
    elif not isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return f"has a key of a kind that TLS doesn't use ({type(key).__name__})"
    hashed = certificate.signature_hash_algorithm
    if hashed is not None and hashed.name in _WEAK_HASHES and certificate.issuer != certificate.subject:
        return f"is signed with a weak hash ({hashed.name})"
    return ""


def check_dates(certificates: Sequence[x509.Certificate], now: datetime) -> Rejected | None:
    """Both ends of a validity belong to it (RFC 5280 section 4.1.2.5)."""
    for certificate in certificates:
        first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if now < first:
            cause = f"is not valid before {when(first)}; it is {when(now)} ({_ago(first, now)} too early)"
        elif now > last:
            cause = f"expired {when(last)}; it is {when(now)} ({_ago(now, last)} too late)"
        else:
            continue
        return Rejected("dates", f"the certificate of {label(certificate)} {cause}", CERTIFICATE_EXPIRED)
    return None


def when(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _ago(later: datetime, earlier: datetime) -> str:
    seconds = int((later - earlier).total_seconds())
    for size, unit in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
