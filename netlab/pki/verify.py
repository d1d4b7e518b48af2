"""The verifier of certificates, for TLS over TCP and for QUIC: which check failed, and why, in words."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from netlab.pki.chain import UNREADABLE, Purpose, check_dates, check_path, path
from netlab.pki.names import matches, names_of
from netlab.pki.rejected import (
    BAD_CERTIFICATE_STATUS_RESPONSE,
    CERTIFICATE_UNKNOWN,
    Rejected,
    label,
)
from netlab.pki.revocation import check_crl, check_ocsp

_MOST_NAMES = 5  # that an error lists
_KEPT = 256


@dataclass(frozen=True, slots=True)
class Expected:
    """What a certificate must be good for. `now` must know its time zone.

    `name`: the DNS name or address that was asked for; empty: any. `pins`: base64 SHA-256 of public keys
    (RFC 7469), one of which must be in the chain; empty: any.
    """

    roots: tuple[x509.Certificate, ...]
    name: str
    now: datetime
    pins: tuple[str, ...] = ()
    purpose: Purpose = "server"


def verify(
    presented: Sequence[x509.Certificate], expected: Expected
) -> tuple[x509.Certificate, ...] | Rejected:
    """Chain, dates, name and pins, in this order: the path from leaf to root, or what failed first.

    `presented`: what the peer showed, its own certificate first.
    """
    found = _path(tuple(presented), expected.roots, expected.purpose)
    if isinstance(found, Rejected):
        return found
    rejected = (
        check_dates(found, expected.now)
        or _check_name(found[0], expected.name)
        or _check_pins(found, expected.pins)
    )
    return rejected or found


# Kept, as the same few chains come again and again: signatures are slow, and what is signed doesn't change.
@lru_cache(maxsize=_KEPT)
def _path(
    presented: tuple[x509.Certificate, ...], roots: tuple[x509.Certificate, ...], purpose: Purpose
) -> tuple[x509.Certificate, ...] | Rejected:
    try:
        found = path(presented, roots)
        if isinstance(found, Rejected):
            return found
        return check_path(found, purpose) or found
    except UNREADABLE as error:
        return Rejected("chain", f"a certificate can't be read: {error}")


def verify_status(
    trusted: Sequence[x509.Certificate],
    now: datetime,
    revocation: Literal["none", "staple", "crl"],
    staple: bytes = b"",
    crl: bytes = b"",
) -> Rejected | None:
    """Whether the first certificate of a path that `verify` gave was revoked.

    `staple`: the OCSP response that came in the handshake. `crl`: its issuer's list. Empty: there is none.
    A certificate that says "must staple" (RFC 7633) has to come with its status whatever is asked.
    """
    leaf = trusted[0]
    if revocation == "staple" or (revocation == "none" and staple) or must_staple(leaf):
        if not staple:
            return Rejected(
                "revocation",
                f"no stapled OCSP status came with the certificate of {label(leaf)}"
                + (", which must have one (RFC 7633)" if must_staple(leaf) else ""),
                BAD_CERTIFICATE_STATUS_RESPONSE,
            )
        rejected = check_ocsp(staple, leaf, _issuer(trusted), now)
        if rejected is not None:
            return rejected
    if revocation != "crl":
        return None
    if not crl:
        return Rejected("revocation", f"no revocation list is known for the certificate of {label(leaf)}")
    return check_crl(crl, leaf, _issuer(trusted), now)


def _issuer(trusted: Sequence[x509.Certificate]) -> x509.Certificate:
    return trusted[1] if len(trusted) > 1 else trusted[0]


def must_staple(certificate: x509.Certificate) -> bool:
    try:
        features = certificate.extensions.get_extension_for_class(x509.TLSFeature).value
    except x509.ExtensionNotFound:
        return False
    return x509.TLSFeatureType.status_request in features


def crl_urls(certificate: x509.Certificate) -> tuple[str, ...]:
    """Where the certificate's issuer publishes its revocation list."""
    try:
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(
        name.value
        for point in points
        for name in point.full_name or ()
        if isinstance(name, x509.UniformResourceIdentifier)
    )


def pin(certificate: x509.Certificate) -> str:
    """RFC 7469 section 2.4: base64 of the SHA-256 of the SubjectPublicKeyInfo."""
    info = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return b64encode(hashlib.sha256(info).digest()).decode()


@lru_cache(maxsize=_KEPT)
def _check_name(leaf: x509.Certificate, name: str) -> Rejected | None:
    if not name or matches(leaf, name):
        return None
    names = names_of(leaf)
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    listed = ", ".join(names[:_MOST_NAMES]) or "none"
    return Rejected("name", f"{name} is not among the certificate's names ({listed}{more})")


def _check_pins(trusted: Sequence[x509.Certificate], pins: tuple[str, ...]) -> Rejected | None:
    """RFC 7469 section 2.6: one in the validated chain is enough."""
    found = [pin(certificate) for certificate in trusted]
    if not pins or any(one in pins for one in found):
        return None
    cause = f"none of the {len(pins)} pinned keys is in the chain ({', '.join(found)})"
    return Rejected("pin", cause, CERTIFICATE_UNKNOWN)
