"""Making certificates: names, validity, extensions (RFC 5280)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

_COMMON_NAME_LONGEST = 64  # RFC 5280 appendix A.1, ub-common-name
_PURPOSES = {
    "server": ExtendedKeyUsageOID.SERVER_AUTH,
    "client": ExtendedKeyUsageOID.CLIENT_AUTH,
    "ocsp": ExtendedKeyUsageOID.OCSP_SIGNING,
}
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
LeafPurpose = Literal["server", "client", "ocsp"]
Extension = tuple[x509.ExtensionType, bool]  # and whether it is critical
CRL_PATH = "/authority.crl"  # below a responder's URL


@dataclass(frozen=True, slots=True)
class Validity:
    """Both ends belong to it."""

    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class Party:
    """Someone with a name and a key, and, once signed, a certificate."""

    name: x509.Name
    key: Key
    certificate: x509.Certificate | None = None

    @classmethod
    def create(cls, common_name: str, key: Key | None = None) -> Party:
        """With a new EC P-256 key, where none is given."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:_COMMON_NAME_LONGEST])])
        return cls(name, key or ec.generate_private_key(ec.SECP256R1()))

    def certified(self, issuer: Party, validity: Validity, *extensions: Extension) -> Party:
        """The party with a certificate that `issuer` signs."""
        public = self.key.public_key()
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(issuer.name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(validity.first)
            .not_valid_after(validity.last)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        )
        of_issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
        builder = builder.add_extension(of_issuer, critical=False)
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        return Party(self.name, self.key, builder.sign(issuer.key, hashes.SHA256()))

    @property
    def shown(self) -> x509.Certificate:
        """The certificate of a party that has one."""
        assert self.certificate is not None
        return self.certificate

    @property
    def pem(self) -> str:
        return self.shown.public_bytes(Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def authority_extensions(path_length: int) -> tuple[Extension, ...]:
    """For a certificate that signs others; `path_length` authorities may be below it."""
    return (
        (x509.BasicConstraints(ca=True, path_length=path_length), True),
        (_key_usage(leaf=False), True),
    )


def leaf_extensions(purpose: LeafPurpose, names: tuple[str, ...], responder_url: str) -> Iterator[Extension]:
    """`names`: DNS names and addresses. `responder_url`: who knows its status; empty: nobody."""
    yield x509.BasicConstraints(ca=False, path_length=None), True
    yield _key_usage(leaf=True), True
    yield x509.ExtendedKeyUsage([_PURPOSES[purpose]]), False
    if names:
        yield x509.SubjectAlternativeName([_general_name(name) for name in names]), False
    if purpose == "ocsp":
        yield x509.OCSPNoCheck(), False  # RFC 6960 section 4.2.2.2.1: nobody vouches for the voucher
    elif responder_url:
        yield _status_from(responder_url), False
        yield _list_from(responder_url + CRL_PATH), False


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _status_from(url: str) -> x509.AuthorityInformationAccess:
    place = x509.UniformResourceIdentifier(url + "/")
    return x509.AuthorityInformationAccess(
        [x509.AccessDescription(AuthorityInformationAccessOID.OCSP, place)]
    )


def _list_from(url: str) -> x509.CRLDistributionPoints:
    place = x509.UniformResourceIdentifier(url)
    return x509.CRLDistributionPoints([x509.DistributionPoint([place], None, None, None)])


def _key_usage(*, leaf: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=leaf,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=not leaf,
        crl_sign=not leaf,
        encipher_only=False,
        decipher_only=False,
    )
