"""What a response means, and which records of it are believed."""

from __future__ import annotations

from netlab.policy.dns_response import Alias, Answer, Lame, Negative, Referral, understand
from netlab.proto.dns import Message, Question, ResourceRecord

ASKED = Question("www.example.com")
A = ResourceRecord("www.example.com", "A", 60, "192.0.2.1")
SOA = ResourceRecord("example.com", "SOA", 60, "ns.example.com. root.example.com. 1 2 3 4 60")
NS = ResourceRecord("example.com", "NS", 60, "ns.example.com.")
GLUE = ResourceRecord("ns.example.com", "A", 60, "198.51.100.3")
FOREIGN = ResourceRecord("bank.example.net", "A", 60, "203.0.113.66")
ALIAS = ResourceRecord("www.example.com", "CNAME", 60, "bank.example.net.")


def response(
    answers: tuple[ResourceRecord, ...] = (),
    authority: tuple[ResourceRecord, ...] = (),
    additional: tuple[ResourceRecord, ...] = (),
    *,
    rcode: str = "NOERROR",
    authoritative: bool = True,
) -> Message:
    return Message(
        1,
        ASKED,
        response=True,
        rcode=rcode,
        authoritative=authoritative,
        answers=answers,
        authority=authority,
        additional=additional,
    )


def test_an_answer() -> None:
    assert understand(response((A,)), ASKED, "example.com") == Answer((A,))


def test_only_records_of_the_question_are_taken() -> None:
    assert understand(response((A, FOREIGN)), ASKED, "example.com") == Answer((A,))


def test_records_of_another_zone_are_not_believed() -> None:
    """The alias leads out of the zone; the address that the server offers along with it is dropped."""
    outcome = understand(response((ALIAS, FOREIGN)), ASKED, "example.com")
    assert outcome == Alias((ALIAS,), "bank.example.net")


def test_an_alias_in_the_zone_is_followed() -> None:
    alias = ResourceRecord("www.example.com", "CNAME", 60, "web.example.com.")
    web = ResourceRecord("WEB.example.com", "A", 60, "192.0.2.1")
    assert understand(response((web, alias)), ASKED, "example.com") == Answer((alias, web))


def test_a_referral_down() -> None:
    outcome = understand(response((), (NS,), (GLUE, FOREIGN), authoritative=False), ASKED, "com")
    assert outcome == Referral("example.com", (NS,), (GLUE,))


def test_glue_outside_of_the_zone_is_not_believed() -> None:
    servers = ResourceRecord("example.com", "NS", 60, "bank.example.net.")
    outcome = understand(response((), (servers,), (FOREIGN,), authoritative=False), ASKED, "com")
    assert outcome == Referral("example.com", (servers,), ())


def test_a_referral_up_or_sideways_is_lame() -> None:
    for owner in (".", "com", "example.com", "example.org"):
        servers = ResourceRecord(owner, "NS", 60, "ns.example.com.")
        outcome = understand(response((), (servers,), authoritative=False), ASKED, "example.com")
        assert isinstance(outcome, Lame), owner


def test_negative_answers() -> None:
    missing = understand(response((), (SOA,), rcode="NXDOMAIN"), ASKED, "example.com")
    assert missing == Negative((), "www.example.com", "NXDOMAIN", SOA)
    assert understand(response((), (SOA,)), ASKED, "example.com") == Negative(
        (), "www.example.com", "NOERROR", SOA
    )


def test_the_soa_of_another_zone_is_not_believed() -> None:
    foreign = ResourceRecord("net", "SOA", 60, SOA.data)
    above = ResourceRecord("com", "SOA", 60, SOA.data)
    outcome = understand(response((), (foreign, above), rcode="NXDOMAIN"), ASKED, "example.com")
    assert outcome == Negative((), "www.example.com", "NXDOMAIN", None)


def test_what_is_of_no_use_is_lame() -> None:
    assert isinstance(understand(response(rcode="SERVFAIL"), ASKED, "com"), Lame)
    assert isinstance(understand(response(rcode="REFUSED"), ASKED, "com"), Lame)
    assert isinstance(understand(response((A,), authoritative=False), ASKED, "com"), Lame)
    assert isinstance(understand(response(authoritative=False), ASKED, "com"), Lame)
