"""DNSSEC: zones that are signed, a resolver that validates, and every way in which it must not believe."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from netlab.model.roles import Record, Zone
from netlab.policy import dns_validation
from netlab.policy.dns_denial import denies_closer, denies_name, denies_type
from netlab.policy.dns_recursion import FAILURE_TTL_S, Done, Recursion
from netlab.policy.dns_signing import Signing
from netlab.policy.dns_zone import Authority
from netlab.proto.dns import Message, Question, ResourceRecord, decode, encode
from netlab.proto.dns_dnssec import Gap, dnskey, is_signed_by, new_key, signature
from netlab.proto.dns_edns import DNSSEC_BOGUS
from tests.unit.policy.test_dns_recursion import COM_AT, EXAMPLE_AT, OTHER_AT, ROOT_AT, World

NOW = 1_800_000_000  # seconds since the epoch
SIGNED = (".", "com", "example.com", "bogus.com", "old.com")
KEYS = {name: new_key() for name in SIGNED}


def zone(name: str, *records: tuple[str, str, str], **fields: object) -> Zone:
    made = tuple(Record.model_validate({"name": one[0], "type": one[1], "data": one[2]}) for one in records)
    return Zone.model_validate({"name": name, "records": made, "dnssec": name in SIGNED, **fields})


def authority(*zones: Zone, spoilt: str = "", expired: str = "") -> Authority:
    keys = {one.name: KEYS[one.name][0] for one in zones if one.dnssec}
    published = {name: public for name, (_, public) in KEYS.items()}
    ends = NOW - 3600, NOW + 86_400
    signing = Signing(keys, published, *ends, frozenset((spoilt,)), frozenset((expired,)))
    return Authority(zones, {}, None, signing)


ROOT = authority(
    zone(
        ".",
        ("@", "NS", "a.root."),
        ("a.root.", "A", ROOT_AT),
        ("com", "NS", "ns.com."),
        ("ns.com.", "A", COM_AT),
    )
)
COM = authority(
    zone(
        "com",
        ("@", "NS", "ns"),
        ("ns", "A", COM_AT),
        *((child, "NS", f"ns.{child}") for child in ("example", "plain", "bogus", "old")),
        ("ns.example", "A", EXAMPLE_AT),
        *((f"ns.{child}", "A", OTHER_AT) for child in ("plain", "bogus", "old")),
    )
)
EXAMPLE = authority(
    zone(
        "example.com",
        ("@", "NS", "ns"),
        ("ns", "A", EXAMPLE_AT),
        ("api", "A", "192.0.2.10"),
        ("api", "A", "192.0.2.11"),
        ("www", "CNAME", "api"),
        ("out", "CNAME", "www.plain.com."),
        ("host.empty", "A", "192.0.2.12"),
        ("*.wild", "A", "192.0.2.13"),
        ("moved", "DNAME", "wild"),
    )
)
OTHER = authority(
    zone("plain.com", ("www", "A", "192.0.2.20")),
    zone("bogus.com", ("www", "A", "192.0.2.30")),
    zone("old.com", ("www", "A", "192.0.2.40")),
    spoilt="bogus.com",
    expired="old.com",
)
Change = Callable[[Message], Message]


def world(change: Change | None = None) -> World:
    """`change`: what becomes of the responses of example.com's server on their way."""
    made = World()
    for address, server in ((ROOT_AT, ROOT), (COM_AT, COM), (OTHER_AT, OTHER)):
        made.servers[address] = lambda query, to=server: to.answer(query, "10.0.0.53")  # type: ignore[misc]
    made.servers[EXAMPLE_AT] = lambda query: (change or (lambda one: one))(EXAMPLE.answer(query, "10.0.0.53"))
    anchor = (dnskey(".", KEYS["."][1], 0),)
    made.resolver = Recursion((ROOT_AT,), made.rng, (4,), anchor=anchor, epoch=NOW - made.now)
    return made


def resolve(made: World, name: str, type_: str = "A", *, checks: bool = True) -> Done:
    made.resolver.ask(Question(name, type_), made.now, checks=checks)
    (done,) = made.pump()
    return done


@pytest.mark.parametrize(
    ("name", "type_", "rcode", "authentic"),
    [
        ("api.example.com", "A", "NOERROR", True),
        ("www.example.com", "A", "NOERROR", True),
        ("x.wild.example.com", "A", "NOERROR", True),
        ("x.moved.example.com", "A", "NOERROR", True),
        ("example.com", "DNSKEY", "NOERROR", True),
        ("example.com", "DS", "NOERROR", True),
        ("none.example.com", "A", "NXDOMAIN", True),
        ("a.b.c.example.com", "A", "NXDOMAIN", True),
        ("none.com", "A", "NXDOMAIN", True),
        ("api.example.com", "AAAA", "NOERROR", True),
        ("empty.example.com", "A", "NOERROR", True),
        ("x.wild.example.com", "AAAA", "NOERROR", True),
        ("www.plain.com", "A", "NOERROR", False),
        ("none.plain.com", "A", "NXDOMAIN", False),
        ("out.example.com", "A", "NOERROR", False),
        ("www.bogus.com", "A", "SERVFAIL", False),
        ("none.bogus.com", "A", "SERVFAIL", False),
        ("www.old.com", "A", "SERVFAIL", False),
    ],
)
def test_what_is_signed_is_proved_and_nothing_else(
    name: str, type_: str, rcode: str, authentic: bool
) -> None:
    made = world()
    done = resolve(made, name, type_)
    assert (done.result.rcode, done.result.authentic) == (rcode, authentic), done.result
    bogus = [one.code for one in done.result.errors if one.code == DNSSEC_BOGUS]
    assert bool(bogus) == (rcode == "SERVFAIL"), done.result
    asked = len(made.asked)
    again = resolve(made, name, type_)
    assert (again.result.rcode, again.result.authentic, len(made.asked)) == (rcode, authentic, asked)


def test_what_is_below_a_proved_denial_is_proved_too() -> None:
    made = world()
    assert resolve(made, "none.example.com").result.authentic
    asked = len(made.asked)
    below = resolve(made, "a.none.example.com")
    assert (below.result.rcode, below.result.authentic, len(made.asked)) == ("NXDOMAIN", True, asked)


def without(type_: str, covered: str = "") -> Change:
    """Records of this type are left out (signatures: of the one covered)."""

    def kept(one: ResourceRecord) -> bool:
        return one.type != type_ or bool(covered and signature(one).covered != covered)

    return lambda message: replace(
        message,
        answers=tuple(filter(kept, message.answers)),
        authority=tuple(filter(kept, message.authority)),
    )


def forged(message: Message) -> Message:
    return replace(
        message,
        answers=tuple(
            replace(one, data="203.0.113.66") if one.type == "A" else one for one in message.answers
        ),
    )


def gone(message: Message) -> Message:
    """Names that exist are said not to, with a proof about another name."""
    if message.question is None or message.question.name != "api.example.com":
        return message
    query = Message(1, Question("zzz.example.com"), edns_bytes=1232, dnssec_ok=True)
    other = EXAMPLE.answer(query, "10.0.0.53")
    return replace(message, rcode="NXDOMAIN", answers=(), authority=other.authority)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (forged, "api.example.com"),
        (without("RRSIG"), "api.example.com"),
        (without("RRSIG", "A"), "www.example.com"),
        (without("RRSIG", "CNAME"), "www.example.com"),
        (without("NSEC"), "none.example.com"),
        (without("RRSIG", "NSEC"), "none.example.com"),
        (without("NSEC"), "x.wild.example.com"),
        (without("NSEC"), "empty.example.com"),
        (without("DNSKEY"), "api.example.com"),
        (gone, "api.example.com"),
    ],
)
def test_what_was_changed_on_its_way_is_not_believed(change: Change, name: str) -> None:
    made = world(change)
    done = resolve(made, name)
    assert (done.result.rcode, done.result.answers) == ("SERVFAIL", ()), done.result
    open_ = resolve(made, name, checks=False)
    assert open_.result.rcode != "SERVFAIL", "who checks by itself (CD) gets it as it is"
    assert not open_.result.authentic
    made.now += FAILURE_TTL_S
    assert resolve(made, name).result.rcode == "SERVFAIL", "what CD brought is not believed later"


def test_work_for_one_answer_is_bounded() -> None:
    """KeyTrap: signatures and keys without end, each of which must be tried."""
    checked: list[ResourceRecord] = []

    def flood(message: Message) -> Message:
        good = [one for one in message.answers if one.type == "RRSIG"]
        if not good or message.question is None or message.question.type != "A":
            return message
        told = " ".join(good[0].data.split()[:8])
        bad = (
            replace(good[0], data=f"{told} {b64encode(number.to_bytes(64)).decode()}")
            for number in range(300)
        )
        others = tuple(one for one in message.answers if one.type != "RRSIG")
        return replace(message, answers=(*others, *bad, *good))

    def counted(records: Any, rrsig: ResourceRecord, keys: Any, now: float) -> bool:
        checked.append(rrsig)
        return is_signed_by(records, rrsig, keys, now)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dns_validation, "is_signed_by", counted)
        done = resolve(world(flood), "api.example.com")
    assert done.result.rcode == "SERVFAIL", "the right one is among too many"
    of_answer = [one for one in checked if signature(one).covered == "A"]
    assert 0 < len(of_answer) <= dns_validation.SIGNATURE_LIMIT


def test_signatures_go_to_those_who_want_them() -> None:
    query = Message(5, Question("api.example.com"), edns_bytes=4096)
    assert {one.type for one in EXAMPLE.answer(query, "10.0.0.1").answers} == {"A"}
    signed = decode(encode(EXAMPLE.answer(replace(query, dnssec_ok=True), "10.0.0.1")))
    assert [one.type for one in signed.answers] == ["A", "A", "RRSIG"]
    told = signature(signed.answers[-1])
    assert (told.covered, told.labels, told.signer) == ("A", 3, "example.com")
    assert signed.dnssec_ok


def test_a_referral_says_whether_the_zone_below_is_signed() -> None:
    def below(name: str) -> set[tuple[str, str]]:
        query = Message(5, Question(name), edns_bytes=4096, dnssec_ok=True)
        return {(one.type, one.name) for one in COM.answer(query, "10.0.0.1").authority}

    assert ("DS", "example.com") in below("api.example.com")
    assert ("RRSIG", "example.com") in below("api.example.com")
    plain = below("www.plain.com")
    assert {("NSEC", "plain.com"), ("RRSIG", "plain.com")} <= plain
    assert ("DS", "plain.com") not in plain


def test_what_a_gap_denies() -> None:
    gaps = [
        Gap("example.com", "api.example.com", frozenset(("NS", "SOA"))),
        Gap("www.example.com", "example.com", frozenset(("CNAME",))),
        Gap("api.example.com", "a.deep.example.com", frozenset(("A",))),
        Gap("shop.example.com", "www.example.com", frozenset(("NS",))),
    ]
    assert denies_name("zzz.example.com", gaps)
    assert denies_name("zzz.example.com", gaps[:2])
    assert not denies_name("zzz.example.com", gaps[1:2]), "a wildcard might answer"
    assert not denies_name("api.example.com", gaps)
    assert denies_type("api.example.com", "AAAA", gaps)
    assert not denies_type("api.example.com", "A", gaps)
    assert not denies_type("www.example.com", "A", gaps), "an alias has all types"
    assert denies_type("deep.example.com", "A", gaps), "empty, as there is a name below it"
    assert denies_type("shop.example.com", "DS", gaps)
    assert not denies_type("shop.example.com", "A", gaps), "the parent does not know"
    assert denies_closer("zzz.example.com", gaps)
    assert Gap("www.example.com", "example.com", frozenset()).covers("zzz.example.com")
    assert not Gap("api.example.com", "www.example.com", frozenset()).covers("zzz.example.com")
