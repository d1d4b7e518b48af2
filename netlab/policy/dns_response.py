"""What a name server's response means for the one who iterates, and which of its records to believe.

Only records inside the zone that the server was asked as an authority for are believed (its bailiwick,
RFC 5452, 6): a server of example.com has no word on example.net.
"""

from __future__ import annotations

from dataclasses import dataclass

from netlab.policy.dns_cache import Network
from netlab.proto.dns import Message, Question, ResourceRecord
from netlab.proto.dns_names import fold, is_within


@dataclass(frozen=True, slots=True)
class Answer:
    """The aliases on the way, if any, and the records asked for. `scope`: for whom (RFC 7871).

    `evidence`: the signatures and denials that came with them. `secure`: what DNSSEC says of them, None
    before it was asked. Both also of the other outcomes.
    """

    records: tuple[ResourceRecord, ...]
    scope: Network | None = None
    evidence: tuple[ResourceRecord, ...] = ()
    secure: bool | None = None


@dataclass(frozen=True, slots=True)
class Alias:
    """The name asked for is another name, `target`, of which the server said nothing to be believed."""

    records: tuple[ResourceRecord, ...]
    target: str
    scope: Network | None = None
    evidence: tuple[ResourceRecord, ...] = ()
    secure: bool | None = None


@dataclass(frozen=True, slots=True)
class Referral:
    """Servers of a zone further down: NS records, and the addresses that came with them."""

    zone: str
    servers: tuple[ResourceRecord, ...]
    glue: tuple[ResourceRecord, ...]


@dataclass(frozen=True, slots=True)
class Negative:
    """`name`, at the end of the aliases `records`, does not exist (NXDOMAIN) or lacks the type (NOERROR)."""

    records: tuple[ResourceRecord, ...]
    name: str
    rcode: str
    soa: ResourceRecord | None
    evidence: tuple[ResourceRecord, ...] = ()
    secure: bool | None = None


@dataclass(frozen=True, slots=True)
class Lame:
    """The server is of no use for this question: ask another one."""

    cause: str


Outcome = Answer | Alias | Referral | Negative | Lame


def understand(response: Message, question: Question, zone: str) -> Outcome:
    """What the response of a server of `zone` to `question` says."""
    if response.rcode not in ("NOERROR", "NXDOMAIN"):
        return Lame(f"rcode {response.rcode}")
    if response.truncated:
        return Lame("truncated over TCP")
    chain, name = _aliases(response, question, zone)
    found = _asked(response, name, question.type) if is_within(name, zone) else ()
    referral = _referral(response, name, zone)
    if not response.authoritative and (referral is None or chain or found):
        return Lame(f"no authority for {question.name}")
    evidence = _evidence(response, zone)
    if found:
        return Answer(chain + found, evidence=evidence)
    circle = any(fold(one.name) == fold(name) for one in chain)
    if chain and (circle or referral is not None or not is_within(name, zone)):
        return Alias(chain, name, evidence=evidence)
    if referral is not None:
        return referral
    return Negative(chain, name, response.rcode, _soa(response, name, zone), evidence)


def _aliases(response: Message, question: Question, zone: str) -> tuple[tuple[ResourceRecord, ...], str]:
    """The CNAME records from the question's name on, as far as the zone goes, and the name they lead to."""
    name = question.name
    chain: dict[str, ResourceRecord] = {}
    above: list[ResourceRecord] = []  # the DNAMEs that made them (RFC 6672)
    if question.type in ("CNAME", "ANY"):
        return (), name
    aliases = {fold(one.name): one for one in response.answers if one.type == "CNAME"}
    while is_within(name, zone) and fold(name) in aliases and fold(name) not in chain:
        above += [one for one in _dnames(response, name, zone) if one not in above]
        chain[fold(name)] = aliases[fold(name)]
        name = fold(aliases[fold(name)].data)
    return (*above, *chain.values()), name


def _dnames(response: Message, name: str, zone: str) -> list[ResourceRecord]:
    return [
        one
        for one in response.answers
        if one.type == "DNAME"
        and is_within(name, one.name)
        and fold(one.name) != fold(name)
        and is_within(one.name, zone)
    ]


def _asked(response: Message, name: str, type_: str) -> tuple[ResourceRecord, ...]:
    return tuple(
        one for one in response.answers if fold(one.name) == fold(name) and type_ in (one.type, "ANY")
    )


def _referral(response: Message, name: str, zone: str) -> Referral | None:
    """A referral leads down: to a zone below the server's own that holds the name (never up or sideways)."""
    servers = [
        one
        for one in response.authority
        if one.type == "NS"
        and is_within(name, one.name)
        and is_within(one.name, zone)
        and fold(one.name) != fold(zone)
    ]
    if not servers:
        return None
    cut = fold(servers[0].name)
    of_cut = tuple(one for one in servers if fold(one.name) == cut)
    targets = {fold(one.data) for one in of_cut}
    glue = tuple(
        one
        for one in response.additional
        if one.type in ("A", "AAAA") and fold(one.name) in targets and is_within(one.name, zone)
    )
    return Referral(cut, of_cut, glue)


def _evidence(response: Message, zone: str) -> tuple[ResourceRecord, ...]:
    """Signatures, and denials."""
    return tuple(
        one
        for one in (*response.answers, *response.authority)
        if one.type in ("RRSIG", "NSEC") and is_within(one.name, zone)
    )


def _soa(response: Message, name: str, zone: str) -> ResourceRecord | None:
    soas = (
        one
        for one in response.authority
        if one.type == "SOA" and is_within(name, one.name) and is_within(one.name, zone)
    )
    return next(soas, None)
