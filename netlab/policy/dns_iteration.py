"""How one question is resolved: from the closest known zone down, by referrals (RFC 1034, 5.3.3).

The way is a generator: it yields whom to ask next and is sent the response, or None where none came.
It does no input or output and keeps no time; `netlab.policy.dns_recursion` gives it both.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from random import Random
from typing import TypeVar, assert_never

from netlab.policy.dns_cache import Cache, Rank
from netlab.policy.dns_response import Alias, Answer, Lame, Negative, Outcome, Referral, understand
from netlab.proto.dns import Message, Question, ResourceRecord
from netlab.proto.dns_names import ROOT, ancestors, fold, is_within

QUERY_LIMIT = 64  # of one question, all retries included (cf. RFC 1034, 5.3.3: bound the work)
REFERRAL_LIMIT = 16
ALIAS_LIMIT = 16
TIMEOUTS_S = (1.0, 2.0)  # of the first and the second try of each server
TCP_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the server at `server` this; wait `timeout_s`."""

    server: str
    question: Question
    timeout_s: float
    tcp: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What the resolver answers. `cause` says why where `rcode` is SERVFAIL."""

    rcode: str
    answers: tuple[ResourceRecord, ...] = ()
    authority: tuple[ResourceRecord, ...] = ()
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Cut:
    """A zone and its servers: their names, and addresses that came with them. The root's have no names."""

    zone: str
    names: tuple[str, ...]
    glue: dict[str, tuple[str, ...]]


_T = TypeVar("_T")
Steps = Generator[Ask, Message | None, _T]


@dataclass(slots=True)
class Iteration:
    """One question's way. `versions`: the IP versions that this resolver can send."""

    cache: Cache
    roots: tuple[str, ...]
    versions: frozenset[int]
    rng: Random
    now: Callable[[], float]
    _queries: int = 0
    _resolving: set[str] = field(default_factory=set)
    _trouble: list[str] = field(default_factory=list)

    def resolve(self, question: Question) -> Steps[Result]:
        """Follow aliases from zone to zone until there are records, a negative answer, or a failure."""
        chain: tuple[ResourceRecord, ...] = ()
        name = question.name
        seen: set[str] = set()
        while fold(name) not in seen and len(seen) < ALIAS_LIMIT:
            seen.add(fold(name))
            asked = replace(question, name=name)
            outcome = self._cached(asked) or (yield from self._fetch(asked))
            match outcome:
                case Answer(records):
                    return Result("NOERROR", chain + records)
                case Negative(records, _, rcode, soa):
                    return Result(rcode, chain + records, (soa,) if soa is not None else ())
                case Alias(records, target):
                    chain, name = chain + records, target
                case None:
                    return Result("SERVFAIL", cause="; ".join(self._trouble[-3:]))
                case _:
                    assert_never(outcome)
        return Result("SERVFAIL", cause=f"the aliases of {question.name} go round or are too many")

    # From the cache.

    def _cached(self, question: Question) -> Answer | Alias | Negative | None:
        name, now = question.name, self.now()
        entry = self.cache.get(name, question.type, now)
        if entry is not None and entry.records:
            return Answer(entry.records)
        if entry is not None:
            return Negative((), name, entry.rcode, entry.soa[0])
        alias = self.cache.get(name, "CNAME", now)
        if alias is not None and alias.records:
            return Alias(alias.records, fold(alias.records[0].data))
        return None

    def _closest(self, name: str) -> Cut:
        """The deepest zone above `name` whose servers are known and within reach; at last the root."""
        for zone in ancestors(fold(name)):
            entry = self.cache.get(zone, "NS", self.now(), Rank.REFERRAL)
            if entry is None or not entry.records:
                continue
            names = tuple(fold(one.data) for one in entry.records)
            if any(self._known(one) or not is_within(one, zone) for one in names):
                return Cut(zone, names, {})
        return Cut(ROOT, ("",), {"": self.roots})

    def _known(self, server: str) -> tuple[str, ...]:
        entries = (self.cache.get(server, type_, self.now(), Rank.GLUE) for type_ in ("A", "AAAA"))
        return tuple(one.data for entry in entries if entry is not None for one in entry.records)

    # From servers.

    def _fetch(self, question: Question) -> Steps[Answer | Alias | Negative | None]:
        cut = self._closest(question.name)
        for _ in range(REFERRAL_LIMIT):
            outcome = yield from self._ask_zone(cut, question)
            if outcome is None:
                return None
            self._remember(outcome, question)
            if not isinstance(outcome, Referral):
                return outcome
            cut = _cut_of(outcome)
        self._trouble.append(f"more than {REFERRAL_LIMIT} referrals for {question.name}")
        return None

    def _ask_zone(self, cut: Cut, question: Question) -> Steps[Answer | Alias | Negative | Referral | None]:
        """Every server of the zone in turn, then once more those that were silent."""
        useless: set[str] = set()
        for timeout_s in TIMEOUTS_S:
            for name in self._in_order(cut):
                for address in (yield from self._addresses(cut, name)):
                    if address in useless or self._queries >= QUERY_LIMIT:
                        continue
                    outcome = yield from self._ask(address, question, cut.zone, timeout_s)
                    if not isinstance(outcome, Lame | None):
                        return outcome
                    if outcome is not None:
                        useless.add(address)
        if not self._trouble:
            self._trouble.append(f"no server of zone {cut.zone} has an address in reach")
        return None

    def _in_order(self, cut: Cut) -> list[str]:
        """Servers whose addresses are known come first; else by chance, which spreads the load."""
        names = list(cut.names)
        self.rng.shuffle(names)
        return sorted(names, key=lambda name: not (cut.glue.get(name) or self._known(name)))

    def _addresses(self, cut: Cut, name: str) -> Steps[list[str]]:
        """The addresses of a server: from its glue, the cache, or by resolving its name. IPv4 goes first."""
        found = cut.glue.get(name) or self._known(name)
        if not found and name not in self._resolving:
            self._resolving.add(name)
            for type_ in ("A", "AAAA"):
                if not found:
                    result = yield from self.resolve(Question(name, type_))
                    found = tuple(one.data for one in result.answers if one.type == type_)
            self._resolving.discard(name)
        usable = [one for one in found if ip_address(one).version in self.versions]
        self.rng.shuffle(usable)
        return sorted(usable, key=lambda address: ip_address(address).version)

    def _ask(self, server: str, question: Question, zone: str, timeout_s: float) -> Steps[Outcome | None]:
        """The server's answer, over TCP where UDP truncates; None where it is silent."""
        self._queries += 1
        response = yield Ask(server, question, timeout_s)
        if response is not None and response.truncated:
            self._queries += 1
            response = yield Ask(server, question, TCP_TIMEOUT_S, tcp=True)
        if response is None:
            self._trouble.append(f"{server} does not answer for {question.name}")
            return None
        outcome = understand(response, question, zone)
        if isinstance(outcome, Lame):
            self._trouble.append(f"{server}: {outcome.cause}")
        return outcome

    def _remember(self, outcome: Answer | Alias | Negative | Referral, question: Question) -> None:
        now = self.now()
        if isinstance(outcome, Referral):
            self._store(outcome.servers, Rank.REFERRAL)
            self._store(outcome.glue, Rank.GLUE)
            return
        self._store(outcome.records, Rank.ANSWER)
        if isinstance(outcome, Negative) and outcome.soa is not None:
            self.cache.store_negative(outcome.name, question.type, outcome.rcode, outcome.soa, now)

    def _store(self, records: tuple[ResourceRecord, ...], rank: Rank) -> None:
        sets: dict[tuple[str, str], list[ResourceRecord]] = {}
        for one in records:
            sets.setdefault((fold(one.name), one.type), []).append(one)
        for members in sets.values():
            self.cache.store(tuple(members), rank, self.now())


def _cut_of(referral: Referral) -> Cut:
    glue: dict[str, tuple[str, ...]] = {}
    for one in referral.glue:
        glue[fold(one.name)] = (*glue.get(fold(one.name), ()), one.data)
    return Cut(referral.zone, tuple(fold(one.data) for one in referral.servers), glue)
