"""Authoritative answers from zones (RFC 1034 section 4.3.2), by who asks where a record says so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random

from netlab.errors import InputError
from netlab.model import roles
from netlab.policy.dns_cache import negative_ttl
from netlab.policy.dns_location import Locations
from netlab.policy.dns_query import refusal
from netlab.policy.dns_records import View, Zone
from netlab.policy.dns_signing import SignedZone, Signing
from netlab.proto.dns import Message, Question, ResourceRecord, record, reply
from netlab.proto.dns_names import ROOT, ancestors, fold, labels

_ADDRESS_TYPES = ("A", "AAAA")
_ALIAS_LIMIT = 16
_POINTS = frozenset(("NS", "MX", "SRV", "HTTPS", "SVCB"))  # whose targets' addresses are added


class Authority:
    """Answers queries from its zones. Raises InputError where a zone's records are wrong."""

    def __init__(
        self,
        zones: tuple[roles.Zone, ...],
        locations: dict[str, str],
        rng: Random | None = None,
        signing: Signing | None = None,
    ) -> None:
        self._zones = {fold(zone.name): Zone(zone) for zone in zones}
        self._signed = {
            name: SignedZone(self._zones[name], signing)
            for name in (signing.keys if signing is not None else ())
            if signing is not None and name in self._zones
        }
        self._locations = Locations(locations)
        self._rng = rng or Random(0)  # noqa: S311 - for shares, no secrets

    def answer(self, query: Message, querier: str) -> Message:
        """The response to `query` from the address `querier`."""
        refused = refusal(query)
        if refused is not None:
            return refused
        assert query.question is not None  # or it was refused
        zone = self._zone_of(query.question)
        if zone is None:
            return reply(query, "REFUSED")
        view = View(self._location(query, querier), self._rng)
        signed = self._signed.get(zone.name) if query.dnssec_ok else None
        response = _Lookup(zone, view, query.question, query, signed).response()
        if query.subnet is not None:  # RFC 7871 section 7.2.1
            scope = query.subnet.network.prefixlen if view.tailored else 0
            response = replace(response, subnet=replace(query.subnet, scope=scope))
        return response

    def _location(self, query: Message, querier: str) -> str:
        """Of whom the query is for, where it says so; else of who sent it."""
        if query.subnet is not None and query.subnet.network.prefixlen:
            return self._locations.of_network(query.subnet.network)
        return self._locations.of(querier)

    def _zone_of(self, question: Question) -> Zone | None:
        """The zone closest above the name; of DS, the one above the cut (RFC 4035 section 3.1.4.1)."""
        if question.cls != "IN":
            return None
        names = ancestors(fold(question.name))
        found = [zone for name in names if (zone := self._zones.get(name)) is not None]
        if question.type == "DS" and len(found) > 1 and found[0].name == names[0]:
            return found[1]
        return next(iter(found), None)


class _Lookup:
    """One question in one zone: its aliases as far as the zone goes, and what is at their end."""

    def __init__(
        self, zone: Zone, view: View, question: Question, query: Message, signed: SignedZone | None
    ) -> None:
        self._signed = signed
        self._proof: tuple[ResourceRecord, ...] = ()  # of the wildcards that were used
        self._zone = zone
        self._view = view
        self._type = question.type
        self._name = question.name
        self._blank = replace(reply(query, "NOERROR"), authoritative=True)
        self._chain: tuple[ResourceRecord, ...] = ()

    def response(self) -> Message:
        """With signatures where the asker wants them and the zone has them."""
        response = self._walk()
        if self._signed is None:
            return response
        authority = (*response.authority, *dict.fromkeys(self._proof))
        return replace(
            response,
            answers=self._signed.signed(response.answers),
            authority=self._signed.signed(authority),
        )

    def _walk(self) -> Message:
        seen: set[str] = set()
        while self._zone.holds(self._name) and fold(self._name) not in seen and len(seen) < _ALIAS_LIMIT:
            seen.add(fold(self._name))
            response = self._step()
            if response is not None:
                return response
        return replace(self._blank, answers=self._chain)  # to another zone, or in a circle

    def _step(self) -> Message | None:
        """The response, or None where the name was an alias, which is `_name` now."""
        name, zone = self._name, self._zone
        cut = zone.cut(name)
        if cut is not None and not (self._type == "DS" and cut == fold(name)):
            return self._referral(cut)
        above = zone.redirected(name)
        if above is not None:
            return self._redirect(above)
        node = zone.node(name)
        if node is None:
            if self._signed is not None:
                self._proof = (*self._proof, *self._signed.no_name(name))
            return self._negative("NXDOMAIN")
        if self._signed is not None and node != fold(name):
            self._proof = (*self._proof, *self._signed.no_closer(name))
        alias = () if self._type in ("CNAME", "ANY") else zone.at(node, "CNAME", self._view, name)
        if not alias:
            return self._final(node, self._asked(node))
        self._chain = (*self._chain, *alias)
        self._name = fold(alias[0].data)
        return None

    def _redirect(self, above: ResourceRecord) -> Message | None:
        """By a DNAME, with the CNAME for those that know none (RFC 6672 section 3.1)."""
        here = labels(self._name)[: len(labels(self._name)) - len(labels(above.name))]
        target = ".".join((*here, *labels(fold(above.data)))) or ROOT
        self._chain = (*self._chain, above)
        try:
            alias = record(f"{self._name}.", "CNAME", above.ttl, f"{target}.")
        except InputError:  # longer than 255 bytes
            return replace(self._blank, rcode="YXDOMAIN", answers=self._chain)
        self._chain = (*self._chain, alias)
        self._name = target
        return None

    def _asked(self, node: str) -> tuple[ResourceRecord, ...]:
        """For ANY it is one of the record sets (RFC 8482 section 4.1)."""
        type_ = next(iter(self._zone.types(node)), "") if self._type == "ANY" else self._type
        return self._zone.at(node, type_, self._view, self._name)

    def _final(self, node: str, found: tuple[ResourceRecord, ...]) -> Message:
        if not found:
            if self._signed is not None:
                self._proof = (*self._proof, *self._signed.no_type(self._name, node))
            return self._negative("NOERROR")
        return replace(self._blank, answers=self._chain + found, additional=self._addresses(found))

    def _negative(self, rcode: str) -> Message:
        """NXDOMAIN or NODATA: the SOA's TTL is for how long that is so (RFC 2308 section 3)."""
        soa = self._zone.soa
        authority = (replace(soa, ttl=negative_ttl(soa)),)
        return replace(self._blank, rcode=rcode, answers=self._chain, authority=authority)

    def _referral(self, cut: str) -> Message:
        servers = self._zone.at(cut, "NS", self._view)
        if self._signed is not None:
            self._proof = (*self._proof, *self._signed.delegation(cut))
        return replace(
            self._blank,
            authoritative=bool(self._chain),
            answers=self._chain,
            authority=servers,
            additional=self._addresses(servers),
        )

    def _addresses(self, records: tuple[ResourceRecord, ...]) -> tuple[ResourceRecord, ...]:
        """Of those that the records point at, as far as this zone knows (RFC 1034 section 4.2.1)."""
        targets = dict.fromkeys(_targets(records))
        return tuple(
            found
            for target in targets
            for type_ in _ADDRESS_TYPES
            for found in self._zone.at(target, type_, self._view)
        )


def _targets(records: tuple[ResourceRecord, ...]) -> Iterator[str]:
    for one in records:
        if one.type in _POINTS:
            parts = one.data.split()
            yield fold(parts[1] if one.type in ("HTTPS", "SVCB") else parts[-1])
