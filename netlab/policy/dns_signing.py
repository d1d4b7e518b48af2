"""A zone's signatures and denials: what an authoritative server adds for those who validate (RFC 4035, 3)."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from netlab.policy.dns_records import View, Zone
from netlab.proto import dns_dnssec
from netlab.proto.dns import ResourceRecord, record_sets
from netlab.proto.dns_dnssec import ZoneKey, canonical
from netlab.proto.dns_names import ROOT, fold, is_within

KEY_TTL_S = 3600
_DAY_S = 86_400
_REMEMBERED = 10_000  # signatures: they cost more than all the rest of an answer


@dataclass(frozen=True, slots=True)
class Signing:
    """With what a server signs. `keys`: private PEM of its zones that are signed; `published`: public PEM
    of every signed zone, for the DS records of those below. Signatures are good between the two times,
    seconds since the epoch. `spoilt`, `expired`: zones whose signatures are wrong, or old, on purpose."""

    keys: dict[str, str]
    published: dict[str, str]
    inception: int
    expiration: int
    spoilt: frozenset[str] = frozenset()
    expired: frozenset[str] = frozenset()

    def ends(self, zone: str) -> tuple[int, int]:
        """From when to when the signatures of a zone are good."""
        if zone in self.expired:
            return self.inception - _DAY_S, self.inception - 1
        return self.inception, self.expiration


class SignedZone:
    """The denials of one zone, and signatures of its records."""

    def __init__(self, zone: Zone, signing: Signing) -> None:
        self._zone = zone
        self._signing = signing
        self._key = ZoneKey(zone.name, signing.keys[zone.name])
        self._signatures: OrderedDict[tuple[ResourceRecord, ...], ResourceRecord] = OrderedDict()
        zone.put(self._key.dnskey(KEY_TTL_S))
        for child, pem in signing.published.items():
            if zone.cut(child) == fold(child) and "DS" not in zone.types(child):
                zone.put(dns_dnssec.ds(dns_dnssec.dnskey(child, pem, KEY_TTL_S), KEY_TTL_S))
        self._owned = zone.owners()
        self._owners = sorted(self._owned, key=canonical)
        self._places = [canonical(owner) for owner in self._owners]

    def signed(self, records: Iterable[ResourceRecord]) -> tuple[ResourceRecord, ...]:
        """The records with the signatures of those that are ours to sign: not delegations, nor glue, nor
        the CNAME that a DNAME makes (RFC 6672 section 5.3.1)."""
        found: list[ResourceRecord] = []
        for members in record_sets(records):
            found += members
            if self._signs(members[0]):
                found.append(self._signature(members))
        return tuple(found)

    def _signs(self, one: ResourceRecord) -> bool:
        if not is_within(one.name, self._zone.name):
            return False
        cut = self._zone.cut(one.name)
        if cut is not None:
            return cut == fold(one.name) and one.type in ("DS", "NSEC")
        return self._zone.redirected(one.name) is None

    def _signature(self, members: list[ResourceRecord]) -> ResourceRecord:
        """Of a wildcard's answer the wildcard's own (RFC 4035 section 2.2)."""
        node = self._zone.node(members[0].name) or fold(members[0].name)
        key = tuple(replace(one, name=node) for one in members)
        made = self._signatures.get(key)
        if made is None:
            ends = self._signing.ends(self._zone.name)
            made = self._signatures[key] = self._key.sign(self._spoilt(key), *ends)
            if len(self._signatures) > _REMEMBERED:
                self._signatures.popitem(last=False)
        return replace(made, name=members[0].name)

    def _spoilt(self, key: tuple[ResourceRecord, ...]) -> tuple[ResourceRecord, ...]:
        """Where a fault is wanted, what is signed is not what is said. The keys stay true."""
        if self._zone.name not in self._signing.spoilt or key[0].type in ("DNSKEY", "DS"):
            return key
        return tuple(replace(one, name="spoilt.invalid") for one in key)

    # Denials.

    def no_name(self, name: str) -> tuple[ResourceRecord, ...]:
        """That neither `name` nor a wildcard for it is there (RFC 4035 section 3.1.3.2)."""
        encloser = self._zone.encloser(name)
        wildcard = "*" if encloser == ROOT else f"*.{encloser}"
        return _unique((self._covering(name), self._covering(wildcard)))

    def no_type(self, name: str, node: str) -> tuple[ResourceRecord, ...]:
        """That `node`, from which `name` is answered, has no such type (sections 3.1.3.1 and 3.1.3.4)."""
        own = self._own(node) if node in self._owned else self._covering(node)
        if node == fold(name):
            return (own,)
        return _unique((own, self._covering(name)))

    def no_closer(self, name: str) -> tuple[ResourceRecord, ...]:
        """That a wildcard's answer is right, as `name` itself is not there (section 3.1.3.3)."""
        return (self._covering(name),)

    def delegation(self, cut: str) -> tuple[ResourceRecord, ...]:
        """The DS records of a zone below, or that there are none (section 3.1.4)."""
        found = self._zone.at(cut, "DS", View.nowhere())
        return found or (self._own(cut),)

    def _covering(self, name: str) -> ResourceRecord:
        return self._gap(bisect_right(self._places, canonical(name)) - 1)

    def _own(self, owner: str) -> ResourceRecord:
        return self._gap(self._places.index(canonical(owner)))

    def _gap(self, place: int) -> ResourceRecord:
        owner = self._owners[place]
        following = self._owners[(place + 1) % len(self._owners)]
        types = set(self._zone.types(owner))
        if self._zone.cut(owner) is not None:  # only what the parent has a say in (RFC 4035 section 2.3)
            types &= {"NS", "DS"}
        ttl = min(self._zone.soa.ttl, int(self._zone.soa.data.split()[-1]))  # RFC 9077
        return dns_dnssec.nsec(owner, following, sorted(types | {"RRSIG", "NSEC"}), ttl)


def _unique(records: tuple[ResourceRecord, ...]) -> tuple[ResourceRecord, ...]:
    return tuple(dict.fromkeys(records))
