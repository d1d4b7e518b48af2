"""The DNS cache: TTLs that count down, negative answers, ranks, its bound."""

from __future__ import annotations

from netlab.policy.dns_cache import NEGATIVE_TTL_LIMIT_S, Cache, Rank, negative_ttl
from netlab.proto.dns import ResourceRecord

A = ResourceRecord("api.example.com", "A", 300, "192.0.2.1")
SOA = ResourceRecord("example.com", "SOA", 900, "ns.example.com. root.example.com. 1 3600 600 86400 60")
START = 1000.25


def test_ttl_counts_down_and_ends() -> None:
    cache = Cache()
    cache.store((A,), Rank.ANSWER, START)
    for later, ttl in ((0.0, 300), (0.5, 299), (100.0, 200), (298.9, 1)):
        entry = cache.get("API.example.COM", "A", START + later)
        assert entry is not None, later
        assert [one.ttl for one in entry.records] == [ttl], later
    assert cache.get("api.example.com", "A", START + 300) is None
    assert len(cache) == 0, "what is past is forgotten"


def test_a_set_lives_as_long_as_its_shortest_record() -> None:
    cache = Cache()
    short = ResourceRecord("api.example.com", "A", 10, "192.0.2.2")
    cache.store((A, short), Rank.ANSWER, START)
    entry = cache.get("api.example.com", "A", START)
    assert entry is not None
    assert [one.ttl for one in entry.records] == [10, 10]


def test_ttl_zero_is_not_kept() -> None:
    cache = Cache()
    cache.store((ResourceRecord("a", "A", 0, "192.0.2.1"),), Rank.ANSWER, START)
    assert len(cache) == 0


def test_nxdomain_is_true_for_every_type() -> None:
    cache = Cache()
    cache.store_negative("No.example.com", "A", "NXDOMAIN", SOA, START)
    for type_ in ("A", "AAAA", "MX"):
        entry = cache.get("no.example.com", type_, START + 10)
        assert entry is not None
        assert (entry.rcode, entry.records, entry.soa[0].ttl) == ("NXDOMAIN", (), 50)
    assert cache.get("no.example.com", "A", START + 60) is None


def test_nodata_is_true_for_its_type_only() -> None:
    cache = Cache()
    cache.store_negative("api.example.com", "AAAA", "NOERROR", SOA, START)
    entry = cache.get("api.example.com", "AAAA", START)
    assert entry is not None
    assert (entry.rcode, entry.records) == ("NOERROR", ())
    assert cache.get("api.example.com", "A", START) is None


def test_the_negative_ttl_is_the_lower_of_two_and_bounded() -> None:
    assert negative_ttl(SOA) == 60
    assert negative_ttl(ResourceRecord("a", "SOA", 5, "a. b. 1 2 3 4 60")) == 5
    assert negative_ttl(ResourceRecord("a", "SOA", 10**6, "a. b. 1 2 3 4 999999")) == NEGATIVE_TTL_LIMIT_S


def test_glue_is_not_given_out_and_never_replaces_an_answer() -> None:
    cache = Cache()
    glue = ResourceRecord("api.example.com", "A", 300, "203.0.113.66")
    cache.store((glue,), Rank.GLUE, START)
    assert cache.get("api.example.com", "A", START) is None
    cache.store((A,), Rank.ANSWER, START)
    cache.store((glue,), Rank.GLUE, START + 1)
    entry = cache.get("api.example.com", "A", START + 1, Rank.GLUE)
    assert entry is not None
    assert entry.records[0].data == "192.0.2.1"
    cache.store((glue,), Rank.GLUE, START + 301)
    later = cache.get("api.example.com", "A", START + 301, Rank.GLUE)
    assert later is not None
    assert later.records[0].data == "203.0.113.66", "once the answer is past, glue may take its place"


def test_the_longest_unused_leaves_first() -> None:
    cache = Cache(limit=2)
    for name in ("a", "b"):
        cache.store((ResourceRecord(name, "A", 60, "192.0.2.1"),), Rank.ANSWER, START)
    assert cache.get("a", "A", START) is not None
    cache.store((ResourceRecord("c", "A", 60, "192.0.2.1"),), Rank.ANSWER, START)
    assert [cache.get(name, "A", START) is not None for name in "abc"] == [True, False, True]
