"""Queries that a server of any kind does not look up, and what it says to them."""

from __future__ import annotations

from netlab.proto.dns import Message, Rcode, reply

# Types of questions alone (RFC 6895 section 3.1), but ANY. OPT is no data (RFC 6891 section 6.1.1).
_TRANSFERS = frozenset(("AXFR", "IXFR"))
_OBSOLETE = frozenset(("MAILA", "MAILB"))
_NO_DATA = frozenset(("OPT", "TSIG", "TKEY"))


def refusal(query: Message, *, recursion_available: bool = False) -> Message | None:
    """The response to a query that is not to be looked up; None where it is.

    Another opcode is NOTIMP, a message without a question FORMERR (RFC 9619), a later EDNS BADVERS
    (RFC 6891 section 6.1.3); zones are transferred to nobody.
    """

    def with_rcode(rcode: Rcode) -> Message:
        return reply(query, rcode, recursion_available=recursion_available)

    if query.opcode != "QUERY":
        return with_rcode("NOTIMP")
    if query.edns_version > 0:
        return with_rcode("BADVERS")
    if query.question is None or query.question.type in _NO_DATA:
        return with_rcode("FORMERR")
    if query.question.type in _TRANSFERS:
        return with_rcode("REFUSED")
    if query.question.type in _OBSOLETE:
        return with_rcode("NOTIMP")
    return None
