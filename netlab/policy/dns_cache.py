"""The cache of DNS answers: TTLs that count down, negative answers (RFC 2308), ranks (RFC 2181), answers
for one network alone (RFC 7871), and old answers for when no server answers (RFC 8767)."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, replace
from enum import IntEnum
from ipaddress import IPv4Network, IPv6Network

from netlab.proto.dns import ResourceRecord
from netlab.proto.dns_names import ancestors, fold, is_within

NEGATIVE_TTL_LIMIT_S = 10_800  # RFC 2308, 5: one to three hours work well
TTL_LIMIT_S = 604_800  # RFC 8767, 4: a week
STALE_TTL_S = 30  # RFC 8767, 4: of what is given out after its time
_ANY_TYPE = ""  # NXDOMAIN is true for every type of its name (RFC 2308, 5)


class Rank(IntEnum):
    """How far data is to be believed (RFC 2181, 5.4.1). Only ANSWER is fit for being given out."""

    GLUE = 1
    REFERRAL = 2
    ANSWER = 3


@dataclass(frozen=True, slots=True)
class Entry:
    """Records, or a negative answer: `rcode` NXDOMAIN, or NOERROR without records (NODATA).

    `soa`: the zone's, that came with a negative answer; its TTL is the negative TTL (RFC 2308, 5).
    `scope`: for whom it is right, 0 for everybody (RFC 7871, 7.3). `evidence`: the signatures and denials
    that came with it; `secure`: what they proved, None where nobody has asked yet.
    """

    records: tuple[ResourceRecord, ...]
    rcode: str = "NOERROR"
    soa: tuple[ResourceRecord, ...] = ()
    rank: Rank = Rank.ANSWER
    scope: int = 0
    evidence: tuple[ResourceRecord, ...] = ()
    secure: bool | None = None


@dataclass(frozen=True, slots=True)
class _Stored:
    entry: Entry
    at: float
    ttl: int

    def left(self, now: float) -> int:
        """Whole seconds that it may still be used, a begun one not counted; 0 once it is past."""
        return max(0, self.ttl - math.ceil(now - self.at))

    def aged(self, now: float) -> Entry:
        ttl = self.left(now) or STALE_TTL_S
        return replace(
            self.entry, records=_with_ttl(self.entry.records, ttl), soa=_with_ttl(self.entry.soa, ttl)
        )


Network = IPv4Network | IPv6Network
_Key = tuple[str, str, str]  # name, type, network ("": everybody)


class Cache:
    """At most `limit` entries; the longest unused leaves first. `now` is in seconds of any steady clock.

    Entries are kept for `stale_s` seconds after their time, for `get` with `stale`.
    """

    def __init__(self, limit: int = 10_000, stale_s: float = 0.0) -> None:
        self._limit = limit
        self._stale_s = stale_s
        self._stored: OrderedDict[_Key, _Stored] = OrderedDict()

    def __len__(self) -> int:
        return len(self._stored)

    def store(
        self,
        records: tuple[ResourceRecord, ...],
        rank: Rank,
        now: float,
        scope: Network | None = None,
        evidence: tuple[ResourceRecord, ...] = (),
        secure: bool | None = None,
    ) -> None:
        """Keep one record set (same name and type) for its lowest TTL; TTL 0 isn't kept.

        Data of a lower rank never replaces data of a higher one that is still good. `scope`: it is right
        for askers of this network alone.
        """
        ttl = min(TTL_LIMIT_S, *(one.ttl for one in records))
        bits = scope.prefixlen if scope is not None else 0
        key = (fold(records[0].name), records[0].type, str(scope) if bits else "")
        entry = Entry(records, rank=rank, scope=bits, evidence=evidence, secure=secure)
        self._keep(key, _Stored(entry, now, ttl), now)

    def store_negative(
        self,
        name: str,
        type_: str,
        rcode: str,
        soa: ResourceRecord,
        now: float,
        evidence: tuple[ResourceRecord, ...] = (),
        secure: bool | None = None,
    ) -> None:
        """Keep that `name` does not exist (NXDOMAIN) or has no `type_` (NOERROR), as long as the SOA says."""
        ttl = negative_ttl(soa)
        entry = Entry((), rcode, (replace(soa, ttl=ttl),), evidence=evidence, secure=secure)
        key = (fold(name), _ANY_TYPE if rcode == "NXDOMAIN" else type_, "")
        self._keep(key, _Stored(entry, now, ttl), now)

    def drop(self, name: str, type_: str) -> None:
        """Forget what is known of it, for whomever."""
        for key in [key for key in self._stored if key[0] == fold(name) and key[1] in (type_, _ANY_TYPE)]:
            del self._stored[key]

    def flush(self, zone: str) -> None:
        """Forget all of `zone` and what is below it."""
        for key in [key for key in self._stored if is_within(key[0], zone)]:
            del self._stored[key]

    def get(
        self,
        name: str,
        type_: str,
        now: float,
        least: Rank = Rank.ANSWER,
        *,
        asker: Network | None = None,
        stale: bool = False,
    ) -> Entry | None:
        """What is known of `name` and `type_`, with the TTLs that are left; None where nothing is.

        `asker`: the network that asks, which may get an answer of its own. `stale`: also what is past.
        """
        folded = fold(name)
        scopes = ("",) if asker is None else _around(asker)
        for key in (*((folded, type_, scope) for scope in scopes), (folded, _ANY_TYPE, "")):
            stored = self._stored.get(key)
            if stored is None or stored.entry.rank < least:
                continue
            if stored.left(now) or (stale and self._kept(stored, now)):
                self._stored.move_to_end(key)
                return stored.aged(now)
            if not self._kept(stored, now):
                del self._stored[key]
        return None

    def denied(self, name: str, now: float) -> Entry | None:
        """That a name above `name` does not exist, so that neither does `name` (RFC 8020 section 2)."""
        for above in ancestors(fold(name))[1:-1]:
            stored = self._stored.get((above, _ANY_TYPE, ""))
            if stored is not None and stored.left(now):
                return stored.aged(now)
        return None

    def _kept(self, stored: _Stored, now: float) -> bool:
        return self._stale_s > 0 and now < stored.at + stored.ttl + self._stale_s

    def _keep(self, key: _Key, new: _Stored, now: float) -> None:
        old = self._stored.get(key)
        if old is not None and old.left(now) and old.entry.rank > new.entry.rank:
            return
        if new.ttl <= 0:
            return
        self._stored[key] = new
        self._stored.move_to_end(key)
        while len(self._stored) > self._limit:
            self._stored.popitem(last=False)


def _around(network: Network) -> tuple[str, ...]:
    """The networks that hold it, the smallest first, as keys; last that of everybody."""
    around = (str(network.supernet(new_prefix=bits)) for bits in range(network.prefixlen, 0, -1))
    return (*around, "")


def negative_ttl(soa: ResourceRecord) -> int:
    """Seconds: the lower of the SOA's TTL and its last field, MINIMUM (RFC 2308, 5); at most three hours."""
    return min(soa.ttl, int(soa.data.split()[-1]), NEGATIVE_TTL_LIMIT_S)


def _with_ttl(records: tuple[ResourceRecord, ...], ttl: int) -> tuple[ResourceRecord, ...]:
    return tuple(replace(one, ttl=ttl) for one in records)
