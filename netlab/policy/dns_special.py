"""Names that a resolver answers by itself, and never asks a name server for (RFC 6761, RFC 6303)."""

from __future__ import annotations

from netlab.policy.dns_iteration import Result
from netlab.proto.dns import Question, ResourceRecord, record
from netlab.proto.dns_names import fold, is_within

_TTL_S = 604_800
_LOOPBACK = {"A": "127.0.0.1", "AAAA": "::1"}
_REVERSE = ("1.0.0.127.in-addr.arpa", ".".join(["1", *"0" * 31, "ip6.arpa"]))


def special(question: Question) -> Result | None:
    """`localhost` and below it are this host, in both directions; `invalid` does not exist."""
    name = fold(question.name)
    if is_within(name, "invalid"):
        return Result("NXDOMAIN", authority=(_soa("invalid"),))
    if is_within(name, "localhost"):
        data = _LOOPBACK.get(question.type)
        if data is None:
            return Result("NOERROR", authority=(_soa("localhost"),))
        return Result("NOERROR", (ResourceRecord(question.name, question.type, _TTL_S, data),))
    if name in _REVERSE:
        if question.type != "PTR":
            return Result("NOERROR", authority=(_soa(name),))
        return Result("NOERROR", (ResourceRecord(question.name, "PTR", _TTL_S, "localhost."),))
    return None


def _soa(zone: str) -> ResourceRecord:
    return record(f"{zone}.", "SOA", _TTL_S, "localhost. nobody.invalid. 1 3600 1200 604800 10800")
