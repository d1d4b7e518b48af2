"""The recursive resolver against name servers in memory: referrals, caching, losses, lies, loops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random

from netlab.model.roles import Record, Zone
from netlab.policy.dns_iteration import QUERY_LIMIT, Result
from netlab.policy.dns_recursion import Done, Recursion, Send
from netlab.policy.dns_zone import Authority
from netlab.proto.dns import Message, Question, ResourceRecord, decode, encode

ROOT_AT, COM_AT, NET_AT, EXAMPLE_AT, OTHER_AT = (f"198.51.100.{host}" for host in range(1, 6))
Server = Callable[[Message], Message | None]


def zone(name: str, *records: tuple[str, str, str] | tuple[str, str, str, int]) -> Authority:
    made = (
        Record.model_validate({"name": one[0], "type": one[1], "data": one[2], "ttl": (*one, 300)[3]})
        for one in records
    )
    return Authority((Zone(name=name, records=tuple(made)),), {})


ROOT = zone(
    ".",
    ("@", "NS", "a.root."),
    ("a.root.", "A", ROOT_AT),
    ("com", "NS", "ns.com."),
    ("ns.com.", "A", COM_AT),
    ("net", "NS", "ns.net."),
    ("ns.net.", "A", NET_AT),
)
COM = zone(
    "com",
    ("@", "NS", "ns"),
    ("ns", "A", COM_AT),
    ("example", "NS", "ns.example"),
    ("ns.example", "A", EXAMPLE_AT),
    ("glueless", "NS", "ns.other.net."),
    ("circle", "NS", "ns.circle.net."),
)
NET = zone(
    "net",
    ("@", "NS", "ns"),
    ("other", "NS", "ns.other"),
    ("ns.other", "A", OTHER_AT),
    ("circle", "NS", "ns.circle.com."),
)
EXAMPLE = zone(
    "example.com",
    ("@", "NS", "ns"),
    ("ns", "A", EXAMPLE_AT),
    ("api", "A", "192.0.2.10", 60),
    ("www", "CNAME", "web.other.net.", 60),
    ("loop-a", "CNAME", "loop-b"),
    ("loop-b", "CNAME", "loop-a"),
    ("zero", "A", "192.0.2.30", 0),
    *(("big", "A", f"192.0.2.{host}") for host in range(100)),
)
OTHER = Authority(
    (
        Zone(
            name="other.net",
            records=(
                Record(name="web", type="A", data="192.0.2.50"),
                Record(name="ns", type="A", data=OTHER_AT),
            ),
        ),
        Zone(name="glueless.com", records=(Record(name="www", type="A", data="192.0.2.60"),)),
    ),
    {},
)


def serve(authority: Authority) -> Server:
    return lambda query: authority.answer(query, "10.0.0.53")


@dataclass
class World:
    """Name servers at their addresses, a clock, and what was asked of whom."""

    servers: dict[str, Server] = field(
        default_factory=lambda: {
            ROOT_AT: serve(ROOT),
            COM_AT: serve(COM),
            NET_AT: serve(NET),
            EXAMPLE_AT: serve(EXAMPLE),
            OTHER_AT: serve(OTHER),
        }
    )
    loss: float = 0.0
    now: float = 1000.0
    seed: int = 1
    asked: list[tuple[str, str, bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = Random(self.seed)
        self.resolver = Recursion((ROOT_AT,), self.rng, versions=(4,))

    def resolve(self, name: str, type_: str = "A") -> Done:
        ticket = self.resolver.ask(Question(name, type_), self.now)
        (done,) = self.pump()
        assert done.ticket == ticket
        return done

    def pump(self) -> list[Done]:
        """Carry datagrams and let time pass until all questions are resolved."""
        done = self.resolver.finished()
        while self.resolver.buffered():
            sends = self.resolver.outgoing(self.now)
            for send in sends:
                self.carry(send)
            if not sends:
                deadline = self.resolver.deadline()
                assert deadline is not None, "a question waits for nothing"
                self.now = deadline
                self.resolver.expire(self.now)
            done += self.resolver.finished()
        return done + self.resolver.finished()

    def carry(self, send: Send) -> None:
        query = decode(send.data)
        assert not query.recursion_desired
        self.asked.append((send.server, query.question.name if query.question else "", send.tcp))
        server = self.servers.get(send.server)
        response = server(query) if server and self.rng.random() >= self.loss else None
        if response is not None:
            limit = 65_535 if send.tcp else query.udp_limit
            self.resolver.receive(send.exchange, encode(response, limit), self.now)

    def whom(self) -> list[str]:
        return [server for server, _, _ in self.asked]


def addresses(result: Result) -> list[str]:
    return [one.data for one in result.answers if one.type == "A"]


def test_it_goes_from_the_root_down() -> None:
    world = World()
    done = world.resolve("api.example.com")
    assert (done.result.rcode, addresses(done.result), done.cached) == ("NOERROR", ["192.0.2.10"], False)
    assert world.whom() == [ROOT_AT, COM_AT, EXAMPLE_AT]


def test_the_second_question_is_answered_from_the_cache() -> None:
    world = World()
    world.resolve("api.example.com")
    world.now += 10.5
    done = world.resolve("API.example.COM")
    assert (done.cached, addresses(done.result)) == (True, ["192.0.2.10"])
    assert [one.ttl for one in done.result.answers] == [49], "the TTL counts down"
    assert len(world.asked) == 3


def test_delegations_outlive_answers() -> None:
    world = World()
    world.resolve("api.example.com")
    world.now += 61
    assert not world.resolve("api.example.com").cached
    assert world.whom()[3:] == [EXAMPLE_AT]


def test_everything_expires_at_last() -> None:
    world = World()
    world.resolve("api.example.com")
    world.now += 301
    world.resolve("api.example.com")
    assert world.whom()[3:] == [ROOT_AT, COM_AT, EXAMPLE_AT]


def test_an_alias_into_another_zone_is_resolved_there() -> None:
    world = World()
    done = world.resolve("www.example.com")
    assert [(one.type, one.data) for one in done.result.answers] == [
        ("CNAME", "web.other.net."),
        ("A", "192.0.2.50"),
    ]
    assert world.whom() == [ROOT_AT, COM_AT, EXAMPLE_AT, ROOT_AT, NET_AT, OTHER_AT]


def test_a_server_without_glue_is_resolved_first() -> None:
    world = World()
    done = world.resolve("www.glueless.com")
    assert addresses(done.result) == ["192.0.2.60"]
    assert world.whom() == [ROOT_AT, COM_AT, ROOT_AT, NET_AT, OTHER_AT, OTHER_AT]


def test_servers_that_need_each_other_end_in_servfail() -> None:
    world = World()
    done = world.resolve("www.circle.com")
    assert done.result.rcode == "SERVFAIL"
    assert "has an address in reach" in done.result.cause
    assert len(world.asked) <= QUERY_LIMIT


def test_aliases_in_a_circle_end_in_servfail() -> None:
    done = World().resolve("loop-a.example.com")
    assert done.result.rcode == "SERVFAIL"
    assert "go round" in done.result.cause


def test_nxdomain_is_cached_as_long_as_the_soa_says() -> None:
    world = World()
    done = world.resolve("none.example.com")
    assert (done.result.rcode, done.result.authority[0].type) == ("NXDOMAIN", "SOA")
    again = world.resolve("none.example.com", "AAAA")
    assert (again.result.rcode, again.cached) == ("NXDOMAIN", True)
    world.now += 61
    assert not world.resolve("none.example.com").cached


def test_nodata_is_cached_for_its_type() -> None:
    world = World()
    done = world.resolve("api.example.com", "AAAA")
    assert (done.result.rcode, done.result.answers) == ("NOERROR", ())
    assert world.resolve("api.example.com", "AAAA").cached
    assert addresses(world.resolve("api.example.com").result) == ["192.0.2.10"]


def test_ttl_zero_is_used_once() -> None:
    world = World()
    assert addresses(world.resolve("zero.example.com").result) == ["192.0.2.30"]
    assert not world.resolve("zero.example.com").cached


def test_truncation_goes_over_tcp() -> None:
    world = World()
    done = world.resolve("big.example.com")
    assert len(addresses(done.result)) == 100
    assert world.asked[2:] == [
        (EXAMPLE_AT, "big.example.com", False),
        (EXAMPLE_AT, "big.example.com", True),
    ]


def test_a_silent_server_is_tried_again_and_then_given_up() -> None:
    world = World()
    del world.servers[EXAMPLE_AT]
    started = world.now
    done = world.resolve("api.example.com")
    assert done.result.rcode == "SERVFAIL"
    assert done.result.cause == "; ".join([f"{EXAMPLE_AT} does not answer for api.example.com"] * 2)
    assert world.now - started == 3.0, "one second, then two"


def test_another_server_steps_in() -> None:
    def two_servers(query: Message) -> Message:
        response = COM.answer(query, "10.0.0.53")
        more = ResourceRecord("example.com", "NS", 300, "ns2.example.com.")
        glue = ResourceRecord("ns2.example.com", "A", 300, OTHER_AT)
        return replace(
            response, authority=(*response.authority, more), additional=(*response.additional, glue)
        )

    for broken in (
        lambda _query: None,
        lambda query: replace(OTHER.answer(query, "10.0.0.1"), rcode="SERVFAIL"),
    ):
        first = set()
        for seed in range(8):
            world = World(seed=seed)
            world.servers |= {COM_AT: two_servers, OTHER_AT: broken}
            assert addresses(world.resolve("api.example.com").result) == ["192.0.2.10"], world.asked
            first.add(world.whom()[2])
        assert first == {EXAMPLE_AT, OTHER_AT}, "which one is asked first is by chance"


def test_losses_are_survived() -> None:
    """Each server has two tries; of 60 resolutions at 10% loss about 2 (3 × 1%) fail."""
    resolved = [World(loss=0.1, seed=seed).resolve("api.example.com").result.rcode for seed in range(60)]
    assert resolved.count("NOERROR") >= 50, resolved


def test_an_unreachable_server_costs_no_time() -> None:
    world = World()
    world.resolver.ask(Question("api.example.com"), world.now)
    for _ in range(2):
        (send,) = world.resolver.outgoing(world.now)
        assert world.resolver.waits(send.exchange)
        world.resolver.fail(send.exchange, world.now)
        assert not world.resolver.waits(send.exchange)
    (done,) = world.resolver.finished()
    assert done.result.rcode == "SERVFAIL"
    assert world.resolver.deadline() is None


def test_equal_questions_share_one_resolution() -> None:
    world = World()
    tickets = {
        world.resolver.ask(Question(name), world.now) for name in ("api.example.com", "API.example.com")
    }
    done = world.pump()
    assert {one.ticket for one in done} == tickets
    assert len(world.asked) == 3


def test_forged_responses_are_discarded() -> None:
    world = World()
    world.resolver.ask(Question("api.example.com"), world.now)
    (send,) = world.resolver.outgoing(world.now)
    query = decode(send.data)
    true = ROOT.answer(query, "10.0.0.53")
    forged = [
        encode(replace(true, id=query.id ^ 1)),
        encode(replace(true, question=Question("bank.example.com"))),
        encode(replace(true, question=None)),
        encode(replace(true, response=False)),
        b"",
        b"\xff" * 40,
    ]
    for number, data in enumerate(forged, 1):
        world.resolver.receive(send.exchange, data, world.now)
        assert world.resolver.discarded == number
        assert world.resolver.waits(send.exchange)
    world.resolver.receive(send.exchange, encode(true), world.now)
    assert not world.resolver.waits(send.exchange)
    world.resolver.receive(send.exchange, encode(true), world.now)
    assert world.resolver.discarded == len(forged) + 1, "the second copy is too late"


def test_ids_are_random_and_repeatable() -> None:
    def ids(seed: int) -> list[int]:
        resolver = Recursion((ROOT_AT,), Random(seed))
        for host in range(50):
            resolver.ask(Question(f"h{host}.example.com"), 0.0)
        return [decode(send.data).id for send in resolver.outgoing(0.0)]

    assert ids(1) == ids(1)
    assert len(set(ids(1))) > 45
    assert ids(1) != ids(2)


def test_a_server_that_refers_for_ever_is_left() -> None:
    depth = 0

    def refers(query: Message) -> Message:
        nonlocal depth
        depth += 1
        labels = query.question.name.split(".") if query.question else []
        cut = ".".join(labels[-min(depth, len(labels)) :])
        servers = ResourceRecord(cut, "NS", 300, f"ns.{cut}.")
        glue = ResourceRecord(f"ns.{cut}", "A", 300, ROOT_AT)
        return Message(query.id, query.question, response=True, authority=(servers,), additional=(glue,))

    world = World(servers={ROOT_AT: refers})
    done = world.resolve(".".join("abcdefghijklmnopqrstuvwxyz"))
    assert done.result.rcode == "SERVFAIL"
    assert len(world.asked) <= QUERY_LIMIT


def test_addresses_of_an_ip_version_that_cannot_be_sent_are_left_out() -> None:
    six = zone(".", ("com", "NS", "ns.com."), ("ns.com.", "AAAA", "2001:db8::1"))
    world = World()
    world.servers[ROOT_AT] = serve(six)
    done = world.resolve("api.example.com")
    assert done.result.rcode == "SERVFAIL"
    assert done.result.cause == "no server of zone com has an address in reach"
    assert world.whom() == [ROOT_AT]
