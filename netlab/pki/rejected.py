"""Why a certificate is not believed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cryptography import x509
from cryptography.x509.oid import NameOID

Check = Literal["chain", "dates", "name", "pin", "revocation"]

# TLS alerts (RFC 8446 section 6.2), for those who can choose theirs, as QUIC can (RFC 9001 section 4.8).
BAD_CERTIFICATE = 42
CERTIFICATE_REVOKED = 44
CERTIFICATE_EXPIRED = 45
CERTIFICATE_UNKNOWN = 46
UNKNOWN_CA = 48
BAD_CERTIFICATE_STATUS_RESPONSE = 113


@dataclass(frozen=True, slots=True)
class Rejected:
    """`check` failed, because of `cause`; `alert` is TLS's word for it."""

    check: Check
    cause: str
    alert: int = BAD_CERTIFICATE

    def __str__(self) -> str:
        return self.cause


def label(certificate: x509.Certificate) -> str:
    """What a person calls a certificate: its subject's common name, else the whole subject."""
    return label_of(certificate.subject)


def label_of(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else name.rfc4514_string() or "(no subject)"
