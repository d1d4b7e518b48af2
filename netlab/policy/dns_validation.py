"""A resolver's judgement of what servers say, by DNSSEC (RFC 4035 section 5), from the root's key down.

Like the way of a question it is a generator: it yields the DS and DNSKEY questions that it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from netlab.policy.dns_denial import denies_closer, denies_name, denies_type
from netlab.policy.dns_response import Alias, Answer, Negative
from netlab.proto.dns import Question, ResourceRecord, record_sets
from netlab.proto.dns_dnssec import Gap, depth, is_signed_by, matching_key, signature
from netlab.proto.dns_names import ROOT, ancestors, fold, is_within

_T = TypeVar("_T")
Steps = Generator[Any, Any, _T]
# Of one record set, one zone, and one answer: each costs a verification (CVE-2023-50387, KeyTrap).
SIGNATURE_LIMIT, KEY_LIMIT, GAP_LIMIT = 4, 8, 8
Ask = Callable[[Question], Steps[Answer | Alias | Negative | None]]  # unjudged


class BogusError(Exception):
    """What a server said is not what the zone's owner has signed."""


@dataclass(frozen=True, slots=True)
class Secure:
    """A zone whose keys are believed."""

    zone: str
    keys: tuple[ResourceRecord, ...]


@dataclass(slots=True)
class Validator:
    """`anchor`: the DNSKEY records of the root. `now`: seconds since the epoch."""

    anchor: tuple[ResourceRecord, ...]
    now: Callable[[], float]
    ask: Ask

    def judge(self, outcome: Answer | Alias | Negative, question: Question) -> Steps[bool]:
        """True: signed by a chain from the anchor. False: of a zone that is provably not signed.

        Raises BogusError.
        """
        secure = True
        for members in record_sets(_own(outcome.records)):
            secure = (yield from self._signed(members, outcome.evidence)) and secure
        if isinstance(outcome, Negative):
            secure = (yield from self._denied(outcome, question)) and secure
        return secure

    def _signed(self, members: list[ResourceRecord], evidence: Sequence[ResourceRecord]) -> Steps[bool]:
        owner, type_ = members[0].name, members[0].type
        signatures = _signatures(evidence, owner, type_)
        if not signatures:
            standing = yield from self._standing(owner)
            if standing is not None:
                raise BogusError(f"{owner} {type_} is not signed, and zone {standing.zone} is")
            return False
        for one in signatures:
            told = signature(one)
            standing = yield from self._standing(told.signer)
            if standing is None:
                return False
            if standing.zone != told.signer or not is_within(owner, told.signer):
                continue
            if not is_signed_by(members, one, standing.keys, self.now()):
                continue
            if told.labels >= depth(owner) or denies_closer(owner, self._gaps(evidence, standing)):
                return True
        raise BogusError(f"no signature of {owner} {type_} is right")

    def _denied(self, negative: Negative, question: Question) -> Steps[bool]:
        zone = negative.soa.name if negative.soa is not None else negative.name
        standing = yield from self._standing(zone)
        if standing is None:
            return False
        gaps = self._gaps(negative.evidence, standing)
        if negative.rcode == "NXDOMAIN":
            proved = denies_name(negative.name, gaps)
        else:
            proved = denies_type(negative.name, question.type, gaps)
        if not proved:
            raise BogusError(f"nothing proves that {negative.name} {question.type} is not there")
        return True

    def _gaps(self, evidence: Iterable[ResourceRecord], standing: Secure) -> tuple[Gap, ...]:
        """The denials that the zone has signed."""
        records = tuple(evidence)
        denials = islice((one for one in records if one.type == "NSEC"), GAP_LIMIT)
        return tuple(
            Gap.of(one)
            for one in denials
            if any(
                signature(rrsig).signer == standing.zone
                and is_signed_by([one], rrsig, standing.keys, self.now())
                for rrsig in _signatures(records, one.name, "NSEC")
            )
        )

    def _standing(self, name: str) -> Steps[Secure | None]:
        """The zone that holds `name`, from the root down; None where it is provably not signed."""
        standing = Secure(ROOT, self.anchor)
        for below in reversed(ancestors(fold(name))[:-1]):
            outcome = yield from self.ask(Question(below, "DS"))
            if outcome is None:
                raise BogusError(f"no answer for {below} DS")
            if isinstance(outcome, Answer):
                standing = yield from self._entered(below, outcome, standing)
            elif isinstance(outcome, Negative) and self._leaves(below, outcome, standing):
                return None
            elif isinstance(outcome, Negative) and outcome.rcode == "NXDOMAIN":
                break  # nor is there anything below it (RFC 8020)
        return standing

    def _entered(self, zone: str, outcome: Answer, parent: Secure) -> Steps[Secure]:
        """The zone below, whose key the parent's DS records vouch for."""
        digests = [one for one in outcome.records if one.type == "DS"]
        if not self._by(parent, digests, outcome.evidence):
            raise BogusError(f"the DS of {zone} is not signed by {parent.zone}")
        found = yield from self.ask(Question(zone, "DNSKEY"))
        keys = tuple(one for one in found.records if one.type == "DNSKEY") if found is not None else ()
        if len(keys) > KEY_LIMIT:
            raise BogusError(f"{zone} has more than {KEY_LIMIT} keys")
        key = matching_key(digests, keys)
        if found is None or key is None or not self._by(Secure(zone, (key,)), keys, found.evidence):
            raise BogusError(f"the keys of {zone} are not proved by its DS")
        return Secure(zone, keys)

    def _by(
        self, standing: Secure, members: Sequence[ResourceRecord], evidence: Iterable[ResourceRecord]
    ) -> bool:
        return bool(members) and any(
            signature(one).signer == standing.zone and is_signed_by(members, one, standing.keys, self.now())
            for one in _signatures(evidence, members[0].name, members[0].type)
        )

    def _leaves(self, name: str, outcome: Negative, standing: Secure) -> bool:
        """Whether `name` is a delegation to a zone without signatures. Raises BogusError without a proof."""
        gaps = self._gaps(outcome.evidence, standing)
        own = next((gap for gap in gaps if gap.owner == name), None)
        if own is not None:
            return "NS" in own.types and "SOA" not in own.types and "DS" not in own.types
        if any(gap.covers(name) for gap in gaps):
            return False  # not there, empty, or a wildcard's: no cut
        raise BogusError(f"nothing proves that {name} has no DS")


def _own(records: Iterable[ResourceRecord]) -> list[ResourceRecord]:
    """Without the CNAMEs that a DNAME among them makes: these are not signed (RFC 6672 section 5.3.1)."""
    found = tuple(records)
    above = [one.name for one in found if one.type == "DNAME"]
    return [
        one
        for one in found
        if one.type != "CNAME"
        or not any(is_within(one.name, name) and fold(one.name) != fold(name) for name in above)
    ]


def _signatures(evidence: Iterable[ResourceRecord], owner: str, type_: str) -> list[ResourceRecord]:
    found = (
        one
        for one in evidence
        if one.type == "RRSIG" and fold(one.name) == fold(owner) and signature(one).covered == type_
    )
    return list(islice(found, SIGNATURE_LIMIT))
