"""How many round trips a client waits before the first byte of an answer: TCP with TLS 1.2, TLS 1.3 and a
resumed session, QUIC with and without 0-RTT (guide 8.1), at the guide's 50 ms."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from netlab.model.roles import HttpVersion, Request
from netlab.scenarios.answers import refuse_failed
from netlab.scenarios.bench import Bench
from netlab.scenarios.measured import Asked, asked, failures, unseen
from netlab.scenarios.scenario import TLS_WAYS, TlsChoice, recorded
from netlab.scenarios.verdicts import Finding, about, claim
from netlab.trace.claim import Claim, Verdict
from netlab.trace.connection import Handshake
from netlab.trace.findings import Findings
from netlab.trace.recording import Recording
from netlab.trace.table import Row, Spread, Table

CLIENT = "client-a"
URL = "https://origin.example.com/health"
OCEAN, OCEAN_DELAY = "transit-eu:atlantic", "22.5ms"  # with the 2.5 ms of the way to it: 50 ms there and back
_PRIMING = "priming"  # gets the session that the others resume; it is not measured

_TITLES: dict[TlsChoice, str] = {
    "1.2": "TLS 1.2",
    "1.3": "TLS 1.3",
    "resumed": "TLS 1.3 resumed",
    "0rtt": "0-RTT",
}
# What the guide's 8.1 says of the round trips before the request may leave.
_GUIDE: dict[tuple[str, TlsChoice], int] = {
    ("tcp", "1.2"): 3,
    ("tcp", "1.3"): 2,
    ("quic", "1.3"): 1,
    ("quic", "0rtt"): 0,
}


def ways(http: Sequence[HttpVersion], tls: Sequence[TlsChoice]) -> Iterator[tuple[HttpVersion, TlsChoice]]:
    """The pairs that exist: QUIC has no TLS 1.2 (RFC 9001 section 4.2), and only it has 0-RTT here."""
    for version in http:
        for choice in tls:
            if choice != ("1.2" if version == "3" else "0rtt"):
                yield version, choice


def stimulus(bench: Bench) -> None:
    """Every way, `repeats` times in turn, each on a new connection of one client."""
    chosen = tuple(ways(bench.http, bench.tls))
    requests = []
    for turn in range(1, bench.repeats + 1):
        for version, choice in chosen:
            if choice in ("resumed", "0rtt"):  # a ticket is used once
                requests.append(_request(f"{_PRIMING} {version} {choice} {turn}", version, "resumed"))
            requests.append(_request(f"{version} {choice} {turn}", version, choice))
    bench.say(f"{len(requests)} requests from {CLIENT}, at a round trip of 50 ms")
    with bench.link(OCEAN, f"delay={OCEAN_DELAY}"):
        refuse_failed(bench.ask(CLIENT, requests))


def _request(name: str, version: HttpVersion, choice: TlsChoice) -> Request:
    return Request(name=name, url=URL, http=version, tls=recorded(TLS_WAYS[choice]), fresh=True)


def judge(read: Recording) -> Findings:
    """Counts turns of the conversation, at the client's interface."""
    found = asked(read, CLIENT)
    groups: dict[tuple[str, TlsChoice], list[Asked]] = defaultdict(list)
    for one in found:
        version, _, rest = one.name.partition(" ")
        if version != _PRIMING:
            groups[version, _choice(rest)].append(one)
    table = Table(
        "Round trips before the first byte of the response",
        ("way", "before", "guide", "in all", "by time", "first byte, ms", "bytes"),
        tuple(_row(key, group) for key, group in groups.items()),
        (
            "before: turns of the conversation that end before the request leaves; in all: until the first",
            "byte. by time: the wait for it over the round trip of the first packets. bytes: both ways,",
            "before the request left.",
        ),
    )
    return Findings(
        (table,),
        tuple(_claims(groups, read.run.flaws)),
        failed=(
            *failures(read, CLIENT),
            *(f"{name}: not in the capture" for name in unseen(read, CLIENT, found)),
        ),
    )


def _choice(rest: str) -> TlsChoice:
    return next(choice for choice in _TITLES if choice == rest.split(" ", maxsplit=1)[0])


def _transport(version: str) -> str:
    return "quic" if version == "3" else "tcp"


def _row(key: tuple[str, TlsChoice], group: Sequence[Asked]) -> Row:
    version, choice = key
    trips = [one.connection.round_trips for one in group]
    seen = [one for one in trips if one is not None]
    waited = Spread.of([one.waited_ns / 1e6 for one in seen])
    transport = "QUIC" if version == "3" else "TCP"
    return Row(
        (
            f"HTTP/{version} {transport} + {_TITLES[choice]}",
            _each([one.before_request for one in seen]),
            _GUIDE.get((_transport(version), choice)),
            _each([one.count for one in seen]),
            _median([one.by_time for one in seen]),
            waited.text() if waited else None,
            _median([float(_handshake_bytes(one)) for one in group]),
        ),
        seen[0].frames if seen else (),
    )


def _handshake_bytes(one: Asked) -> int:
    """On the wire, both ways, before the request left."""
    return sum(
        packet.frame.length for packet in one.connection.packets if packet.time_ns < one.span.asked.time_ns
    )


def _each(values: Sequence[int]) -> str | int | None:
    """One number where all are the same; else all that there are."""
    kinds = sorted(set(values))
    return None if not kinds else kinds[0] if len(kinds) == 1 else ", ".join(map(str, kinds))


def _median(values: Sequence[float]) -> float | None:
    spread = Spread.of(values)
    return None if spread is None else spread.median


def _as_chosen(handshake: Handshake, choice: TlsChoice) -> bool:
    """Whether the packets show what was asked for; whether early data was taken is what is measured."""
    version = "TLS 1.2" if choice == "1.2" else "TLS 1.3"
    return handshake.version == version and (handshake.resumed or choice in ("1.2", "1.3"))


def _claims(groups: dict[tuple[str, TlsChoice], list[Asked]], flaws: Sequence[str]) -> Iterator[Claim]:
    def counted(transport: str, choice: TlsChoice, wanted: int) -> Finding | None:
        made = [
            a for (v, c), group in groups.items() if _transport(v) == transport and c == choice for a in group
        ]
        right = [one for one in made if _as_chosen(one.connection.handshake, choice)]
        trips = [a.connection.round_trips for a in right if a.connection.round_trips is not None]
        if made and not right:
            words = f"{len(made)} connections, none of them {_TITLES[choice]}"
            return Finding(words, Verdict.NOT_RUN, {"first": (made[0].connection.start.frame,)})
        if not trips:
            return None
        found = sorted({trip.before_request for trip in trips})
        verdict = Verdict.HOLDS if found == [wanted] else Verdict.REFUTED
        if wanted in found and len(found) > 1:
            verdict = Verdict.PARTLY
        name = f"{transport} {choice}"
        return Finding(
            f"{', '.join(map(str, found))} in {len(trips)} connections", verdict, {name: trips[0].frames}
        )

    def first_byte() -> Finding | None:
        one = [a for (v, c), group in groups.items() if v != "3" and c == "1.2" for a in group]
        trips = [a.connection.round_trips for a in one if a.connection.round_trips is not None]
        handshake = Spread.of([(a.span.asked.time_ns - a.connection.start.time_ns) / 1e6 for a in one])
        waited = Spread.of([trip.waited_ns / 1e6 for trip in trips])
        if waited is None or handshake is None:
            return None
        words = f"{handshake.text()} ms to the request, {waited.text()} ms to the first byte of the answer"
        verdict = about(handshake.median, 150)
        if verdict is Verdict.HOLDS and about(waited.median, 150) is not Verdict.HOLDS:
            verdict = Verdict.PARTLY  # the first byte that the client sends, and not the first that it gets
        return Finding(words, verdict, {"tcp 1.2": trips[0].frames})

    yield claim(
        "tls12-round-trips",
        "8.1",
        "TCP and TLS 1.2 cost three round trips before data is sent",
        "3",
        counted("tcp", "1.2", 3),
        flaws,
    )
    yield claim(
        "tls12-150ms",
        "8.1",
        "at 50 ms TLS 1.2 over TCP takes 150 ms before the first byte",
        "150 ms",
        first_byte(),
        flaws,
    )
    yield claim(
        "tls13-round-trips",
        "8.1",
        "TLS 1.3 needs one round trip after TCP's",
        "2",
        counted("tcp", "1.3", 2),
        flaws,
    )
    yield claim(
        "tls13-resumed",
        "8.1",
        "TLS 1.3 has 0-RTT for resumed connections (over TCP)",
        "1",
        counted("tcp", "resumed", 1),
        flaws,
    )
    yield claim(
        "quic-round-trips",
        "8.1",
        "QUIC joins transport and TLS in one round trip",
        "1",
        counted("quic", "1.3", 1),
        flaws,
    )
    yield claim(
        "quic-0rtt",
        "8.1",
        "QUIC sends data with its first packet on resumed connections",
        "0",
        counted("quic", "0rtt", 0),
        flaws,
    )
