"""The records of one zone, by name and type, and where a question leads among them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from netlab.errors import InputError
from netlab.model import roles
from netlab.proto.dns import ResourceRecord, record
from netlab.proto.dns_names import ROOT, ancestors, fold, is_within, parent

# Of the SOA that a zone gets that has none, in seconds. The last is the negative TTL (RFC 2308 section 4).
SOA_TIMES = "3600 600 86400 60"
NEGATIVE_TTL_S = 60
_BESIDE_ALIASES = frozenset(("CNAME", "RRSIG", "NSEC"))  # RFC 2181 section 10.1, RFC 4034


@dataclass(slots=True)
class View:
    """Whom an answer is for. `tailored` becomes true where it would be another one elsewhere."""

    location: str
    rng: Random
    tailored: bool = False

    @classmethod
    def nowhere(cls) -> View:
        """For records that are the same for everybody."""
        return cls("", Random(0))  # noqa: S311 - nothing is drawn


@dataclass(frozen=True, slots=True)
class Owned:
    """A record of the zone: its default (None where only `geo` or `shares` answer), one per location, or
    one of several by their weights."""

    default: ResourceRecord | None
    geo: dict[str, ResourceRecord]
    shares: tuple[tuple[ResourceRecord, int], ...] = ()

    def at(self, view: View) -> ResourceRecord | None:
        if self.shares:
            weights = [weight for _, weight in self.shares]
            return view.rng.choices(self.shares, weights)[0][0]
        if self.geo:
            view.tailored = True
        return self.geo.get(view.location, self.default)


class Zone:
    """Raises InputError where records are wrong, or where a name has an alias and other data."""

    def __init__(self, zone: roles.Zone) -> None:
        self.name = fold(zone.name)
        self._names: dict[str, dict[str, list[Owned]]] = {}
        for one in zone.records:
            self._add(one)
        self.soa = self._own_soa() or self._made_soa()
        for name, types in self._names.items():
            if "CNAME" in types and (len(types["CNAME"]) > 1 or not types.keys() <= _BESIDE_ALIASES):
                raise InputError(
                    f"zone {self.name}: {name} has a CNAME and other records",
                    "an alias stands alone at its name (RFC 2181 section 10.1)",
                )

    def _add(self, spec: roles.Record) -> None:
        geo = {where: self._record(spec, data) for where, data in spec.geo.items()}
        shares = tuple((self._record(spec, data), weight) for data, weight in spec.weights.items())
        default = self._record(spec, spec.data) if spec.data else None
        sample = default or next(iter(geo.values()), None) or next((one for one, _ in shares), None)
        if sample is None:
            raise InputError(f"record {spec.name} {spec.type} of zone {self.name} has no data")
        name = fold(sample.name)
        for above in ancestors(name):  # names between are empty, but exist (RFC 4592 section 2.2.2)
            if is_within(above, self.name):
                self._names.setdefault(above, {})
        self._names[name].setdefault(spec.type, []).append(Owned(default, geo, shares))

    def _record(self, spec: roles.Record, data: str) -> ResourceRecord:
        one = record(spec.name, spec.type, spec.ttl, data, self.name)
        if not is_within(one.name, self.name):
            raise InputError(f"record {spec.name} {spec.type} is outside of its zone {self.name}")
        return one

    def _own_soa(self) -> ResourceRecord | None:
        owned = self._names.get(self.name, {}).get("SOA", [])
        return owned[0].default if owned else None

    def _made_soa(self) -> ResourceRecord:
        servers = self._names.get(self.name, {}).get("NS", [])
        first = servers[0].default.data if servers and servers[0].default else "@"
        made = record("@", "SOA", NEGATIVE_TTL_S, f"{first} hostmaster 1 {SOA_TIMES}", self.name)
        self._names.setdefault(self.name, {})["SOA"] = [Owned(made, {})]
        return made

    def put(self, one: ResourceRecord) -> None:
        """One more record, at a name of the zone."""
        self._names.setdefault(fold(one.name), {}).setdefault(one.type, []).append(Owned(one, {}))

    def owners(self) -> frozenset[str]:
        """The names with records that are the zone's own, and its cuts."""
        return frozenset(
            name for name, types in self._names.items() if types and self.cut(name) in (None, name)
        )

    def holds(self, name: str) -> bool:
        """Whether the name is in the zone, or in one that it delegates."""
        return is_within(name, self.name)

    def types(self, node: str) -> tuple[str, ...]:
        """The types of the records at a node."""
        return tuple(self._names.get(node, {}))

    def cut(self, name: str) -> str | None:
        """The highest delegation between the zone's top and `name`, both included but the top."""
        below = [one for one in ancestors(fold(name)) if is_within(one, self.name) and one != self.name]
        return next((one for one in reversed(below) if "NS" in self._names.get(one, {})), None)

    def redirected(self, name: str) -> ResourceRecord | None:
        """The DNAME above `name` (RFC 6672); at its own name it redirects nothing."""
        for above in ancestors(fold(name))[1:]:
            owned = self._names.get(above, {}).get("DNAME")
            if owned and is_within(above, self.name):
                return owned[0].default
        return None

    def node(self, name: str) -> str | None:
        """The name to answer from: itself, or the wildcard at its closest encloser (RFC 4592, 3.3.1)."""
        folded = fold(name)
        if folded in self._names:
            return folded
        encloser = self.encloser(name)
        wildcard = "*" if encloser == ROOT else f"*.{encloser}"
        return wildcard if wildcard in self._names else None

    def encloser(self, name: str) -> str:
        """The closest name above it that exists (RFC 4592 section 3.3.1)."""
        encloser = parent(fold(name))
        while encloser not in self._names:  # which has the zone's top, as the SOA is there
            encloser = parent(encloser)
        return encloser

    def at(self, node: str, type_: str, view: View, asked: str = "") -> tuple[ResourceRecord, ...]:
        """The records at `node`, with the name asked in place of a wildcard."""
        owned = self._names.get(node, {}).get(type_, [])
        found = (one.at(view) for one in owned)
        wild = node.startswith("*") and asked
        return tuple(replace(one, name=asked) if wild else one for one in found if one is not None)
