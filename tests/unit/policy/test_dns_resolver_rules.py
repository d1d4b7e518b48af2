"""What a resolver does so that it is quick, polite, bounded and private: against servers in memory."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from random import Random

import pytest

from netlab.model.roles import Record, Zone
from netlab.policy.dns_cache import STALE_TTL_S, Cache, Rank
from netlab.policy.dns_iteration import GLUELESS_LIMIT, QUERY_LIMIT
from netlab.policy.dns_recursion import FAILURE_TTL_S, Done, Recursion
from netlab.policy.dns_servers import Servers
from netlab.policy.dns_zone import Authority
from netlab.proto.dns import Message, Question, ResourceRecord
from netlab.proto.dns_edns import (
    CACHED_ERROR,
    NO_REACHABLE_AUTHORITY,
    STALE_ANSWER,
    STALE_NXDOMAIN,
    Subnet,
    subnet_of,
)
from tests.unit.policy.test_dns_recursion import (
    COM,
    COM_AT,
    EXAMPLE,
    EXAMPLE_AT,
    OTHER_AT,
    ROOT_AT,
    World,
    addresses,
    serve,
)


def world(**options: object) -> World:
    made = World()
    made.resolver = Recursion((ROOT_AT,), made.rng, versions=(4,), **options)  # type: ignore[arg-type]
    return made


def two_servers(query: Message) -> Message:
    """com delegates example.com to two servers."""
    response = COM.answer(query, "10.0.0.53")
    more = ResourceRecord("example.com", "NS", 300, "ns2.example.com.")
    glue = ResourceRecord("ns2.example.com", "A", 300, OTHER_AT)
    return replace(response, authority=(*response.authority, more), additional=(*response.additional, glue))


def test_the_faster_server_is_asked_after_both_are_known() -> None:
    made = world()
    made.servers |= {COM_AT: two_servers, OTHER_AT: serve(EXAMPLE)}
    servers = Servers(Random(1))
    servers.answered(EXAMPLE_AT, 0.005)
    servers.answered(OTHER_AT, 0.100)
    assert servers.in_order([OTHER_AT, EXAMPLE_AT]) == [EXAMPLE_AT, OTHER_AT]
    for _ in range(200):
        servers.answered(EXAMPLE_AT, 0.005, [EXAMPLE_AT, OTHER_AT])
    assert servers.in_order([OTHER_AT, EXAMPLE_AT])[0] == OTHER_AT, "a slow one gets another chance"
    servers.silent(OTHER_AT, 1.0)
    assert servers.in_order([OTHER_AT, EXAMPLE_AT])[0] == EXAMPLE_AT


def test_a_dead_server_is_asked_once_and_then_left_alone() -> None:
    made = world()
    made.servers |= {COM_AT: two_servers, OTHER_AT: lambda _query: None}
    for number in range(12):
        assert made.resolve(f"h{number}.example.com").result.rcode == "NXDOMAIN"
    assert made.whom().count(OTHER_AT) <= 1, made.whom()


def test_a_failure_is_remembered_for_a_short_time() -> None:  # RFC 9520
    made = world()
    del made.servers[EXAMPLE_AT]
    first = made.resolve("api.example.com")
    assert [one.code for one in first.result.errors] == [NO_REACHABLE_AUTHORITY]
    asked = len(made.asked)
    again = made.resolve("API.example.com")
    assert (again.result.rcode, again.cached, len(made.asked)) == ("SERVFAIL", True, asked)
    assert CACHED_ERROR in [one.code for one in again.result.errors]
    made.now += FAILURE_TTL_S
    made.servers[EXAMPLE_AT] = serve(EXAMPLE)
    assert made.resolve("api.example.com").result.rcode == "NOERROR"


def test_below_a_name_that_does_not_exist_there_is_nothing() -> None:  # RFC 8020
    made = world()
    made.resolve("none.example.com")
    asked = len(made.asked)
    below = made.resolve("a.b.none.example.com", "TXT")
    assert (below.result.rcode, below.cached, len(made.asked)) == ("NXDOMAIN", True, asked)
    assert made.resolve("none2.example.com").cached is False
    made.now += 61
    assert made.resolve("a.b.none.example.com").cached is False


@pytest.mark.parametrize("rcode", ["FORMERR", "NOTIMP", "BADVERS"])
def test_a_server_without_edns_is_asked_without(rcode: str) -> None:
    seen: list[bool] = []

    def old(query: Message) -> Message:
        seen.append(query.edns_bytes is not None)
        if query.edns_bytes is not None:
            return Message(query.id, query.question, response=True, rcode=rcode)
        return EXAMPLE.answer(query, "10.0.0.53")

    made = world()
    made.servers[EXAMPLE_AT] = old
    assert addresses(made.resolve("api.example.com").result) == ["192.0.2.10"]
    assert made.resolve("none.example.com").result.rcode == "NXDOMAIN"
    assert seen == [True, False, False], "the second question knows"


def test_many_servers_without_addresses_cost_little() -> None:  # NXNSAttack
    def attack(query: Message) -> Message:
        cut = "victim.com"
        servers = tuple(
            ResourceRecord(cut, "NS", 300, f"n{number}.h{number}.example.com.") for number in range(100)
        )
        return Message(query.id, query.question, response=True, authority=servers)

    made = world()
    made.servers[COM_AT] = lambda query: (
        attack(query) if query.question and "victim" in query.question.name else serve(COM)(query)
    )
    done = made.resolve("x.victim.com")
    assert done.result.rcode == "SERVFAIL"
    assert len(made.asked) <= min(QUERY_LIMIT, 4 + 2 * 2 * GLUELESS_LIMIT), len(made.asked)


def test_old_answers_help_out_where_no_server_answers() -> None:  # RFC 8767
    made = world(stale_s=3600)
    made.resolve("api.example.com")
    made.resolve("none.example.com")
    made.servers.clear()
    made.now += 400
    done = made.resolve("api.example.com")
    assert addresses(done.result) == ["192.0.2.10"]
    assert [one.ttl for one in done.result.answers] == [STALE_TTL_S]
    assert [one.code for one in done.result.errors] == [STALE_ANSWER]
    gone = made.resolve("none.example.com").result
    assert (gone.rcode, [one.code for one in gone.errors]) == ("NXDOMAIN", [STALE_NXDOMAIN])
    made.now += 3600
    assert made.resolve("api.example.com").result.rcode == "SERVFAIL", "but not for ever"


def test_minimised_queries_tell_no_server_more_than_it_needs() -> None:  # RFC 9156
    made = world(minimise=True)
    done = made.resolve("api.example.com")
    assert addresses(done.result) == ["192.0.2.10"]
    assert [(server, name) for server, name, _ in made.asked] == [
        (ROOT_AT, "com"),
        (COM_AT, "example.com"),
        (EXAMPLE_AT, "api.example.com"),
    ]
    assert made.resolve("none.example.com").result.rcode == "NXDOMAIN"
    assert len(made.asked) == 4, "what is known above needs no question"
    assert made.resolve("a.b.c.example.com").result.rcode == "NXDOMAIN"
    assert addresses(world(minimise=True).resolve("www.glueless.com").result) == ["192.0.2.60"]
    deep = ".".join("abcdefghijklmnopqrstuvwxyz") + ".example.com"
    assert made.resolve(deep).result.rcode == "NXDOMAIN"


@pytest.mark.parametrize(
    ("name", "type_", "rcode", "data"),
    [
        ("localhost", "A", "NOERROR", ["127.0.0.1"]),
        ("a.LOCALHOST", "AAAA", "NOERROR", ["::1"]),
        ("localhost", "TXT", "NOERROR", []),
        ("1.0.0.127.in-addr.arpa", "PTR", "NOERROR", ["localhost."]),
        ("x.invalid", "A", "NXDOMAIN", []),
    ],
)
def test_special_names_are_answered_at_home(name: str, type_: str, rcode: str, data: list[str]) -> None:
    made = world()
    done = made.resolve(name, type_)
    assert (done.result.rcode, [one.data for one in done.result.answers]) == (rcode, data)
    assert made.asked == []


# Client subnets (RFC 7871).

GEO = Authority(
    (
        Zone(
            name="example.com",
            records=(
                Record(name="@", type="NS", data="ns"),
                Record(name="ns", type="A", data=EXAMPLE_AT),
                Record(name="api", type="A", data="192.0.2.9", geo={"Tokyo": "192.0.2.20"}),
                Record(name="www", type="CNAME", data="api"),
                Record(name="same", type="A", data="192.0.2.7"),
            ),
        ),
    ),
    {"203.0.113.0/24": "Tokyo"},
)


def ask(made: World, name: str, asker: str) -> Done:
    made.resolver.ask(Question(name), made.now, subnet_of(asker))
    (done,) = made.pump()
    return done


def test_each_network_has_its_own_answer() -> None:
    told: list[tuple[str, Subnet | None]] = []

    def server(name: str, authority: Authority) -> object:
        def answer(query: Message) -> Message:
            told.append((name, query.subnet))
            return authority.answer(query, "10.0.0.53")

        return answer

    made = world()
    made.servers |= {ROOT_AT: server("root", made_root()), EXAMPLE_AT: server("example", GEO)}  # type: ignore[dict-item]
    tokyo = ask(made, "www.example.com", "203.0.113.77")
    assert (addresses(tokyo.result), tokyo.result.scope) == (["192.0.2.20"], 24)
    assert told == [("root", None), ("example", Subnet(ip_network("203.0.113.0/24")))], "not the root"
    london = ask(made, "api.example.com", "198.51.100.9")
    assert (addresses(london.result), london.cached) == (["192.0.2.9"], False)
    again = ask(made, "api.example.com", "203.0.113.5")
    assert (addresses(again.result), again.cached, again.result.scope) == (["192.0.2.20"], True, 24)
    assert ask(made, "same.example.com", "203.0.113.5").result.scope == 0
    assert ask(made, "same.example.com", "198.51.100.5").cached, "scope 0 is for everybody"


def made_root() -> Authority:
    return Authority(
        (
            Zone(
                name=".",
                records=(
                    Record(name="example.com", type="NS", data="ns.example.com."),
                    Record(name="ns.example.com", type="A", data=EXAMPLE_AT),
                ),
            ),
        ),
        {},
    )


def test_an_answer_for_another_subnet_is_discarded() -> None:
    def wrong(query: Message) -> Message:
        other = Subnet(ip_network("198.51.100.0/24"), 24)
        return replace(GEO.answer(query, "10.0.0.53"), subnet=other)

    made = world()
    made.servers |= {ROOT_AT: serve(made_root()), EXAMPLE_AT: wrong}
    assert ask(made, "api.example.com", "203.0.113.77").result.rcode == "SERVFAIL"
    assert made.resolver.discarded


def test_the_cache_prefers_the_smallest_network() -> None:
    cache = Cache()
    for data, network in (("192.0.2.1", None), ("192.0.2.2", "10.0.0.0/8"), ("192.0.2.3", "10.1.0.0/16")):
        scope = ip_network(network) if network else None
        cache.store((ResourceRecord("x", "A", 60, data),), Rank.ANSWER, 0.0, scope)

    def found(asker: str) -> str:
        entry = cache.get("x", "A", 1.0, asker=ip_network(asker))
        return entry.records[0].data if entry else ""

    assert [found(one) for one in ("10.1.2.0/24", "10.2.0.0/24", "11.0.0.0/24", "2001:db8::/56")] == [
        "192.0.2.3",
        "192.0.2.2",
        "192.0.2.1",
        "192.0.2.1",
    ]
    entry = cache.get("x", "A", 1.0)
    assert entry is not None
    assert entry.records[0].data == "192.0.2.1"


def test_minimised_names_are_remembered_where_a_server_has_both_zones() -> None:
    both = Authority(
        (
            Zone(name=".", records=(Record(name="example.com", type="NS", data="a.root."),)),
            Zone(
                name="example.com",
                records=(
                    Record(name="one", type="A", data="192.0.2.1"),
                    Record(name="two", type="A", data="192.0.2.2"),
                ),
            ),
        ),
        {},
    )
    made = world(minimise=True)
    made.servers = {ROOT_AT: serve(both)}
    assert addresses(made.resolve("one.example.com").result) == ["192.0.2.1"]
    asked = len(made.asked)
    assert addresses(made.resolve("two.example.com").result) == ["192.0.2.2"]
    assert [name for _, name, _ in made.asked[asked:]] == ["two.example.com"]
