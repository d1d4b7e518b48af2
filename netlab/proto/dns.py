"""DNS messages (RFC 1035) to and from bytes, in a small vocabulary of our own over dnspython.

Names are text without the final dot (`netlab.proto.dns_names`); record data is text as in a zone file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from netlab.errors import InputError, LocalProtocolError, RemoteProtocolError
from netlab.proto.dns_edns import ExtendedError, Subnet, from_options, to_options
from netlab.proto.dns_names import ROOT, fold

PLAIN_UDP_BYTES = 512  # RFC 1035, 4.2.1: without EDNS no UDP message is longer
EDNS_UDP_BYTES = 1232  # what fits any path without fragments (RFC 9715 and the DNS flag day of 2020)
_HEADER_BYTES = 12
_FRAME_LIMIT = 65_535
_REMEMBERED = 2048

Rcode = Literal[
    "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "NOTAUTH", "BADVERS"
]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. `name` keeps the case in which it was asked; the answer repeats it."""

    name: str
    type: str = "A"
    cls: str = "IN"

    @property
    def key(self) -> tuple[str, str, str]:
        """Equal for questions that mean the same."""
        return (fold(self.name), self.type, self.cls)


@dataclass(frozen=True, slots=True)
class ResourceRecord:
    """`ttl` in seconds. `data` in presentation form; names in it end with a dot, as in a zone file."""

    name: str
    type: str
    ttl: int
    data: str


@dataclass(frozen=True, slots=True)
class Message:
    """A query or a response (RFC 1035, 4.1).

    `rcode` and `opcode` are names ("NXDOMAIN", "QUERY"). `edns_bytes`: the UDP size that the sender
    takes (RFC 6891), None without EDNS, and then there is none of the fields below it. Of a message with
    another opcode than QUERY only the header is read.

    `authentic`: AD, the data was validated. `checking_disabled`: CD, the asker validates by itself.
    `dnssec_ok`: DO, the asker wants signatures. `subnet`: for or from whom (RFC 7871). `errors`: why.
    """

    id: int
    question: Question | None = None
    response: bool = False
    opcode: str = "QUERY"
    rcode: str = "NOERROR"
    authoritative: bool = False
    truncated: bool = False
    recursion_desired: bool = False
    recursion_available: bool = False
    answers: tuple[ResourceRecord, ...] = ()
    authority: tuple[ResourceRecord, ...] = ()
    additional: tuple[ResourceRecord, ...] = ()
    authentic: bool = False
    checking_disabled: bool = False
    edns_bytes: int | None = None
    edns_version: int = 0
    dnssec_ok: bool = False
    subnet: Subnet | None = None
    errors: tuple[ExtendedError, ...] = ()

    @property
    def udp_limit(self) -> int:
        """The longest UDP response that the sender of this query takes, in bytes."""
        offered = PLAIN_UDP_BYTES if self.edns_bytes is None else max(self.edns_bytes, PLAIN_UDP_BYTES)
        return min(offered, EDNS_UDP_BYTES)


def reply(query: Message, rcode: Rcode, *, recursion_available: bool = False) -> Message:
    """A response to `query` without records: same id, question, RD and CD; EDNS and DO if the query has
    them (RFC 6891 section 6.1.1, RFC 3225 section 3)."""
    return Message(
        query.id,
        query.question,
        response=True,
        opcode=query.opcode,
        rcode=rcode,
        recursion_desired=query.recursion_desired,
        recursion_available=recursion_available,
        checking_disabled=query.checking_disabled,
        edns_bytes=None if query.edns_bytes is None else EDNS_UDP_BYTES,
        dnssec_ok=query.dnssec_ok,
    )


def record(name: str, type_: str, ttl: int, data: str, origin: str = ROOT) -> ResourceRecord:
    """A record as a zone file has it: names without a final dot are below `origin`, `@` is `origin`.

    Raises InputError where the name, type or data is none.
    """
    try:
        zone = dns.name.from_text(origin)
        owner = dns.name.from_text(name, zone)
        rdata = dns.rdata.from_text("IN", type_, data, origin=zone, relativize=False)
        text = rdata.to_text()
    except (dns.exception.DNSException, ValueError) as error:
        raise InputError(f"record {name} {type_} {data!r} of zone {origin}: {_cause(error)}") from error
    return ResourceRecord(_name(owner), type_, ttl, text)


def decode(data: bytes) -> Message:
    """The message in `data`, a whole datagram or TCP frame. Raises RemoteProtocolError."""
    if len(data) < _HEADER_BYTES:
        raise RemoteProtocolError(f"DNS message of {len(data)} bytes is shorter than its header")
    if len(data) > PLAIN_UDP_BYTES:
        return _decode(data)
    return replace(_decode_again(bytes(2) + data[2:]), id=int.from_bytes(data[:2], "big"))


def _decode(data: bytes) -> Message:
    flags = int.from_bytes(data[2:4], "big")
    if dns.opcode.from_flags(flags) != dns.opcode.QUERY:
        return _header(data, flags)
    try:
        wire = dns.message.from_wire(data, one_rr_per_rrset=True)
        return _from_wire(wire)
    except (dns.exception.DNSException, ValueError, NotImplementedError) as error:
        raise RemoteProtocolError(f"malformed DNS message: {_cause(error)}") from error


def encode(message: Message, limit: int = _FRAME_LIMIT) -> bytes:
    """At most `limit` bytes: what doesn't fit is left out, and TC set unless it is additional (RFC 2181, 9).

    Raises LocalProtocolError where the message can't be written.
    """
    if limit > EDNS_UDP_BYTES:
        return _encode(message, limit)
    return message.id.to_bytes(2, "big") + _encode_again(replace(message, id=0), limit)[2:]


def _encode(message: Message, limit: int) -> bytes:
    try:
        wire = _to_wire(message)
        return wire.to_wire(max_size=limit, prefer_truncation=True, want_shuffle=False)
    except (dns.exception.DNSException, ValueError) as error:
        raise LocalProtocolError(f"DNS message can't be written: {_cause(error)}") from error


# The same questions come again and again, but for their ids; dnspython takes its time. Only of short
# messages, so that memory is bounded.
_decode_again = lru_cache(_REMEMBERED)(_decode)
_encode_again = lru_cache(_REMEMBERED)(_encode)


def format_error(data: bytes) -> bytes | None:
    """The FORMERR response to a query that doesn't decode (RFC 1035, 4.1.1); None where it can't be one."""
    if len(data) < _HEADER_BYTES or data[2] & 0x80:
        return None
    flags = int.from_bytes(data[2:4], "big")
    return encode(replace(_header(data, flags), response=True, rcode="FORMERR"))


@dataclass(slots=True)
class FrameCodec:
    """Messages over TCP, each after its length in two bytes (RFC 1035, 4.2.2; RFC 7766, 8)."""

    _pending: bytearray = field(default_factory=bytearray)

    def receive(self, data: bytes) -> list[bytes]:
        """The messages that are whole now, undecoded, so that a server can answer a malformed one.

        b"" is the end of file. Raises RemoteProtocolError where it comes inside of a message.
        """
        if not data:
            if self._pending:
                raise RemoteProtocolError(f"DNS over TCP ended with {len(self._pending)} bytes of a message")
            return []
        self._pending += data
        messages = []
        while (end := self._frame_end()) is not None:
            messages.append(bytes(self._pending[2:end]))
            del self._pending[:end]
        return messages

    def _frame_end(self) -> int | None:
        if len(self._pending) < 2:
            return None
        end = 2 + int.from_bytes(self._pending[:2], "big")
        return end if len(self._pending) >= end else None

    def send(self, message: bytes) -> bytes:
        """Raises LocalProtocolError past 65,535 bytes."""
        if len(message) > _FRAME_LIMIT:
            raise LocalProtocolError(f"a DNS message of {len(message)} bytes does not fit a TCP frame")
        return len(message).to_bytes(2, "big") + message

    def buffered(self) -> int:
        """Bytes of a message that is not whole yet."""
        return len(self._pending)


def _cause(error: Exception) -> str:
    return str(error) or type(error).__name__


def _name(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True)


def _header(data: bytes, flags: int) -> Message:
    return Message(
        int.from_bytes(data[:2], "big"),
        response=bool(flags & dns.flags.QR),
        opcode=dns.opcode.to_text(dns.opcode.from_flags(flags)),
        rcode=dns.rcode.to_text(dns.rcode.from_flags(flags, 0)),
        recursion_desired=bool(flags & dns.flags.RD),
    )


def _from_wire(wire: dns.message.Message) -> Message:
    if len(wire.question) > 1:  # RFC 9619
        raise RemoteProtocolError(f"DNS message with {len(wire.question)} questions")
    subnet, errors = from_options(wire.options)
    return Message(
        wire.id,
        _question(wire.question[0]) if wire.question else None,
        response=bool(wire.flags & dns.flags.QR),
        rcode=dns.rcode.to_text(wire.rcode()),
        authoritative=bool(wire.flags & dns.flags.AA),
        truncated=bool(wire.flags & dns.flags.TC),
        recursion_desired=bool(wire.flags & dns.flags.RD),
        recursion_available=bool(wire.flags & dns.flags.RA),
        answers=_records(wire.answer),
        authority=_records(wire.authority),
        additional=_records(wire.additional),
        authentic=bool(wire.flags & dns.flags.AD),
        checking_disabled=bool(wire.flags & dns.flags.CD),
        edns_bytes=int(wire.payload) if wire.edns >= 0 else None,
        edns_version=max(wire.edns, 0),
        dnssec_ok=bool(wire.ednsflags & dns.flags.DO),
        subnet=subnet,
        errors=errors,
    )


def _question(rrset: dns.rrset.RRset) -> Question:
    return Question(
        _name(rrset.name), dns.rdatatype.to_text(rrset.rdtype), dns.rdataclass.to_text(rrset.rdclass)
    )


def _records(section: list[dns.rrset.RRset]) -> tuple[ResourceRecord, ...]:
    """Records of class IN; netlab knows no other, and ignores them."""
    return tuple(
        ResourceRecord(_name(rrset.name), dns.rdatatype.to_text(rrset.rdtype), rrset.ttl, rdata.to_text())
        for rrset in section
        if rrset.rdclass == dns.rdataclass.IN
        for rdata in rrset
    )


def _to_wire(message: Message) -> dns.message.Message:
    wire: dns.message.Message = dns.message.QueryMessage(message.id)
    wire.flags = _flags(message)
    if message.edns_bytes is not None:
        wire.use_edns(
            message.edns_version,
            int(dns.flags.DO) if message.dnssec_ok else 0,
            message.edns_bytes,
            options=to_options(message.subnet, message.errors),
        )
    wire.set_rcode(dns.rcode.from_text(message.rcode))
    if message.question is not None:
        asked = message.question
        wire.question.append(dns.rrset.RRset(_absolute(asked.name), *_type_and_class(asked)))
    wire.answer.extend(_rrsets(message.answers))
    wire.authority.extend(_rrsets(message.authority))
    wire.additional.extend(_rrsets(message.additional))
    return wire


def _type_and_class(asked: Question) -> tuple[dns.rdataclass.RdataClass, dns.rdatatype.RdataType]:
    return dns.rdataclass.from_text(asked.cls), dns.rdatatype.from_text(asked.type)


def _flags(message: Message) -> int:
    flags = int(dns.opcode.to_flags(dns.opcode.from_text(message.opcode)))
    for is_set, bit in (
        (message.response, dns.flags.QR),
        (message.authoritative, dns.flags.AA),
        (message.truncated, dns.flags.TC),
        (message.recursion_desired, dns.flags.RD),
        (message.recursion_available, dns.flags.RA),
        (message.authentic, dns.flags.AD),
        (message.checking_disabled, dns.flags.CD),
    ):
        flags |= int(bit) if is_set else 0
    return flags


def _absolute(name: str) -> dns.name.Name:
    return dns.name.from_text(name, dns.name.root)


def _rrsets(records: tuple[ResourceRecord, ...]) -> list[dns.rrset.RRset]:
    """Records of one name and type become one set, because truncation keeps or drops whole sets."""
    return [rrset_of(members) for members in record_sets(records)]


def record_sets(records: Iterable[ResourceRecord]) -> list[list[ResourceRecord]]:
    """By name and type, in the order of their first records; signatures by the type that they cover."""
    sets: dict[tuple[str, str, str], list[ResourceRecord]] = {}
    for one in records:
        covered = one.data.split(maxsplit=1)[0] if one.type == "RRSIG" else ""
        sets.setdefault((fold(one.name), one.type, covered), []).append(one)
    return list(sets.values())


def rrset_of(members: Sequence[ResourceRecord]) -> dns.rrset.RRset:
    """One record set as dnspython has it, with the lowest TTL of its records (RFC 2181, 5.2)."""
    first = members[0]
    rdatas = [
        dns.rdata.from_text("IN", first.type, one.data, origin=dns.name.root, relativize=False)
        for one in members
    ]
    return dns.rrset.from_rdata_list(_absolute(first.name), min(one.ttl for one in members), rdatas)
