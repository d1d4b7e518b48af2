"""Authoritative answers from zones (RFC 1034, 4.3.2), by the location of who asks where a record says so."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from netlab.errors import InputError
from netlab.model import roles
from netlab.proto.dns import Message, Question, ResourceRecord, record, reply
from netlab.proto.dns_names import ROOT, ancestors, fold, is_within, parent

# Of the SOA that every zone gets, in seconds. The last is the negative TTL (RFC 2308, 4).
SOA_TIMES = "3600 600 86400 60"
NEGATIVE_TTL_S = 60
_ADDRESS_TYPES = ("A", "AAAA")


@dataclass(frozen=True, slots=True)
class _Owned:
    """A record of the zone: its default (None where only `geo` answers) and one per location."""

    default: ResourceRecord | None
    geo: dict[str, ResourceRecord]

    def at(self, location: str) -> ResourceRecord | None:
        return self.geo.get(location, self.default)


class Locations:
    """Networks ─► locations, by the longest prefix."""

    def __init__(self, networks: dict[str, str]) -> None:
        parsed = [(ip_network(text), location) for text, location in networks.items()]
        self._networks: list[tuple[IPv4Network | IPv6Network, str]] = sorted(
            parsed, key=lambda pair: pair[0].prefixlen, reverse=True
        )

    def of(self, address: str) -> str:
        """The location of `address`; empty where no network holds it."""
        ip = ip_address(address)
        return next((where for network, where in self._networks if ip in network), "")


class Authority:
    """Answers queries from its zones. Raises InputError where a zone's records are wrong."""

    def __init__(self, zones: tuple[roles.Zone, ...], locations: dict[str, str]) -> None:
        self._zones = {fold(zone.name): _Zone(zone) for zone in zones}
        self._locations = Locations(locations)

    def answer(self, query: Message, querier: str) -> Message:
        """The response to `query` from the address `querier`."""
        if query.opcode != "QUERY":
            return reply(query, "NOTIMP")
        if query.question is None:
            return reply(query, "FORMERR")
        zone = self._zone_of(query.question)
        if zone is None:
            return reply(query, "REFUSED")
        return zone.answer(query, query.question, self._locations.of(querier))

    def _zone_of(self, question: Question) -> _Zone | None:
        if question.cls != "IN":
            return None
        above = (self._zones.get(name) for name in ancestors(fold(question.name)))
        return next((zone for zone in above if zone is not None), None)


class _Zone:
    def __init__(self, zone: roles.Zone) -> None:
        self.name = fold(zone.name)
        self._names: dict[str, dict[str, list[_Owned]]] = {}
        for one in zone.records:
            self._add(one)
        self._soa = self._own_soa() or self._made_soa()

    def _add(self, spec: roles.Record) -> None:
        geo = {where: self._record(spec, data) for where, data in spec.geo.items()}
        default = self._record(spec, spec.data) if spec.data else None
        sample = default or next(iter(geo.values()), None)
        if sample is None:
            raise InputError(f"record {spec.name} {spec.type} of zone {self.name} has neither data nor geo")
        name = fold(sample.name)
        for above in ancestors(name):  # names between are empty, but exist (RFC 4592, 2.2.2)
            if is_within(above, self.name):
                self._names.setdefault(above, {})
        self._names[name].setdefault(spec.type, []).append(_Owned(default, geo))

    def _record(self, spec: roles.Record, data: str) -> ResourceRecord:
        one = record(spec.name, spec.type, spec.ttl, data, self.name)
        if not is_within(one.name, self.name):
            raise InputError(f"record {spec.name} {spec.type} is outside of its zone {self.name}")
        return one

    def _own_soa(self) -> ResourceRecord | None:
        owned = self._names.get(self.name, {}).get("SOA", [])
        return owned[0].default if owned else None

    def _made_soa(self) -> ResourceRecord:
        servers = self._at(self.name, "NS", "")
        first = servers[0].data if servers else "@"
        made = record("@", "SOA", NEGATIVE_TTL_S, f"{first} hostmaster 1 {SOA_TIMES}", self.name)
        self._names.setdefault(self.name, {})["SOA"] = [_Owned(made, {})]
        return made

    def answer(self, query: Message, question: Question, location: str) -> Message:
        response = replace(reply(query, "NOERROR"), authoritative=True)
        name = question.name
        chain: tuple[ResourceRecord, ...] = ()
        seen: set[str] = set()
        while is_within(name, self.name) and fold(name) not in seen:
            seen.add(fold(name))
            if (cut := self._cut(name)) is not None:
                return self._referral(response, cut, chain)
            node = self._node(name)
            if node is None:
                return replace(response, rcode="NXDOMAIN", answers=chain, authority=(self._soa,))
            alias = () if question.type in ("CNAME", "ANY") else self._at(node, "CNAME", location, name)
            if not alias:
                return self._final(response, chain, self._asked(node, question.type, location, name))
            chain = (*chain, *alias)
            name = fold(alias[0].data)
        return replace(response, answers=chain)  # to another zone, where the resolver goes on, or a loop

    def _final(
        self, response: Message, chain: tuple[ResourceRecord, ...], found: tuple[ResourceRecord, ...]
    ) -> Message:
        if not found:  # NODATA (RFC 2308, 2.2)
            return replace(response, answers=chain, authority=(self._soa,))
        return replace(response, answers=chain + found, additional=self._glue(found))

    def _cut(self, name: str) -> str | None:
        """The highest delegation between the zone's top and `name`, both included but the top."""
        below = [one for one in ancestors(fold(name)) if is_within(one, self.name) and one != self.name]
        return next((one for one in reversed(below) if "NS" in self._names.get(one, {})), None)

    def _referral(self, response: Message, cut: str, chain: tuple[ResourceRecord, ...]) -> Message:
        servers = self._at(cut, "NS", "")
        return replace(
            response,
            authoritative=bool(chain),
            answers=chain,
            authority=servers,
            additional=self._glue(servers),
        )

    def _glue(self, servers: tuple[ResourceRecord, ...]) -> tuple[ResourceRecord, ...]:
        """The addresses of name servers that this zone knows (RFC 1034, 4.2.1)."""
        targets = dict.fromkeys(fold(one.data) for one in servers if one.type == "NS")
        return tuple(
            glue for target in targets for type_ in _ADDRESS_TYPES for glue in self._at(target, type_, "")
        )

    def _node(self, name: str) -> str | None:
        """The name to answer from: itself, or the wildcard at its closest encloser (RFC 4592, 3.3.1)."""
        folded = fold(name)
        if folded in self._names:
            return folded
        encloser = parent(folded)
        while encloser not in self._names:  # which has the zone's top, as the SOA is there
            encloser = parent(encloser)
        wildcard = "*" if encloser == ROOT else f"*.{encloser}"
        return wildcard if wildcard in self._names else None

    def _asked(self, node: str, type_: str, location: str, name: str) -> tuple[ResourceRecord, ...]:
        types = self._names[node] if type_ == "ANY" else (type_,)
        return tuple(one for each in types for one in self._at(node, each, location, name))

    def _at(self, node: str, type_: str, location: str, asked: str = "") -> tuple[ResourceRecord, ...]:
        """The records at `node` for a querier at `location`, with the name asked in place of a wildcard."""
        owned = self._names.get(node, {}).get(type_, [])
        found = (one.at(location) for one in owned)
        wild = node.startswith("*") and asked
        return tuple(replace(one, name=asked) if wild else one for one in found if one is not None)
