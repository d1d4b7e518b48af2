"""A private certification authority: root ─► intermediate ─► a leaf per server (RFC 5280)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from netlab.errors import LocalProtocolError
from netlab.model.launch import Identity

_BEFORE = timedelta(hours=1)  # of grace for clocks that differ
_AFTER = timedelta(days=7)
_COMMON_NAME_LONGEST = 64  # RFC 5280 appendix A.1, ub-common-name


@dataclass(frozen=True, slots=True)
class _Party:
    name: x509.Name
    key: ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Authority:
    """A lab's authority. Keys are EC P-256; validity is an hour back to seven days ahead of `now`."""

    root_pem: str
    _intermediate: _Party
    _intermediate_pem: str
    _now: datetime

    @classmethod
    def create(cls, lab: str, now: datetime) -> Authority:
        """`now` must know its time zone."""
        root = _Party(_name(f"netlab {lab} root"), ec.generate_private_key(ec.SECP256R1()))
        intermediate = _Party(_name(f"netlab {lab} intermediate"), ec.generate_private_key(ec.SECP256R1()))
        root_pem = _authority(root, root, now, path_length=1)
        return cls(root_pem, intermediate, _authority(intermediate, root, now, path_length=0), now)

    def issue(self, names: tuple[str, ...]) -> Identity:
        """A server certificate for DNS names (also `*.example.com`) and addresses, with its chain and key.

        Raises LocalProtocolError where there is no name.
        """
        if not names:
            raise LocalProtocolError("a server certificate needs a name")
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _base(_Party(_name(names[0]), key), self._intermediate, self._now)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_key_usage(leaf=True), critical=True)
        server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        builder = builder.add_extension(server, critical=False)
        alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
        builder = builder.add_extension(alternatives, critical=False)
        leaf = builder.sign(self._intermediate.key, hashes.SHA256())
        chain = _pem(leaf) + self._intermediate_pem
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return Identity(chain_pem=chain, key_pem=private.decode())


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:_COMMON_NAME_LONGEST])])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _base(subject: _Party, issuer: _Party, now: datetime) -> x509.CertificateBuilder:
    public = subject.key.public_key()
    own = x509.SubjectKeyIdentifier.from_public_key(public)
    of_issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(subject.name)
        .issuer_name(issuer.name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BEFORE)
        .not_valid_after(now + _AFTER)
        .add_extension(own, critical=False)
        .add_extension(of_issuer, critical=False)
    )


def _authority(subject: _Party, issuer: _Party, now: datetime, path_length: int) -> str:
    builder = _base(subject, issuer, now)
    constraints = x509.BasicConstraints(ca=True, path_length=path_length)
    builder = builder.add_extension(constraints, critical=True)
    builder = builder.add_extension(_key_usage(leaf=False), critical=True)
    return _pem(builder.sign(issuer.key, hashes.SHA256()))


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


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()
