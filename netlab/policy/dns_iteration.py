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

from netlab.policy.dns_cache import Cache, Entry, Network, Rank
from netlab.policy.dns_minimise import Minimiser
from netlab.policy.dns_response import Alias, Answer, Lame, Negative, Outcome, Referral, understand
from netlab.policy.dns_servers import Servers
from netlab.policy.dns_validation import BogusError, Validator
from netlab.proto.dns import Message, Question, ResourceRecord, record_sets
from netlab.proto.dns_edns import (
    DNSSEC_BOGUS,
    NO_REACHABLE_AUTHORITY,
    STALE_ANSWER,
    STALE_NXDOMAIN,
    ExtendedError,
    Subnet,
)
from netlab.proto.dns_names import ROOT, ancestors, fold, is_within, labels, parent

QUERY_LIMIT = 64  # of one question, all retries included (cf. RFC 1034, 5.3.3: bound the work)
REFERRAL_LIMIT = 16
GLUELESS_LIMIT = 5  # servers of one zone whose addresses are looked up (against NXNSAttack)
ALIAS_LIMIT = 16
TIMEOUTS_S = (1.0, 2.0)  # of the first and the second try of each server
TCP_TIMEOUT_S = 3.0
_NO_EDNS = ("FORMERR", "NOTIMP", "BADVERS")  # from servers that can't read OPT (RFC 6891 section 7)


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the server at `server` this; wait `timeout_s`."""

    server: str
    question: Question
    timeout_s: float
    tcp: bool = False
    edns: bool = True
    dnssec: bool = False
    subnet: Subnet | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What the resolver answers. `cause` says why where `rcode` is SERVFAIL, `errors` so to the client.
    `scope`: the longest prefix of the asker's network on which it depends (RFC 7871). `authentic`: all of
    it was proved by DNSSEC; `evidence`: with these signatures and denials."""

    rcode: str
    answers: tuple[ResourceRecord, ...] = ()
    authority: tuple[ResourceRecord, ...] = ()
    cause: str = ""
    errors: tuple[ExtendedError, ...] = ()
    scope: int = 0
    authentic: bool = False
    evidence: tuple[ResourceRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class Cut:
    """A zone and its servers: their names, and addresses that came with them. The root's have no names."""

    zone: str
    names: tuple[str, ...]
    glue: dict[str, tuple[str, ...]]


_T = TypeVar("_T")
_Found = Answer | Alias | Negative
Steps = Generator[Ask, Message | None, _T]


@dataclass(slots=True)
class Iteration:
    """One question's way. `versions`: the IP versions that this resolver can send. `subnet`: for whom it
    asks, told to the servers of zones below the top level. `minimise`: tell no server more of the name
    than it needs (RFC 9156). `stale`: old answers are better than none (RFC 8767). `anchor`: the root's
    keys, where DNSSEC is to be asked for; `checks`: and judged; `epoch`: `now` plus it is the time of day.
    """

    cache: Cache
    roots: tuple[str, ...]
    versions: frozenset[int]
    rng: Random
    servers: Servers
    now: Callable[[], float]
    subnet: Subnet | None = None
    minimise: bool = False
    stale: bool = False
    anchor: tuple[ResourceRecord, ...] = ()
    checks: bool = True
    epoch: float = 0.0
    _queries: int = 0
    _scope: int = 0
    _resolving: set[str] = field(default_factory=set)
    _trouble: list[str] = field(default_factory=list)

    def resolve(self, question: Question) -> Steps[Result]:
        """Follow aliases from zone to zone until there are records, a negative answer, or a failure."""
        chain: tuple[ResourceRecord, ...] = ()
        evidence: tuple[ResourceRecord, ...] = ()
        errors: tuple[ExtendedError, ...] = ()
        authentic = bool(self.anchor)
        name = question.name
        seen: set[str] = set()
        while fold(name) not in seen and len(seen) < ALIAS_LIMIT:
            seen.add(fold(name))
            asked = replace(question, name=name)
            outcome = self._cached(asked) or (yield from self._fetch(asked))
            if outcome is None and self.stale:
                outcome = self._cached(asked, stale=True)
                errors = (_stale(outcome),) if outcome is not None else ()
            if outcome is None:
                return self._failed("; ".join(self._trouble[-3:]))
            try:
                outcome = yield from self._judged(outcome, asked)
            except BogusError as error:
                return self._bogus(outcome, asked, str(error))
            authentic = authentic and outcome.secure is True
            evidence += outcome.evidence
            chain += outcome.records
            match outcome:
                case Answer():
                    return Result("NOERROR", chain, (), "", errors, self._scope, authentic, evidence)
                case Negative(rcode=rcode, soa=soa):
                    soas = (soa,) if soa is not None else ()
                    return Result(rcode, chain, soas, "", errors, self._scope, authentic, evidence)
                case Alias(target=target):
                    name = target
                case _:
                    assert_never(outcome)
        return self._failed(f"the aliases of {question.name} go round or are too many")

    def _failed(self, cause: str) -> Result:
        return Result("SERVFAIL", cause=cause, errors=(ExtendedError(NO_REACHABLE_AUTHORITY, cause),))

    # DNSSEC.

    def _judged(self, outcome: _Found, question: Question) -> Steps[_Found]:
        """With what the signatures prove. Raises BogusError."""
        if not self.anchor or not self.checks or outcome.secure is not None:
            return outcome
        validator = Validator(self.anchor, lambda: self.now() + self.epoch, self._plain)
        secure = yield from validator.judge(outcome, question)
        judged = replace(outcome, secure=secure)
        self._remember(judged, question)
        return judged

    def _plain(self, question: Question) -> Steps[Answer | Alias | Negative | None]:
        """As it is, for the validator."""
        return self._cached(question) or (yield from self._fetch(question))

    def _bogus(self, outcome: _Found, question: Question, cause: str) -> Result:
        """Not kept: it may have been forged on its way."""
        for name in {question.name, *(one.name for one in outcome.records)}:
            for type_ in (question.type, "CNAME", "DNAME"):
                self.cache.drop(name, type_)
        return Result("SERVFAIL", cause=cause, errors=(ExtendedError(DNSSEC_BOGUS, cause),))

    # From the cache.

    def _cached(self, question: Question, *, stale: bool = False) -> Answer | Alias | Negative | None:
        name = question.name
        entry = self._entry(name, question.type, stale=stale)
        if entry is not None and entry.records:
            return Answer(entry.records, self._network(entry), entry.evidence, entry.secure)
        if entry is not None:
            return Negative((), name, entry.rcode, entry.soa[0], entry.evidence, entry.secure)
        alias = self._entry(name, "CNAME", stale=stale)
        if alias is not None and alias.records:
            target = fold(alias.records[0].data)
            return Alias(alias.records, target, self._network(alias), alias.evidence, alias.secure)
        above = self.cache.denied(name, self.now())
        if above is not None:
            return Negative((), name, above.rcode, above.soa[0], above.evidence, above.secure)
        return None

    def _network(self, entry: Entry) -> Network | None:
        """For whom the entry is right; None: everybody."""
        if self.subnet is None or not entry.scope:
            return None
        return replace(self.subnet, scope=entry.scope).scoped

    def _entry(self, name: str, type_: str, *, stale: bool) -> Entry | None:
        asker = self.subnet.network if self.subnet is not None else None
        entry = self.cache.get(name, type_, self.now(), asker=asker, stale=stale)
        self._scope = max(self._scope, entry.scope if entry is not None else 0)
        return entry

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
        # What a delegation is like only the zone above it knows (RFC 4035 section 4.2).
        cut = self._closest(parent(question.name) if question.type == "DS" else question.name)
        way = Minimiser(question, self.minimise)
        for _ in range(REFERRAL_LIMIT):
            asked = way.asked(cut.zone)
            outcome: _Found | Referral | None = self._cached(asked) if asked is not question else None
            if outcome is None:
                outcome = yield from self._ask_zone(cut, asked)
                if outcome is None:
                    return None
                self._remember(outcome, asked)
            if isinstance(outcome, Referral):
                cut = _cut_of(outcome)
            elif asked is question:
                return outcome
            else:
                way.learn(asked, outcome)
        self._trouble.append(f"more than {REFERRAL_LIMIT} referrals for {question.name}")
        return None

    def _ask_zone(self, cut: Cut, question: Question) -> Steps[Answer | Alias | Negative | Referral | None]:
        """Every server of the zone, the fastest first, then once more those that were silent; servers
        without an address only where those with one don't answer."""
        useless: set[str] = set()
        for timeout_s in TIMEOUTS_S:
            known, unknown = self._candidates(cut)
            addresses = self.servers.in_order(known)
            while addresses or unknown:
                if not addresses:
                    addresses = yield from self._looked_up(unknown.pop())
                    continue
                address = addresses.pop(0)
                if address in useless or self._queries >= QUERY_LIMIT:
                    continue
                outcome = yield from self._ask(address, question, cut.zone, timeout_s, known)
                if not isinstance(outcome, Lame | None):
                    return outcome
                if outcome is not None:
                    useless.add(address)
        if not self._trouble:
            self._trouble.append(f"no server of zone {cut.zone} has an address in reach")
        return None

    def _candidates(self, cut: Cut) -> tuple[list[str], list[str]]:
        """The addresses of the zone's servers that are known, and the servers that have none yet."""
        found: dict[str, None] = {}
        unknown = []
        for name in cut.names:
            addresses = cut.glue.get(name) or self._known(name)
            if not addresses:
                unknown.append(name)
            found |= dict.fromkeys(self._usable(addresses))
        self.rng.shuffle(unknown)
        return list(found), unknown[:GLUELESS_LIMIT]

    def _usable(self, addresses: tuple[str, ...]) -> list[str]:
        """Those of our IP versions. IPv4 alone, where there are both: one path to each server is enough."""
        usable = [one for one in addresses if ip_address(one).version in self.versions]
        four = [one for one in usable if ip_address(one).version == 4]
        return four or usable

    def _looked_up(self, name: str) -> Steps[list[str]]:
        """The addresses of a server, by resolving its name; none where that needs the server itself.

        They are not judged: whom one asks matters less than what it has signed.
        """
        if name in self._resolving:
            return []
        self._resolving.add(name)
        found: tuple[str, ...] = ()
        checks, self.checks = self.checks, False
        for type_ in ("A", "AAAA"):
            if not found:
                result = yield from self.resolve(Question(name, type_))
                found = tuple(one.data for one in result.answers if one.type == type_)
        self.checks = checks
        self._resolving.discard(name)
        return self._usable(found)

    def _ask(
        self, server: str, question: Question, zone: str, timeout_s: float, others: list[str]
    ) -> Steps[Outcome | None]:
        """The server's answer, over TCP where UDP truncates; None where it is silent."""
        edns = self.servers.speaks_edns(server)
        dnssec = bool(self.anchor) and edns
        ask = Ask(server, question, timeout_s, False, edns, dnssec, self._told(question, zone))
        started = self.now()
        response = yield from self._sent(ask)
        if response is not None and ask.edns and response.rcode in _NO_EDNS:
            self.servers.no_edns(server)
            ask = replace(ask, edns=False, dnssec=False, subnet=None)
            response = yield from self._sent(ask)
        if response is not None and response.truncated:
            response = yield from self._sent(replace(ask, timeout_s=TCP_TIMEOUT_S, tcp=True))
        if response is None:
            self.servers.silent(server, timeout_s)
            self._trouble.append(f"{server} does not answer for {question.name}")
            return None
        self.servers.answered(server, self.now() - started, others)
        outcome = understand(response, question, zone)
        if isinstance(outcome, Lame):
            self.servers.silent(server, timeout_s)
            self._trouble.append(f"{server}: {outcome.cause}")
        elif isinstance(outcome, Answer | Alias) and ask.subnet is not None and response.subnet is not None:
            return replace(outcome, scope=response.subnet.scoped)
        return outcome

    def _sent(self, ask: Ask) -> Steps[Message | None]:
        self._queries += 1
        return (yield ask)

    def _told(self, question: Question, zone: str) -> Subnet | None:
        """The asker's network, for servers whose answers may depend on it (RFC 7871 section 7.1.2)."""
        tells = question.type in ("A", "AAAA") and len(labels(zone)) > 1
        return self.subnet if tells else None

    def _remember(self, outcome: Answer | Alias | Negative | Referral, question: Question) -> None:
        now = self.now()
        if isinstance(outcome, Referral):
            self._store(outcome.servers, Rank.REFERRAL)
            self._store(outcome.glue, Rank.GLUE)
            return
        scope = None if isinstance(outcome, Negative) else outcome.scope
        for members in record_sets(outcome.records):
            kept = tuple(members)
            self.cache.store(kept, Rank.ANSWER, now, scope, outcome.evidence, outcome.secure)
        if scope is not None:
            self._scope = max(self._scope, scope.prefixlen)
        if isinstance(outcome, Negative) and outcome.soa is not None:
            about = outcome.name, question.type, outcome.rcode, outcome.soa
            self.cache.store_negative(*about, now, outcome.evidence, outcome.secure)

    def _store(self, records: tuple[ResourceRecord, ...], rank: Rank) -> None:
        for members in record_sets(records):
            self.cache.store(tuple(members), rank, self.now())


def _cut_of(referral: Referral) -> Cut:
    glue: dict[str, tuple[str, ...]] = {}
    for one in referral.glue:
        glue[fold(one.name)] = (*glue.get(fold(one.name), ()), one.data)
    return Cut(referral.zone, tuple(fold(one.data) for one in referral.servers), glue)


def _stale(outcome: Answer | Alias | Negative) -> ExtendedError:
    gone = isinstance(outcome, Negative) and outcome.rcode == "NXDOMAIN"
    return ExtendedError(STALE_NXDOMAIN if gone else STALE_ANSWER)
