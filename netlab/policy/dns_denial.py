"""What NSEC records prove (RFC 4035 section 5.4)."""

from __future__ import annotations

from collections.abc import Sequence

from netlab.proto.dns_dnssec import Gap
from netlab.proto.dns_names import ROOT, fold, is_within, labels


def denies_name(name: str, gaps: Sequence[Gap]) -> bool:
    """Neither the name is there, nor a wildcard that would answer for it."""
    wildcard = _wildcard(name, gaps)
    return wildcard is not None and any(gap.covers(wildcard) for gap in gaps)


def denies_type(name: str, type_: str, gaps: Sequence[Gap]) -> bool:
    """The name is there without the type; or it is empty; or the wildcard that answers lacks the type."""
    folded = fold(name)
    if any(gap.owner == folded and _lacks(gap, type_) for gap in gaps):
        return True
    if any(gap.covers(folded) and is_within(gap.following, folded) for gap in gaps):
        return True
    wildcard = _wildcard(name, gaps)
    return any(gap.owner == wildcard and _lacks(gap, type_) for gap in gaps)


def denies_closer(name: str, gaps: Sequence[Gap]) -> bool:
    """The name itself is not there, so that a wildcard may answer."""
    return any(gap.covers(fold(name)) for gap in gaps)


def _lacks(gap: Gap, type_: str) -> bool:
    """A gap at a cut is the parent's, which knows of nothing but the DS (RFC 6840 section 4.4)."""
    of_parent = "NS" in gap.types and "SOA" not in gap.types
    return type_ not in gap.types and "CNAME" not in gap.types and (type_ == "DS" or not of_parent)


def _wildcard(name: str, gaps: Sequence[Gap]) -> str | None:
    """At the closest encloser of a name that is covered: what it has in common with the gap's ends."""
    gap = next((one for one in gaps if one.covers(fold(name))), None)
    if gap is None:
        return None
    closest = max((_common(fold(name), end) for end in (gap.owner, gap.following)), key=len)
    return ".".join(("*", *closest))


def _common(name: str, other: str) -> tuple[str, ...]:
    """The labels from the right that two names share."""
    one, two = labels(name) if name != ROOT else (), labels(other) if other != ROOT else ()
    count = 0
    while count < min(len(one), len(two)) and one[-1 - count] == two[-1 - count]:
        count += 1
    return one[len(one) - count :]
