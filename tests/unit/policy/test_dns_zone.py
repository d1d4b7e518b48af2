"""Authoritative answers: matches, aliases, referrals, negative answers, wildcards, locations."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from random import Random

import pytest

from netlab.errors import InputError
from netlab.model.roles import Record, Zone
from netlab.policy.dns_location import Locations
from netlab.policy.dns_zone import Authority
from netlab.proto.dns import Message, Question, decode, encode
from netlab.proto.dns_edns import Subnet

ROOT = Zone(
    name=".",
    records=(
        Record(name="@", type="NS", data="a.root."),
        Record(name="a.root.", type="A", data="198.51.100.1"),
        Record(name="com", type="NS", data="ns.com."),
        Record(name="ns.com.", type="A", data="198.51.100.2"),
        Record(name="ns.com.", type="AAAA", data="2001:db8::2"),
    ),
)
EXAMPLE = Zone(
    name="example.com",
    records=(
        Record(name="@", type="NS", data="ns1"),
        Record(name="ns1", type="A", data="198.51.100.3"),
        Record(name="www", type="CNAME", data="web.example.com."),
        Record(name="web", type="A", data="192.0.2.1", ttl=60),
        Record(name="web", type="A", data="192.0.2.2", ttl=60),
        Record(name="api", type="A", data="192.0.2.9", geo={"London": "192.0.2.10", "Tokyo": "192.0.2.20"}),
        Record(name="near", type="A", geo={"London": "192.0.2.10"}),
        Record(name="away", type="CNAME", data="cdn.example.net."),
        Record(name="gone", type="CNAME", data="nothing"),
        Record(name="loop-a", type="CNAME", data="loop-b"),
        Record(name="loop-b", type="CNAME", data="loop-a"),
        Record(name="host.deep", type="TXT", data='"deep"'),
        Record(name="*.wild", type="A", data="192.0.2.77"),
        Record(name="shop", type="NS", data="ns.shop"),
        Record(name="ns.shop", type="A", data="198.51.100.4"),
        Record(name="into-shop", type="CNAME", data="x.shop"),
    ),
)
LOCATIONS = {"203.0.113.0/24": "London", "203.0.113.128/25": "Tokyo", "2001:db8:1::/48": "Tokyo"}
SERVER = Authority((ROOT, EXAMPLE), LOCATIONS)


def ask(name: str, type_: str = "A", querier: str = "10.0.0.1", server: Authority = SERVER) -> Message:
    query = Message(5, Question(name, type_), recursion_desired=True, edns_bytes=4096)
    response = server.answer(query, querier)
    assert (response.id, response.response, response.question) == (5, True, query.question)
    assert response.recursion_desired, "RD is copied (RFC 1035, 4.1.1)"
    assert not response.recursion_available
    assert len(decode(encode(response)).answers) == len(response.answers), "it can be written"
    return response


def data(message: Message) -> list[str]:
    return [one.data for one in message.answers]


def test_an_exact_match_is_authoritative() -> None:
    response = ask("WEB.example.com")
    assert (response.rcode, response.authoritative) == ("NOERROR", True)
    assert data(response) == ["192.0.2.1", "192.0.2.2"]
    assert {one.ttl for one in response.answers} == {60}


def test_an_alias_is_followed_inside_the_zone() -> None:
    assert data(ask("www.example.com")) == ["web.example.com.", "192.0.2.1", "192.0.2.2"]


def test_the_alias_itself_can_be_asked() -> None:
    assert data(ask("www.example.com", "CNAME")) == ["web.example.com."]


def test_an_alias_out_of_the_zone_ends_there() -> None:
    response = ask("away.example.com")
    assert (data(response), response.rcode, response.authority) == (["cdn.example.net."], "NOERROR", ())


def test_an_alias_to_nothing_has_the_rcode_of_its_end() -> None:  # RFC 6604
    response = ask("gone.example.com")
    assert (data(response), response.rcode) == (["nothing.example.com."], "NXDOMAIN")
    assert [one.type for one in response.authority] == ["SOA"]


def test_aliases_in_a_circle_end() -> None:
    assert len(ask("loop-a.example.com").answers) == 2


def test_a_name_that_is_not_there_is_nxdomain_with_the_soa() -> None:
    response = ask("none.example.com")
    assert (response.rcode, response.authoritative, response.answers) == ("NXDOMAIN", True, ())
    (soa,) = response.authority
    assert (soa.name, soa.type) == ("example.com", "SOA")
    assert soa.data.startswith("ns1.example.com. hostmaster.example.com. ")
    assert soa.ttl == int(soa.data.split()[-1]) == 60


@pytest.mark.parametrize("name", ["web.example.com", "deep.example.com"])
def test_a_name_without_the_type_is_nodata(name: str) -> None:
    """`deep` has no record, but one below it: it exists (RFC 8020)."""
    response = ask(name, "AAAA")
    assert (response.rcode, response.answers) == ("NOERROR", ())
    assert [one.type for one in response.authority] == ["SOA"]


def test_a_delegation_is_a_referral_with_glue() -> None:
    only_root = Authority((ROOT,), {})
    response = ask("api.example.com", server=only_root)
    assert (response.rcode, response.authoritative, response.answers) == ("NOERROR", False, ())
    assert [(one.name, one.type, one.data) for one in response.authority] == [("com", "NS", "ns.com.")]
    assert [(one.name, one.type, one.data) for one in response.additional] == [
        ("ns.com", "A", "198.51.100.2"),
        ("ns.com", "AAAA", "2001:db8::2"),
    ]


def test_glue_is_not_authoritative() -> None:
    response = ask("ns.shop.example.com")
    assert (response.answers, response.authoritative) == ((), False)
    assert [one.data for one in response.authority] == ["ns.shop.example.com."]


def test_an_alias_into_a_delegation_comes_with_the_referral() -> None:
    response = ask("into-shop.example.com")
    assert data(response) == ["x.shop.example.com."]
    assert [one.name for one in response.authority] == ["shop.example.com"]
    assert [one.data for one in response.additional] == ["198.51.100.4"]


def test_the_longest_zone_answers() -> None:
    assert ask("web.example.com").authoritative
    assert ask("com", "NS").authority[0].data == "ns.com.", "the parent delegates what it does not hold"


def test_the_servers_of_a_zone_come_with_their_addresses() -> None:
    response = ask("example.com", "NS")
    assert data(response) == ["ns1.example.com."]
    assert [one.data for one in response.additional] == ["198.51.100.3"]
    assert data(ask(".", "NS")) == ["a.root."]


def test_a_wildcard_answers_for_what_is_not_there() -> None:
    response = ask("any.thing.wild.example.com")
    assert [(one.name, one.data) for one in response.answers] == [
        ("any.thing.wild.example.com", "192.0.2.77")
    ]
    assert ask("wild.example.com").answers == (), "the wildcard's parent exists without an address"


@pytest.mark.parametrize(
    ("querier", "address"),
    [
        ("203.0.113.5", "192.0.2.10"),
        ("203.0.113.130", "192.0.2.20"),
        ("2001:db8:1::9", "192.0.2.20"),
        ("8.8.8.8", "192.0.2.9"),
    ],
)
def test_geo_answers_by_the_longest_prefix(querier: str, address: str) -> None:
    assert data(ask("api.example.com", querier=querier)) == [address]


def test_geo_without_a_default_is_nodata_elsewhere() -> None:
    assert data(ask("near.example.com", querier="203.0.113.5")) == ["192.0.2.10"]
    elsewhere = ask("near.example.com", querier="8.8.8.8")
    assert (elsewhere.rcode, elsewhere.answers) == ("NOERROR", ())


def test_soa_is_an_answer_too() -> None:
    assert [one.type for one in ask("example.com", "SOA").answers] == ["SOA"]


def test_any_gives_one_record_set() -> None:  # RFC 8482, 4.1
    assert {one.type for one in ask("example.com", "ANY").answers} == {"NS"}
    assert data(ask("www.example.com", "ANY")) == ["web.example.com."]


def test_what_is_not_ours_is_refused() -> None:
    only_example = Authority((EXAMPLE,), {})
    assert ask("example.net", server=only_example).rcode == "REFUSED"
    chaos = Message(1, Question("version.bind", "TXT", "CH"))
    assert SERVER.answer(chaos, "10.0.0.1").rcode == "REFUSED"
    assert SERVER.answer(Message(1, opcode="UPDATE"), "10.0.0.1").rcode == "NOTIMP"
    assert SERVER.answer(Message(1), "10.0.0.1").rcode == "FORMERR"


@pytest.mark.parametrize(
    "wrong",
    [
        Record(name="x", type="A"),
        Record(name="x.example.org.", type="A", data="192.0.2.1"),
        Record(name="x", type="A", data="no-address"),
    ],
)
def test_a_wrong_record_is_an_input_error(wrong: Record) -> None:
    with pytest.raises(InputError, match="record x"):
        Authority((Zone(name="example.com", records=(wrong,)),), {})


def test_an_empty_zone_answers_nxdomain() -> None:
    empty = Authority((Zone(name="example.org", records=()),), {})
    assert ask("a.b.example.org", server=empty).rcode == "NXDOMAIN"
    assert ask("example.org", "SOA", server=empty).answers[0].data.startswith("example.org. ")


MORE = Authority(
    (
        Zone(
            name="example.org",
            records=(
                Record(name="@", type="SOA", data="ns hostmaster 7 7200 900 1209600 30", ttl=3600),
                Record(name="@", type="NS", data="ns"),
                Record(name="ns", type="A", data="198.51.100.3"),
                Record(name="@", type="MX", data="10 mail"),
                Record(name="mail", type="A", data="192.0.2.25"),
                Record(name="_sip._tcp", type="SRV", data="10 60 5060 mail"),
                Record(name="@", type="CAA", data='0 issue "ca.example.net"'),
                Record(name="svc", type="HTTPS", data='1 mail alpn="h2"'),
                Record(name="old", type="DNAME", data="renamed.for.ever.example.net."),
                Record(name="within", type="DNAME", data="hosts"),
                Record(name="a.hosts", type="A", data="192.0.2.88"),
                Record(name="spread", type="A", weights={"192.0.2.1": 3, "192.0.2.2": 1}, ttl=10),
            ),
        ),
    ),
    {},
    Random(4),
)


def test_the_zones_own_soa_sets_the_negative_ttl() -> None:  # RFC 2308, 3
    (soa,) = ask("none.example.org", server=MORE).authority
    assert (soa.ttl, soa.data.split()[2]) == (30, "7")
    assert ask("example.org", "SOA", server=MORE).answers[0].ttl == 3600


@pytest.mark.parametrize(
    ("name", "type_"), [("example.org", "MX"), ("_sip._tcp.example.org", "SRV"), ("svc.example.org", "HTTPS")]
)
def test_what_points_at_a_host_comes_with_its_address(name: str, type_: str) -> None:
    assert [one.data for one in ask(name, type_, server=MORE).additional] == ["192.0.2.25"]


def test_a_dname_redirects_what_is_below_it() -> None:  # RFC 6672
    response = ask("x.y.old.example.org", server=MORE)
    assert [(one.name, one.type, one.data) for one in response.answers] == [
        ("old.example.org", "DNAME", "renamed.for.ever.example.net."),
        ("x.y.old.example.org", "CNAME", "x.y.renamed.for.ever.example.net."),
    ]
    assert data(ask("a.within.example.org", server=MORE))[-1] == "192.0.2.88"
    assert ask("old.example.org", server=MORE).answers == (), "its own name is not redirected"
    long = ".".join(["a" * 50] * 4) + ".old.example.org"
    assert len(long) < 254
    assert ask(f"{'b' * 30}.{long}", server=MORE).rcode == "YXDOMAIN"


def test_weights_share_the_answers() -> None:
    drawn = [data(ask("spread.example.org", server=MORE))[0] for _ in range(400)]
    assert 260 <= drawn.count("192.0.2.1") <= 340, "three of four"
    assert set(drawn) == {"192.0.2.1", "192.0.2.2"}


def test_a_later_edns_is_badvers_and_has_ours() -> None:  # RFC 6891, 6.1.3
    query = Message(5, Question("web.example.com"), edns_bytes=4096, edns_version=1)
    response = decode(encode(SERVER.answer(query, "10.0.0.1")))
    assert (response.rcode, response.edns_version, response.answers) == ("BADVERS", 0, ())


@pytest.mark.parametrize(
    ("type_", "rcode"), [("AXFR", "REFUSED"), ("IXFR", "REFUSED"), ("OPT", "FORMERR"), ("MAILB", "NOTIMP")]
)
def test_types_of_questions_that_are_no_data(type_: str, rcode: str) -> None:
    assert ask("example.com", type_).rcode == rcode


def test_types_that_nobody_knows_are_nodata() -> None:
    response = ask("web.example.com", "TYPE65300")
    assert (response.rcode, [one.type for one in response.authority]) == ("NOERROR", ["SOA"])


def test_ds_is_the_parents() -> None:
    response = ask("example.com", "DS")
    assert [(one.name, one.type) for one in response.authority] == [("com", "NS")]
    shop = ask("shop.example.com", "DS")
    assert (shop.authoritative, [one.name for one in shop.authority]) == (True, ["example.com"])


@pytest.mark.parametrize(
    ("subnet", "address", "scope"),
    [
        ("203.0.113.128/26", "192.0.2.20", 26),
        ("203.0.113.0/26", "192.0.2.10", 26),
        ("8.8.8.0/24", "192.0.2.9", 24),
        ("0.0.0.0/0", "192.0.2.10", 0),
    ],
)
def test_geo_answers_by_the_clients_subnet(subnet: str, address: str, scope: int) -> None:  # RFC 7871
    told = Subnet(ip_network(subnet))
    query = Message(5, Question("api.example.com"), edns_bytes=1232, subnet=told)
    response = decode(encode(SERVER.answer(query, "203.0.113.5")))
    assert data(response) == [address]
    assert response.subnet == replace(told, scope=scope)
    plain = SERVER.answer(replace(query, question=Question("web.example.com")), "203.0.113.5")
    assert plain.subnet is not None
    assert plain.subnet.scope == 0, "right for everybody"


def test_a_network_is_where_all_of_it_is() -> None:
    known = Locations({"192.0.2.8/29": "Tokyo", "192.0.2.64/27": "Tokyo", "198.51.100.0/25": "London"})
    assert known.of_network(ip_network("192.0.2.0/24")) == "Tokyo"
    assert known.of_network(ip_network("198.51.100.64/26")) == "London"
    assert known.of_network(ip_network("0.0.0.0/0")) == ""
    assert known.of_network(ip_network("2001:db8::/56")) == ""


@pytest.mark.parametrize(
    "beside", [Record(name="x", type="A", data="192.0.2.1"), Record(name="x", type="CNAME", data="z")]
)
def test_an_alias_stands_alone(beside: Record) -> None:
    alias = Record(name="x", type="CNAME", data="y")
    with pytest.raises(InputError, match="CNAME and other records"):
        Authority((Zone(name="example.com", records=(alias, beside)),), {})


def test_locations_outside_of_all_networks_are_empty() -> None:
    assert Locations({}).of("10.0.0.1") == ""
    assert Locations({"0.0.0.0/0": "World", "10.0.0.0/8": "Ten"}).of("10.1.1.1") == "Ten"
