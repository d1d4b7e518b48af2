"""What a name costs: cold, cached, gone, long; by location; over UDP, TCP, TLS and HTTPS (guide 10.1, 8.3).

A resolver of its own runs beside the one in London, so that its cache is empty and nothing else is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from netlab.model.roles import DnsClient, Lookup, Request, ResolverSpec
from netlab.model.topology import Topology
from netlab.scenarios.bench import Bench
from netlab.scenarios.dns_packets import Exchange, Talk, exchanges, talks
from netlab.scenarios.measured import failures
from netlab.scenarios.scenario import Scenario
from netlab.scenarios.verdicts import Finding, about, claim
from netlab.trace.claim import Claim, Verdict
from netlab.trace.connection import connections
from netlab.trace.findings import Findings
from netlab.trace.packet import Packet, packets_of
from netlab.trace.recording import Recording
from netlab.trace.table import Row, Spread, Table

LONDON, TOKYO = ("client-a", "eth0"), ("client-b", "wwan0")
RESOLVER, ROOT = "resolver-london", "ns-root"
PORT = 5353
EDGES = {"London": "edge-london", "Tokyo": "edge-tokyo"}
API, SHORT, GONE, LONG = "api.example.com", "short.example.com", "none.example.com", "long.example.com"
SHORT_TTL_S = 2
WAYS = {"udp": "UDP", "tcp": "TCP", "tls": "TLS 1.3", "https": "HTTPS (HTTP/2)"}
_MORE = 5  # lookups after the first, by each way
_PAUSE_S = 0.4  # between lookups; half of it cuts the conversation
_ORIGIN = "https://origin.example.com/"


def stimulus(bench: Bench) -> None:
    address = address_of(bench.topology, RESOLVER)
    root = address_of(bench.topology, ROOT)
    spec = ResolverSpec(listen=PORT, roots=(root,), dot=True, doh=True, names=(address,))
    with bench.serving(RESOLVER, spec):
        bench.say(f"{LONDON[0]} looks names up at a resolver whose cache is empty")
        _look_up(bench, "ready", LONDON[0], "localhost")  # ARP on the way, and no question further on
        _look_up(bench, "cold", LONDON[0], API)
        _look_up(bench, "cached", LONDON[0], API, API, API)
        _look_up(bench, "ttl", LONDON[0], SHORT, SHORT, after=(0, 0.5))
        _look_up(bench, "ttl over", LONDON[0], SHORT, after=(SHORT_TTL_S,))
        _look_up(bench, "gone", LONDON[0], GONE)
        _look_up(bench, "gone again", LONDON[0], GONE, GONE, types=("A", "AAAA"))
        _look_up(bench, "long", LONDON[0], LONG, types=("TXT",))
        with bench.phase("own"):
            twice = [Request(name=f"own {turn}", url=_ORIGIN, fresh=True) for turn in (1, 2)]
            bench.ask(LONDON[0], twice, dns=_settings(address))
        _look_up(bench, "geo", TOKYO[0], API)
        for way, title in WAYS.items():
            bench.say(f"{_MORE + 1} lookups over {title}")
            _look_up(bench, f"way {way}", LONDON[0], *(API,) * (_MORE + 1), way=way)
    bench.say(f"{TOKYO[0]} and {LONDON[0]} ask a resolver that tells where they are (RFC 7871)")
    with bench.serving(RESOLVER, spec.model_copy(update={"ecs": True, "dot": False, "doh": False})):
        _look_up(bench, "geo ecs", TOKYO[0], API)
        _look_up(bench, "geo ecs home", LONDON[0], API)


def _look_up(
    bench: Bench,
    phase: str,
    node: str,
    *names: str,
    types: tuple[str, ...] = (),
    after: tuple[float, ...] = (),
    way: str = "udp",
) -> None:
    waits = after or tuple(_PAUSE_S if number else 0.0 for number in range(len(names)))
    lookups = tuple(
        Lookup(name=name, type=(types or ("A",) * len(names))[number], after=f"{waits[number]}s")
        for number, name in enumerate(names)
    )
    settings = _settings(address_of(bench.topology, RESOLVER), way)
    with bench.phase(phase):
        bench.ask(node, (), lookups=lookups, dns=settings)


def _settings(address: str, way: str = "udp") -> DnsClient:
    return DnsClient.model_validate({"protocol": way, "resolvers": (address,), "port": PORT})


def address_of(topology: Topology, node: str) -> str:
    interfaces = topology.nodes[node].interfaces.values()
    return str(next(iter(next(iter(interfaces)).addresses)).ip)


@dataclass(frozen=True)
class Seen:
    """The packets of each phase, read as DNS."""

    read: Recording
    _packets: dict[tuple[str, str], tuple[Packet, ...]] = field(default_factory=dict)

    def at(self, place: tuple[str, str], phase: str) -> tuple[Packet, ...]:
        if place not in self._packets:
            self._packets[place] = packets_of(self.read.frames_at(*place))
        found = next((one for one in self.read.run.phases if one.name == phase), None)
        if found is None:
            return ()
        return tuple(one for one in self._packets[place] if found.started_ns <= one.time_ns <= found.ended_ns)

    def client(self, phase: str, place: tuple[str, str] = LONDON) -> tuple[Exchange, ...]:
        """What a client asked the resolver."""
        return exchanges(self.at(place, phase), PORT)

    def resolver(self, phase: str) -> tuple[Exchange, ...]:
        """What the resolver asked name servers."""
        return exchanges(self.at((RESOLVER, "eth0"), phase), 53)

    def name(self, address: str) -> str:
        return self.read.run.node_of(address)

    @cached_property
    def ways(self) -> Mapping[str, tuple[Talk, ...]]:
        """Of each way the first lookup and the next ones, the last left out: it runs into the end."""
        nodes = self.read.run.nodes
        if LONDON[0] not in nodes or RESOLVER not in nodes:
            return {}
        client, server = frozenset(nodes[LONDON[0]].addresses), frozenset(nodes[RESOLVER].addresses)
        return {way: talks(self.at(LONDON, f"way {way}"), client, server, _PAUSE_S / 2)[:-1] for way in WAYS}

    @cached_property
    def rtt_ns(self) -> int:
        """From the client to the resolver and back: the quickest lookup by UDP."""
        return round(min((one.ms for one in self.ways.get("udp", ())), default=0.0) * 1e6)


def judge(read: Recording) -> Findings:
    seen = Seen(read)
    return Findings(
        (_lookup_table(seen), _way_table(seen)),
        tuple(_claims(seen)),
        failed=(*failures(read, LONDON[0]), *failures(read, TOKYO[0])),
    )


_ROWS = {
    "cold": "a name, nothing cached",
    "cached": "the same, again",
    "ttl": f"a name with a TTL of {SHORT_TTL_S} s",
    "ttl over": "the same, past its TTL",
    "gone": "a name that does not exist",
    "gone again": "the same, and its AAAA",
    "long": "1.4 kB of TXT",
    "own": "two requests to one host",
    "geo": "Tokyo asks London's resolver",
    "geo ecs": "the same, with its subnet told",
    "geo ecs home": "London, with its subnet told",
}


def _lookup_table(seen: Seen) -> Table:
    rows = []
    for phase, title in _ROWS.items():
        place = TOKYO if phase in ("geo", "geo ecs") else LONDON
        own, theirs = seen.client(phase, place), seen.resolver(phase)
        if not own:
            continue
        last = own[-1]
        whom = dict.fromkeys(seen.name(one.server) for one in theirs)
        rows.append(
            Row(
                (
                    title,
                    len(own),
                    _ms(own),
                    len(theirs),
                    " ─► ".join(whom),
                    _answer(seen, last),
                    last.answer.answers[-1].ttl if last.answer.answers else None,
                ),
                (*last.frames, *(number for one in theirs for number in one.frames)),
            )
        )
    return Table(
        "lookups at a resolver 5 ms away",
        ("lookup", "questions", "ms", "of the resolver", "whom it asked", "answer", "TTL, s"),
        tuple(rows),
        ("questions: that left the client. of the resolver: what it had to ask name servers for them.",),
    )


def _answer(seen: Seen, one: Exchange) -> str:
    if not one.data:
        return one.answer.rcode
    return seen.name(one.data[0]) if len(one.data) == 1 else f"{len(one.data)} records"


def _ms(found: tuple[Exchange, ...]) -> str | None:
    spread = Spread.of([one.ms for one in found])
    return spread.text() if spread else None


def _way_table(seen: Seen) -> Table:
    rows = []
    for way, parts in seen.ways.items():
        if len(parts) < 2:
            continue
        first, more = parts[0], parts[1:]
        later = Spread.of([one.ms for one in more])
        rows.append(
            Row(
                (
                    WAYS[way],
                    _first_trips(seen, way, first),
                    round(first.ms, 1),
                    first.bytes,
                    sum(one.turns(seen.rtt_ns) for one in more) / len(more),
                    later.text() if later else None,
                    round(sum(one.bytes for one in more) / len(more)),
                ),
                first.frames,
            )
        )
    return Table(
        "a cached name, by the way to the resolver",
        ("way", "round trips, first", "ms", "bytes", "round trips, later", "ms, later", "bytes, later"),
        tuple(rows),
        (
            "round trips: until the answer; first: with all that opening a connection takes.",
            "bytes: of frames, both ways, at the client.",
        ),
    )


def _first_trips(seen: Seen, way: str, first: Talk) -> int | None:
    """Until the first answer. HTTP/2 says more than that: there it is read which packets are the answer."""
    if way != "https":
        return first.turns(seen.rtt_ns)
    found = connections([one.frame for one in first.packets], seen.read.keys)
    return next((one.round_trips.count for one in found if one.round_trips is not None), None)


def _claims(seen: Seen) -> Iterator[Claim]:
    rules = (
        ("dns-cold", "10.1", "a cold DNS lookup takes 50 ms", "50 ms", _cold(seen)),
        ("dns-cached", "10.1", "a cached DNS lookup takes no time", "0 ms", _cached(seen)),
        ("dns-round-trip", "3.2", "a DNS lookup costs one round trip", "1 round trip", _trips(seen)),
        ("dns-udp", "3.3", "DNS queries go over UDP", "UDP", _over_udp(seen)),
        ("dns-names", "1.1", "DNS translates names of any domain", "root ─► com ─► example.com", _walk(seen)),
        ("dns-near", "8.3", "each user is sent to the edge of their city", "Tokyo ─► Tokyo", _near(seen)),
    )
    for number, guide, statement, expected, found in rules:
        yield claim(number, guide, statement, expected, found, seen.read.run.flaws)


def _cold(seen: Seen) -> Finding | None:
    found = seen.client("cold")
    if not found:
        return None
    return Finding(f"{found[0].ms:.1f} ms", about(found[0].ms, 50), {"cold": found[0].frames})


_INSTANT_MS = 1.0


def _cached(seen: Seen) -> Finding | None:
    """In the client's own cache: its second request sends no question. In the resolver's: a round trip."""
    own, near = seen.client("own"), seen.client("cached")
    if not own or not near or seen.resolver("cached"):
        return None
    took = sorted(one.ms for one in near)[len(near) // 2]
    words = f"{len(own)} question for two requests of one program; from the resolver's cache {took:.1f} ms"
    evidence = {"own": own[0].frames, "resolver": near[0].frames}
    if len(own) > 1:
        return Finding(words, Verdict.REFUTED, evidence)
    return Finding(words, Verdict.HOLDS if took < _INSTANT_MS else Verdict.PARTLY, evidence)


def _trips(seen: Seen) -> Finding | None:
    cold, behind, cached = seen.client("cold"), seen.resolver("cold"), seen.client("cached")
    if not cold or not cached:
        return None
    words = f"cold: {len(cold)} of the client and {len(behind)} of the resolver; cached: 1 of the client"
    evidence = {"cold": (*cold[0].frames, *(number for one in behind for number in one.frames))}
    right = len(cold) == 1 and not seen.resolver("cached")
    if not right:
        return Finding(words, Verdict.REFUTED, evidence)
    return Finding(words, Verdict.PARTLY if behind else Verdict.HOLDS, evidence)


def _over_udp(seen: Seen) -> Finding | None:
    phases = ("cold", "cached", "ttl", "gone", "long")
    found = [one for phase in phases for one in (*seen.client(phase), *seen.resolver(phase))]
    if not found:
        return None
    by_tcp = [one for one in found if one.tcp]
    cut = [one for one in found if one.answer.truncated]
    words = f"{len(found) - len(by_tcp)} of {len(found)}; TCP after {len(cut)} answers that were cut off (TC)"
    evidence = {"udp": found[0].frames, "tcp": tuple(number for one in by_tcp for number in one.frames)[:4]}
    if len(by_tcp) == len(found):
        return Finding(words, Verdict.REFUTED, evidence)
    return Finding(words, Verdict.PARTLY if by_tcp else Verdict.HOLDS, evidence)


def _walk(seen: Seen) -> Finding | None:
    """Every server but the last one only refers: NS records below it, and no authority of its own."""
    found = seen.resolver("cold")
    if not found:
        return None
    words = " ─► ".join(f"{seen.name(one.server)} ({_said(one)})" for one in found)
    referred = all(not one.answer.authoritative and one.answer.authority for one in found[:-1])
    right = referred and found[-1].answer.authoritative and bool(found[-1].data)
    evidence = {"cold": tuple(number for one in found for number in one.frames)}
    if not right:
        return Finding(words, Verdict.REFUTED, evidence)
    return Finding(words, Verdict.HOLDS if len(found) == 3 else Verdict.PARTLY, evidence)


def _said(one: Exchange) -> str:
    if one.answer.answers:
        return "answers"
    return f"refers to {one.answer.authority[0].name}" if one.answer.authority else one.answer.rcode


def _near(seen: Seen) -> Finding | None:
    """Tokyo's client asks in London: the name server sees the resolver, or the client's subnet if told."""
    plain, told, home = seen.client("geo", TOKYO), seen.client("geo ecs", TOKYO), seen.client("geo ecs home")
    if not (plain and told and home):
        return None
    sent = [seen.name(one[0].data[0]) if one[0].data else "nowhere" for one in (plain, told, home)]
    words = f"Tokyo, asking in London: to {sent[0]}; with its subnet told: to {sent[1]}; London: to {sent[2]}"
    evidence = {"plain": plain[0].frames, "subnet": told[0].frames, "london": home[0].frames}
    right = sent[1:] == [EDGES["Tokyo"], EDGES["London"]]
    if not right:
        return Finding(words, Verdict.REFUTED, evidence)
    return Finding(words, Verdict.HOLDS if sent[0] == EDGES["Tokyo"] else Verdict.PARTLY, evidence)


SCENARIO = Scenario(
    "dns",
    "what a name costs: cold, cached, gone and long; by location; over UDP, TCP, TLS and HTTPS",
    stimulus,
    judge,
    interfaces=lambda _: (":".join(LONDON), ":".join(TOKYO), f"{RESOLVER}:eth0"),
    needs={
        LONDON[0]: "it asks",
        TOKYO[0]: "it asks from afar",
        RESOLVER: "it is asked",
        ROOT: "it knows com",
    },
)
