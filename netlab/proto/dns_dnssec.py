"""DNSSEC's records (RFC 4034) in the words of `netlab.proto.dns`: keys, signatures, digests, denials.

One algorithm, ECDSA P-256 with SHA-256 (RFC 6605), and one key per zone, which signs all of it. dnspython
signs and verifies; times are seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import dns.dnssec
import dns.exception
import dns.name
import dns.node
import dns.rdata
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.rrset
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from dns.rdtypes.ANY.DNSKEY import DNSKEY

from netlab.errors import LocalProtocolError
from netlab.proto.dns import ResourceRecord, record, rrset_of
from netlab.proto.dns_names import ROOT, fold, labels

_ALGORITHM = "ECDSAP256SHA256"
_KEY_FLAGS = 257  # ZONE and SEP: the DS of the parent points at it (RFC 4034 section 2.1.1)


def new_key() -> tuple[str, str]:
    """A key for a zone: its private and its public half, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


def dnskey(zone: str, public_pem: str, ttl: int) -> ResourceRecord:
    """The zone's DNSKEY record."""
    key = load_pem_public_key(public_pem.encode())
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise LocalProtocolError("a zone's key is an ECDSA key")
    made = dns.dnssec.make_dnskey(key, _ALGORITHM, flags=_KEY_FLAGS)
    return ResourceRecord(zone, "DNSKEY", ttl, made.to_text())


def ds(key: ResourceRecord, ttl: int) -> ResourceRecord:
    """What the parent says of a zone's key (RFC 4509)."""
    made = dns.dnssec.make_ds(_absolute(key.name), _rdata(key), "SHA256")
    return ResourceRecord(key.name, "DS", ttl, made.to_text())


@dataclass(frozen=True)
class ZoneKey:
    """The private half of a zone's key."""

    zone: str
    pem: str

    @cached_property
    def _key(self) -> ec.EllipticCurvePrivateKey:
        key = load_pem_private_key(self.pem.encode(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise LocalProtocolError("a zone's key is an ECDSA key")
        return key

    @cached_property
    def _public(self) -> DNSKEY:
        return dns.dnssec.make_dnskey(self._key.public_key(), _ALGORITHM, flags=_KEY_FLAGS)

    def dnskey(self, ttl: int) -> ResourceRecord:
        return ResourceRecord(self.zone, "DNSKEY", ttl, self._public.to_text())

    def sign(self, records: Sequence[ResourceRecord], inception: int, expiration: int) -> ResourceRecord:
        """The RRSIG of one record set; of a wildcard's under its own name, `*.…`."""
        signature = dns.dnssec.sign(
            rrset_of(records),
            self._key,
            _absolute(self.zone),
            self._public,
            inception,
            expiration,
        )
        return ResourceRecord(records[0].name, "RRSIG", records[0].ttl, signature.to_text())


@dataclass(frozen=True, slots=True)
class Signature:
    """What an RRSIG record says besides its bytes. `labels`: of the owner's name, without a `*`."""

    covered: str
    labels: int
    ttl: int
    signer: str


def signature(one: ResourceRecord) -> Signature:
    """Of an RRSIG record."""
    parts = one.data.split()
    return Signature(parts[0], int(parts[2]), int(parts[3]), fold(parts[7]))


def is_signed_by(
    records: Sequence[ResourceRecord], rrsig: ResourceRecord, keys: Iterable[ResourceRecord], now: float
) -> bool:
    """Whether one of the DNSKEY records has made this signature of the record set, and it is in its time."""
    # What was signed is the set with its first TTL, whatever is left of it (RFC 4034 section 3.1.8.1).
    node = dns.node.Node()  # type: ignore[no-untyped-call] # dnspython's
    try:
        node.rdatasets = [dns.rdataset.from_rdata_list(0, [_rdata(one) for one in keys])]
        signer = {_absolute(signature(rrsig).signer): node}
        dns.dnssec.validate_rrsig(rrset_of(records), _rdata(rrsig), signer, now=now)  # type: ignore[arg-type] # an RRSIG
    except (dns.exception.DNSException, ValueError):  # also what only looks like a record
        return False
    return True


def matching_key(digests: Iterable[ResourceRecord], keys: Iterable[ResourceRecord]) -> ResourceRecord | None:
    """The DNSKEY record that a DS record points at."""
    known = {one.data.upper() for one in digests}
    return next((key for key in keys if _digest(key) in known), None)


def _digest(key: ResourceRecord) -> str:
    """Of a server's key, which may be none; empty then."""
    try:
        return ds(key, 0).data.upper()
    except (dns.exception.DNSException, ValueError):
        return ""


# Denial: NSEC (RFC 4034 section 4).


def nsec(owner: str, following: str, types: Iterable[str], ttl: int) -> ResourceRecord:
    """That from `owner`, which has these types, to `following` there is no name."""
    end = ROOT if following == ROOT else f"{following}."
    return record(f"{owner}." if owner != ROOT else ROOT, "NSEC", ttl, f"{end} {' '.join(types)}")


@dataclass(frozen=True, slots=True)
class Gap:
    """An NSEC record, read."""

    owner: str
    following: str
    types: frozenset[str]

    @classmethod
    def of(cls, one: ResourceRecord) -> Gap:
        following, *types = one.data.split()
        return cls(fold(one.name), fold(following), frozenset(types))

    def covers(self, name: str) -> bool:
        """Whether it says that `name` is not there."""
        first, last, middle = canonical(self.owner), canonical(self.following), canonical(name)
        if first < last:
            return first < middle < last
        return first < middle or middle < last  # the zone's last gap ends at its top


def canonical(name: str) -> tuple[bytes, ...]:
    """What names are sorted by (RFC 4034 section 6.1): labels from the right, as bytes in lower case."""
    absolute = dns.name.from_text(fold(name), dns.name.root)
    return tuple(reversed(absolute.canonicalize().labels[:-1]))


def depth(name: str) -> int:
    """Labels, a leading `*` not counted: what `Signature.labels` has of a record at its own name."""
    parts = labels(fold(name))
    return len(parts) - (1 if parts[:1] == ("*",) else 0)


def _rdata(one: ResourceRecord) -> dns.rdata.Rdata:
    return dns.rdata.from_text("IN", one.type, one.data, origin=dns.name.root, relativize=False)


def _absolute(name: str) -> dns.name.Name:
    return dns.name.from_text(name, dns.name.root)
