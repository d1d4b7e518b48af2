"""Verdicts on DNS: lookups made of packets, and what changes them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netlab.decode.frame import Frame
from netlab.decode.quic import Datagram
from netlab.proto.dns import Message, Question, ResourceRecord, encode
from netlab.proto.dns_edns import subnet_of
from netlab.scenarios.dns import API, GONE, LONG, PORT, RESOLVER, SHORT, judge
from netlab.scenarios.dns_packets import exchanges, talks
from netlab.trace.claim import Claim, Verdict
from netlab.trace.packet import packets_of
from netlab.trace.recording import Recording
from netlab.trace.run import RunNode, RunPhase
from tests.kit.quic_bytes import MS, udp_frame
from tests.kit.recordings import by_id, recording

HOLDS, PARTLY, REFUTED, NOT_RUN = Verdict.HOLDS, Verdict.PARTLY, Verdict.REFUTED, Verdict.NOT_RUN
AT = {
    "client-a": "192.168.1.10",
    "client-b": "100.64.0.10",
    RESOLVER: "203.0.113.53",
    "ns-root": "198.51.100.18",
    "ns-com": "198.51.100.34",
    "ns-example": "198.51.100.26",
    "edge-london": "198.51.100.10",
    "edge-tokyo": "192.0.2.10",
}
WALK = (("ns-root", "com"), ("ns-com", "example.com"), ("ns-example", ""))


def record(name: str, data: str, type_: str = "A") -> ResourceRecord:
    return ResourceRecord(name, type_, 300, data)


class Story:
    """Phases, one after the other, with the lookups in them."""

    def __init__(self) -> None:
        self.now = 0
        self.frames: list[Frame] = []
        self.phases: list[RunPhase] = []

    def datagram(self, node: str, ends: tuple[str, int, str, int], message: Message) -> None:
        source, sport, target, dport = ends
        one = Datagram(
            len(self.frames) + 1, self.now, (AT[source], sport), (AT[target], dport), encode(message)
        )
        interface = "wwan0" if node == "client-b" else "eth0"
        self.frames.append(udp_frame(one, node, interface))

    def ask(
        self, asker: str, server: str, name: str, answer: Message, ms: float, port: int = 53, type_: str = "A"
    ) -> None:
        number = len(self.frames) + 1
        query = Message(number, Question(name, type_), edns_bytes=1232)
        self.datagram(asker, (asker, 40_000 + number, server, port), query)
        self.now += round(ms * MS)
        full = replace(answer, id=number, question=query.question, response=True)
        self.datagram(asker, (server, port, asker, 40_000 + number), full)

    def lookup(
        self,
        phase: str,
        name: str,
        where: str = "edge-london",
        *,
        client: str = "client-a",
        walk: tuple[tuple[str, str], ...] = (),
        ms: float = 5.0,
        authority: bool = True,
    ) -> None:
        """One lookup in a phase of its own; `walk`: whom the resolver asks, and what they refer to."""
        started = self.now
        answer = Message(0, answers=(record(name, AT[where]),)) if where else Message(0, rcode="NXDOMAIN")
        for server, refers in walk:
            if refers:
                told = Message(0, authority=(record(refers, f"{server}.", "NS"),))
                self.ask(RESOLVER, server, name, told, ms)
            else:
                self.ask(RESOLVER, server, name, replace(answer, authoritative=authority), ms)
        self.ask(client, RESOLVER, name, answer, ms, PORT)
        self.phases.append(RunPhase(name=phase, started_ns=started, ended_ns=self.now))
        self.now += 100 * MS

    def recording(self, dropped: int = 0) -> Recording:
        made = recording(self.frames, phases=self.phases, dropped=dropped)
        nodes = {name: RunNode(addresses=(address,)) for name, address in AT.items()}
        told = replace(made, run=made.run.model_copy(update={"nodes": nodes}))
        told.__dict__["frames"] = tuple(self.frames)
        return told


def story(skip: str = "") -> Story:
    made = Story()
    for phase, name, options in (
        ("cold", API, {"walk": WALK, "ms": 50.0}),
        ("cached", API, {}),
        ("ttl", SHORT, {"walk": WALK[2:]}),
        ("gone", GONE, {"where": "", "walk": WALK[2:]}),
        ("own", "origin.example.com", {"walk": WALK[2:]}),
        ("geo", API, {"client": "client-b"}),
        ("geo ecs", API, {"client": "client-b", "where": "edge-tokyo", "walk": WALK}),
        ("geo ecs home", API, {"walk": WALK[2:]}),
    ):
        if phase != skip:
            made.lookup(phase, name, **options)
    return made


def judged(made: Story, dropped: int = 0) -> dict[str, Claim]:
    return by_id(judge(made.recording(dropped)).claims)


def test_what_the_protocols_do() -> None:
    made = story()
    found = judged(made)
    assert {name: one.verdict for name, one in found.items()} == {
        "dns-cold": HOLDS,
        "dns-cached": PARTLY,
        "dns-round-trip": PARTLY,
        "dns-udp": HOLDS,
        "dns-names": HOLDS,
        "dns-near": PARTLY,
    }, found
    assert all(one.evidence for one in found.values())
    table = judge(made.recording()).tables[0]
    cold = next(row for row in table.rows if row.cells[0] == "a name, nothing cached")
    assert cold.cells[3:6] == (3, "ns-root ─► ns-com ─► ns-example", "edge-london")


def test_other_packets_change_the_verdicts() -> None:
    slow = story("cold")
    slow.lookup("cold", API, walk=WALK, ms=200.0)
    assert judged(slow)["dns-cold"].verdict is REFUTED

    forgetful = story("own")
    for _ in range(2):
        forgetful.ask("client-a", RESOLVER, "origin.example.com", Message(0), 5.0, PORT)
    forgetful.phases.append(
        RunPhase(name="own", started_ns=forgetful.frames[-4].time_ns, ended_ns=forgetful.now)
    )
    assert judged(forgetful)["dns-cached"].verdict is REFUTED, "the client asked again"

    near = story("geo")
    near.lookup("geo", API, "edge-tokyo", client="client-b")
    assert judged(near)["dns-near"].verdict is HOLDS
    lost = story("geo ecs")
    lost.lookup("geo ecs", API, "edge-london", client="client-b")
    assert judged(lost)["dns-near"].verdict is REFUTED

    lame = story("cold")
    lame.lookup("cold", API, walk=WALK, authority=False)
    assert judged(lame)["dns-names"].verdict is REFUTED
    short = story("cold")
    short.lookup("cold", API, walk=WALK[1:])
    assert judged(short)["dns-names"].verdict is PARTLY, "no root was asked"


@pytest.mark.parametrize("phase", ["cold", "cached", "own", "geo"])
def test_what_is_not_there_proves_nothing(phase: str) -> None:
    told = {name for name, one in judged(story(phase)).items() if one.verdict is NOT_RUN}
    assert told, phase
    assert all(one.verdict is NOT_RUN for one in judged(story(), dropped=3).values())
    assert all(one.verdict is NOT_RUN for one in judged(Story()).values())


def test_an_answer_that_is_cut_off_is_seen() -> None:
    made = story()
    started = made.now
    made.ask("client-a", RESOLVER, LONG, Message(0, truncated=True), 5.0, PORT, "TXT")
    made.phases.append(RunPhase(name="long", started_ns=started, ended_ns=made.now))
    assert "1 answers that were cut off" in judged(made)["dns-udp"].measured


def test_exchanges_pair_by_id_and_socket() -> None:
    made = Story()
    query = Message(7, Question("x.example", "A"), edns_bytes=1232, subnet=subnet_of("192.0.2.1"))
    answer = Message(7, query.question, response=True)
    ask, back = ("client-a", 4000, RESOLVER, 53), (RESOLVER, 53, "client-a", 4000)
    made.datagram("client-a", ask, query)
    made.datagram("client-a", (RESOLVER, 53, "client-a", 4001), answer)  # to another socket
    made.datagram("client-a", back, replace(answer, id=8))  # another id
    made.now += MS
    made.datagram("client-a", ask, query)  # once more
    made.datagram("client-a", back, answer)
    (one,) = exchanges(packets_of(made.frames), 53)
    assert (one.frames, one.ms, one.name) == ((1, 5), 1.0, "x.example"), "the wait began with the first"


def test_talks_are_cut_at_pauses() -> None:
    made = Story()
    for _ in range(3):
        made.ask("client-a", RESOLVER, "x.example", Message(0), 5.0, PORT)
        made.now += 400 * MS
    client, server = frozenset((AT["client-a"],)), frozenset((AT[RESOLVER],))
    found = talks(packets_of(made.frames), client, server, 0.2)
    assert [(len(one.packets), one.turns(5 * MS), one.ms) for one in found] == [(2, 1, 5.0)] * 3
    assert talks(packets_of(made.frames), server, frozenset(), 0.2) == ()
