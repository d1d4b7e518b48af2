"""A bulkhead: one slow service, and what is left for the others of a caller with 100 connections (guide
8.4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from netlab.model.roles import ClientSpec, Pool
from netlab.scenarios.bench import Bench
from netlab.scenarios.calls import Sent, address, at_once, requests, resilience, sent
from netlab.scenarios.measured import starts
from netlab.scenarios.scenario import Scenario
from netlab.scenarios.verdicts import Finding, claim
from netlab.trace.claim import Claim, Verdict
from netlab.trace.findings import Findings
from netlab.trace.recording import Recording
from netlab.trace.table import Row, Spread, Table

CALLER, INTERFACE = "proxy", "eth0"  # it needs three services, as the guide's application does
LIMITS = {"app-1": 40, "app-2": 40, "app-3": 20}
SERVICES = {"app-1": "Database A", "app-2": "Database B", "app-3": "external API"}
SLOW, SLOW_MS = "app-3", 900
WORK_MS = 250  # of every call
TOTAL, CALLS = 100, 60  # connections; calls to each service that is well
SLOW_CALLS = 100
PORT = 8080
_WAYS = {"shared": "one pool for all", "apart": "40, 40 and 20"}


def stimulus(bench: Bench) -> None:
    """The same calls at once, to a slow service first: from one pool, and from one for each service."""
    hosts = {app: f"{address(bench, app)}:{PORT}" for app in SERVICES}
    of = {hosts[app]: limit for app, limit in LIMITS.items()}
    bulkhead = {"limit": TOTAL, "of": of, "queue": 2 * TOTAL, "wait": "20s"}
    with bench.fault("slow", SLOW, f"{SLOW_MS}ms"):
        for way, title in _WAYS.items():
            bench.say(f"{SLOW_CALLS} calls to a slow service, {CALLS} to each of two others; {title}")
            calls = [
                call
                for app, count in ((SLOW, SLOW_CALLS), *((app, CALLS) for app in SERVICES if app != SLOW))
                for call in requests(
                    f"{way} {app}", count, f"http://{hosts[app]}/slow?ms={WORK_MS}", http="1.1"
                )
            ]
            spec = ClientSpec(
                requests=bench.traced(calls),
                parallel=len(calls),
                pool=Pool(total=TOTAL, per_host=TOTAL),
                resilience=resilience(bulkhead=bulkhead) if way == "apart" else resilience(),
            )
            with bench.phase(way):
                bench.run(CALLER, spec)


@dataclass(frozen=True, slots=True)
class Served:
    """What one service got in one way. `connections`: the most that were under way at once; `waited_ms`: from
    the first packet of all calls until each of these was sent; `took_ms`: until its answer was whole."""

    app: str
    calls: int
    connections: int
    waited_ms: tuple[float, ...]
    took_ms: tuple[float, ...]
    frames: tuple[int, ...]


Ways = Mapping[str, Mapping[str, Served]]


def judge(read: Recording) -> Findings:
    seen = sent(read, CALLER, INTERFACE, CALLER)
    ways = {way: found for way in _WAYS if (found := _served(seen, way))}
    wanted = sum(1 for _ in starts(read.events, CALLER))
    missing = wanted - len(seen)
    return Findings(
        (_table(ways),),
        tuple(_claims(ways, read.run.flaws)),
        failed=(f"{missing} of {wanted} calls are not in the capture",) if missing else (),
    )


def _served(seen: Sequence[Sent], way: str) -> dict[str, Served]:
    mine = [one for one in seen if one.group.startswith(f"{way} ")]
    if not mine:
        return {}
    begun = min(one.span.asked.time_ns for one in mine)
    found = {}
    for app in SERVICES:
        calls = [one for one in mine if one.group == f"{way} {app}" and one.span.done is not None]
        if calls:
            found[app] = Served(
                app,
                len(calls),
                at_once((one.span.asked.time_ns, one.ended_ns) for one in calls),
                tuple((one.span.asked.time_ns - begun) / 1e6 for one in calls),
                tuple((one.ended_ns - begun) / 1e6 for one in calls),
                (calls[0].span.asked.frame, calls[-1].span.asked.frame),
            )
    return found


def _table(ways: Ways) -> Table:
    rows = []
    for way, services in ways.items():
        for app, one in services.items():
            slow = f", {SLOW_MS} ms late" if app == SLOW else ""
            waited, took = Spread.of(one.waited_ms), Spread.of(one.took_ms)
            assert waited is not None  # as there are calls
            assert took is not None
            cells = (_WAYS[way], f"{SERVICES[app]}{slow}", one.calls, one.connections)
            rows.append(Row((*cells, waited.text(0), took.text(0)), one.frames))
    return Table(
        f"{TOTAL} connections in all; {SLOW_CALLS} calls to a slow service, then {CALLS} to each other one",
        ("connections", "service", "calls", "at once", "sent after, ms", "answered after, ms"),
        tuple(rows),
        ("at once: calls under way. after: from the first packet of all calls, which began together.",),
    )


def _claims(ways: Ways, flaws: Sequence[str]) -> Iterator[Claim]:
    yield claim(
        "shared-exhausted",
        "8.4",
        "without a bulkhead one slow service exhausts all connections",
        "the others wait for it",
        _exhausted(ways.get("shared")),
        flaws,
    )
    yield claim(
        "bulkhead-limits",
        "8.4",
        "40, 40 and 20 of 100 connections",
        "no more at once",
        _limits(ways.get("apart")),
        flaws,
    )
    yield claim(
        "bulkhead-isolates",
        "8.4",
        "a pool for each service: a slow one does not exhaust all",
        "the others answered before the slow one's first",
        _isolated(ways.get("apart")),
        flaws,
    )


def _well(services: Mapping[str, Served] | None) -> list[Served]:
    return [one for app, one in (services or {}).items() if app != SLOW]


def _whole(services: Mapping[str, Served] | None) -> bool:
    counts = {app: SLOW_CALLS if app == SLOW else CALLS for app in SERVICES}
    return services is not None and {app: one.calls for app, one in services.items()} == counts


def _exhausted(services: Mapping[str, Served] | None) -> Finding | None:
    if services is None or not _whole(services):
        return None
    slow, first = services[SLOW], min(min(one.waited_ms) for one in _well(services))
    words = f"{slow.connections} calls to the slow one at once; the first to another after {first:.0f} ms"
    waits = slow.connections == TOTAL and first >= SLOW_MS * 0.9
    evidence = {app: one.frames for app, one in services.items()}
    return Finding(words, Verdict.HOLDS if waits else Verdict.REFUTED, evidence)


def _limits(services: Mapping[str, Served] | None) -> Finding | None:
    if services is None or not _whole(services):
        return None
    most = {app: one.connections for app, one in services.items()}
    words = ", ".join(f"{most[app]} to {SERVICES[app]}" for app in SERVICES) + " at once at most"
    kept = all(most[app] <= limit for app, limit in LIMITS.items())
    used = most == LIMITS
    verdict = Verdict.HOLDS if kept and used else Verdict.PARTLY if kept else Verdict.REFUTED
    return Finding(words, verdict, {app: one.frames for app, one in services.items()})


def _isolated(services: Mapping[str, Served] | None) -> Finding | None:
    if services is None or not _whole(services):
        return None
    last = max(max(one.took_ms) for one in _well(services))
    first = min(services[SLOW].took_ms)
    words = (
        f"the last of the others was answered after {last:.0f} ms, the slow one's first after {first:.0f} ms"
    )
    evidence = {app: one.frames for app, one in services.items()}
    return Finding(words, Verdict.HOLDS if last < first else Verdict.REFUTED, evidence)


SCENARIO = Scenario(
    "bulkhead",
    "one slow service of three, and 100 connections: from one pool, and as 40, 40 and 20",
    stimulus,
    judge,
    interfaces=lambda _: (f"{CALLER}:{INTERFACE}",),
    topology="middle",
    needs={CALLER: "it calls", **dict.fromkeys(SERVICES, "it is called")},
)
