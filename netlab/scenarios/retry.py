"""Retries: the herd that comes back after an outage, what may be sent twice, and what a budget bounds (guide
8.4)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from netlab.model.roles import AppSpec, Pool, Resilience
from netlab.scenarios.bench import Bench
from netlab.scenarios.calls import (
    APPS,
    CLIENT,
    INTERFACE,
    PORT,
    PUBLIC,
    SERVER,
    Sent,
    address,
    grouped,
    phase_of,
    requests,
    resilience,
    sent,
    windows,
    within,
)
from netlab.scenarios.scenario import Scenario
from netlab.scenarios.verdicts import Finding, claim
from netlab.trace.claim import Claim, Verdict
from netlab.trace.findings import Findings
from netlab.trace.packet import Packet, packets_of
from netlab.trace.recording import Recording
from netlab.trace.table import Row, Table

JITTERS = {"none": "none", "added": "added, as the guide has it", "full": "full"}
CLIENTS = 60  # each with a connection and a back-off of its own, in one process
STEP_MS = 300  # the guide's waits are 1, 2, 4, 8 s
OUTAGE_S = 1.5  # after three rounds of attempts
OUT_PORT = 9000  # of a service that is not there during the outage
WINDOW_MS = 100
CALLS, BUDGET, RESERVE, ATTEMPTS = 60, 20, 5, 4
_BACKOFF = {"base": f"{STEP_MS}ms", "cap": f"{8 * STEP_MS}ms", "spread": f"{STEP_MS}ms"}
_ANY = {"budget": "100%", "reserve": 10_000}  # bounds nothing


def stimulus(bench: Bench) -> None:
    """The same outage for clients with each jitter; orders; calls that all fail."""
    host = address(bench, SERVER, PUBLIC)
    for jitter, title in JITTERS.items():
        bench.say(f"{CLIENTS} clients and an outage of {OUTAGE_S:g} s; jitter: {title}")
        _herd(bench, host, jitter)
    bench.say("orders that are answered late, without a key and with one")
    with bench.serving(SERVER, AppSpec(listen=OUT_PORT)):
        _orders(bench, "order", f"http://{host}:{OUT_PORT}/orders?ms=400")
    _orders(bench, "spread", f"http://{host}:{PORT}/orders?ms=400")
    bench.say(f"{CALLS} calls that fail, {ATTEMPTS} attempts each, with a retry budget and without")
    for name, bounds in (("bounded", {"budget": f"{BUDGET}%", "reserve": RESERVE}), ("unbounded", _ANY)):
        retry = {"attempts": ATTEMPTS, "base": "50ms", "cap": "100ms", **bounds}
        calls = requests(name, CALLS, f"http://{host}:{OUT_PORT}/", http="1.1", fresh=True)
        with (
            bench.phase(name),
            bench.asking(
                CLIENT, calls, may_fail=True, parallel=CALLS, pool=_POOL, resilience=resilience(retry=retry)
            ),
        ):
            pass


_POOL = Pool(total=2 * CLIENTS, per_host=2 * CLIENTS)


def _herd(bench: Bench, host: str, jitter: str) -> None:
    asked = requests(jitter, CLIENTS, f"http://{host}:{OUT_PORT}/objects/1", http="1.1", fresh=True)
    policy = resilience(retry={"attempts": 12, "jitter": jitter, **_BACKOFF, **_ANY})
    with (
        bench.phase(f"herd {jitter}"),
        bench.asking(
            CLIENT, asked, may_fail=True, parallel=CLIENTS, pool=_POOL, resilience=policy
        ) as all_done,
    ):
        time.sleep(OUTAGE_S)
        with bench.serving(SERVER, AppSpec(listen=OUT_PORT)):
            all_done()


def _orders(bench: Bench, name: str, url: str) -> None:
    """One without a key, one with, and one after them, which is answered at once."""
    policy: Resilience = resilience(
        timeouts={"read": "200ms"}, retry={"attempts": 4, "jitter": "none", "base": "200ms", **_ANY}
    )
    plain = requests(f"{name} plain", 1, url, http="1.1", method="POST", body="tea", fresh=True)
    key = {"Idempotency-Key": f'"{bench.traced(plain)[0].traceparent}"'}
    keyed = requests(f"{name} keyed", 1, url, http="1.1", method="POST", body="tea", headers=key, fresh=True)
    after = requests(
        f"{name} after", 1, url.partition("?")[0], http="1.1", method="POST", body="tea", fresh=True
    )
    with bench.asking(CLIENT, [*plain, *keyed, *after], may_fail=True, resilience=policy):
        pass
    time.sleep(0.3)  # until the app has answered those whom nobody waits for


# What the packets say.


@dataclass(frozen=True, slots=True)
class Herd:
    """Attempts to connect, as the server's interface saw them. `peak`: the most retries within WINDOW_MS;
    `back_ms`: when the service was there again, after the first attempt of all; `burst`: the most attempts
    within WINDOW_MS from then on. `rounds_ms`: see _rounds; `all_ms`: when the last one was served."""

    jitter: str
    attempts: int
    peak: int
    back_ms: float
    burst: int
    rounds_ms: tuple[float, ...]
    all_ms: float | None
    frames: tuple[int, ...]


def judge(read: Recording) -> Findings:
    talk = _Talk(read)
    herds = {jitter: herd for jitter in JITTERS if (herd := _herd_seen(talk, jitter)) is not None}
    acted = _acted(talk)
    calls = {
        name: tuple(one.number for one in talk.syns(name))
        for name in ("bounded", "unbounded")
        if talk.syns(name)
    }
    return Findings(
        (_herd_table(herds), _order_table(talk.seen, acted), _budget_table(calls)),
        tuple(_claims(herds, talk.seen, acted, calls, read.run.flaws)),
    )


class _Talk:
    """The packets at the server, read once."""

    def __init__(self, read: Recording) -> None:
        self.read = read
        self.seen = sent(read, SERVER, PUBLIC)
        self._packets = packets_of(read.frames_at(SERVER, PUBLIC))

    def syns(self, phase: str) -> list[Packet]:
        """To the service, in a phase."""
        return [one for one in self._of(phase) if one.opens and one.dst.port == OUT_PORT]

    def accepts(self, phase: str) -> list[Packet]:
        return [one for one in self._of(phase) if one.accepts and one.src.port == OUT_PORT]

    def _of(self, phase: str) -> list[Packet]:
        return within(self._packets, phase_of(self.read, phase))


def _herd_seen(talk: _Talk, jitter: str) -> Herd | None:
    syns, accepts = talk.syns(f"herd {jitter}"), talk.accepts(f"herd {jitter}")
    if len(syns) <= CLIENTS or not accepts:
        return None
    times = [one.time_ns for one in syns]
    width = WINDOW_MS * 1_000_000
    back_ns = max(one for one in times if one <= accepts[0].time_ns)  # the SYN that was accepted first
    burst, first = max(windows([one for one in times if one >= back_ns], width))
    index = times.index(back_ns) + first
    served = [one for one in grouped(talk.seen, jitter) if one.span.status == 200]
    last = max((one.ended_ns for one in served), default=None)
    return Herd(
        jitter,
        len(times),
        max(windows(times[CLIENTS:], width))[0],  # each client's first attempt is long before any second
        (back_ns - times[0]) / 1e6,
        burst,
        tuple(_rounds(times)),
        None if last is None else (last - times[0]) / 1e6,
        tuple(one.number for one in syns[index : index + burst]),
    )


def _rounds(times: Sequence[int]) -> Iterator[float]:
    """The middle of each CLIENTS attempts, in ms from that of the first ones: without jitter, of a wave."""
    rounds = [times[start : start + CLIENTS] for start in range(0, len(times), CLIENTS)]
    for one in rounds:
        if len(one) == CLIENTS:
            yield (median(one) - median(rounds[0])) / 1e6


def _acted(talk: _Talk) -> dict[str, list[Sent]]:
    """Group ─► the orders that an app made: 201, and not the answer of before. At the apps, or at the server
    whose process is the app."""
    found: dict[str, list[Sent]] = {}
    seen = [one for app in APPS for one in sent(talk.read, app, "eth0")]
    seen += [one for one in talk.seen if one.group.startswith("order ")]
    for one in seen:
        response = one.span.exchange.response
        if one.span.status != 201 or response is None or isinstance(response, str):
            continue
        if not response.headers.has("idempotent-replayed"):
            found.setdefault(one.group, []).append(one)
    return found


# Tables.


def _herd_table(herds: Mapping[str, Herd]) -> Table:
    return Table(
        f"{CLIENTS} clients that lost a service for {OUTAGE_S:g} s; waits of {STEP_MS} ms × 2ⁿ",
        ("jitter", "attempts", "most retries", "back at, ms", "most then", "rounds at, ms", "all served, ms"),
        tuple(
            Row(
                (
                    JITTERS[one.jitter],
                    one.attempts,
                    one.peak,
                    round(one.back_ms),
                    one.burst,
                    ", ".join(f"{at:.0f}" for at in one.rounds_ms[:4]),
                    None if one.all_ms is None else round(one.all_ms),
                ),
                one.frames[:3],
            )
            for one in herds.values()
        ),
        (
            f"attempts: SYNs at the server. most: within {WINDOW_MS} ms; then: when the service is back.",
            f"rounds: the middle of each {CLIENTS} attempts; without jitter each client has one in each.",
        ),
    )


_ORDERS = {
    "order plain": "no key, one app",
    "order keyed": "a key, one app",
    "spread keyed": "a key, three apps behind a balancer",
}


def _order_table(orders: Sequence[Sent], acted: Mapping[str, Sequence[Sent]]) -> Table:
    rows = []
    for group, title in _ORDERS.items():
        mine = grouped(orders, group)
        if mine:
            statuses = " ".join(str(one.span.status or "–") for one in mine)
            row = (title, len(mine), statuses, len(acted.get(group, ())))
            rows.append(Row(row, tuple(one.span.asked.frame for one in mine)))
    return Table(
        "POST /orders, answered after 400 ms; 200 ms are waited for each attempt",
        ("order", "sent", "answers", "orders made"),
        tuple(rows),
        (
            "answers: as the server gave them, also where nobody waited. An app remembers keys in its own",
            "process: behind a balancer a retry reaches another one.",
        ),
    )


def _budget_table(calls: Mapping[str, Sequence[int]]) -> Table:
    titles = {"unbounded": "none", "bounded": f"{BUDGET}%, and {RESERVE} at the start"}
    return Table(
        f"{CALLS} calls that all fail, up to {ATTEMPTS} attempts each",
        ("retry budget", "attempts", "times the calls"),
        tuple(
            Row((title, len(calls[name]), round(len(calls[name]) / CALLS, 2)), tuple(calls[name][:3]))
            for name, title in titles.items()
            if name in calls
        ),
    )


# Claims.


def _claims(
    herds: Mapping[str, Herd],
    orders: Sequence[Sent],
    acted: Mapping[str, Sequence[Sent]],
    calls: Mapping[str, Sequence[int]],
    flaws: Sequence[str],
) -> Iterator[Claim]:
    yield claim(
        "exponential-backoff",
        "8.4",
        "each wait is twice the one before: 1, 2, 4, 8 s",
        "each wait twice as long",
        _doubling(herds),
        flaws,
    )
    yield claim(
        "full-jitter",
        "8.4",
        "randomness in the waits prevents a thundering herd",
        "a third as many at once, or less",
        _spreads(herds, "full"),
        flaws,
    )
    yield claim(
        "guides-jitter",
        "8.4",
        "min(longest, base × 2ⁿ + a random part) prevents it",
        "a third as many at once, or less",
        _spreads(herds, "added"),
        flaws,
    )
    yield claim(
        "post-not-retried",
        "8.4",
        "a POST is not safe to retry: it might create duplicates",
        "sent once",
        _once(orders, acted),
        flaws,
    )
    yield claim(
        "idempotency-key",
        "8.4",
        "with an Idempotency-Key a POST can be retried",
        "sent again, made once",
        _made_once(orders, acted, "order keyed"),
        flaws,
    )
    yield claim(
        "idempotency-key-apps",
        "8.4",
        "the key works wherever the retry arrives",
        "sent again, made once",
        _made_once(orders, acted, "spread keyed"),
        flaws,
    )
    yield claim(
        "retry-budget",
        "8.4",
        "retries need a bound, or they multiply the load of an outage",
        f"at most {CALLS + RESERVE + CALLS * BUDGET // 100} attempts for {CALLS} calls",
        _budget(calls),
        flaws,
    )


def _doubling(herds: Mapping[str, Herd]) -> Finding | None:
    """From round to round it takes the wait and a round trip, which is always the same."""
    herd = herds.get("none")
    if herd is None or len(herd.rounds_ms) < 4:
        return None
    gaps = [after - before for before, after in pairwise(herd.rounds_ms[:4])]
    longer = [gap - gaps[0] for gap in gaps[1:]]
    words = f"{', '.join(f'{gap:.0f}' for gap in gaps)} ms from round to round, of {STEP_MS} ms × 2ⁿ"
    near = all(abs(more - STEP_MS * (2**n - 1)) < STEP_MS / 2 for n, more in enumerate(longer, 1))
    return Finding(words, Verdict.HOLDS if near else Verdict.REFUTED, {"none": herd.frames[:3]})


def _spreads(herds: Mapping[str, Herd], jitter: str) -> Finding | None:
    herd, without = herds.get(jitter), herds.get("none")
    if herd is None or without is None:
        return None
    words = (
        f"when the service is back, {herd.burst} within {WINDOW_MS} ms, and {without.burst} without jitter"
    )
    share = herd.burst / without.burst
    verdict = Verdict.HOLDS if share <= 1 / 3 else Verdict.PARTLY if share <= 2 / 3 else Verdict.REFUTED
    return Finding(words, verdict, {jitter: herd.frames[:3], "none": without.frames[:3]})


def _once(orders: Sequence[Sent], acted: Mapping[str, Sequence[Sent]]) -> Finding | None:
    mine = grouped(orders, "order plain")
    made = acted.get("order plain", ())
    if not mine:
        return None
    words = f"sent {_times(len(mine))}, although no answer came in time; the app had made {len(made)}"
    evidence = {"plain": tuple(one.span.asked.frame for one in mine)}
    return Finding(words, Verdict.HOLDS if len(mine) == 1 else Verdict.REFUTED, evidence)


def _made_once(orders: Sequence[Sent], acted: Mapping[str, Sequence[Sent]], group: str) -> Finding | None:
    mine, made = grouped(orders, group), acted.get(group, ())
    if len(mine) < 2 or not made:
        return None
    words = f"sent {_times(len(mine))}, and {len(made)} {'order' if len(made) == 1 else 'orders'} made"
    evidence = {
        "sent": tuple(one.span.asked.frame for one in mine),
        "made": tuple(one.span.asked.frame for one in made),
    }
    return Finding(words, Verdict.HOLDS if len(made) == 1 else Verdict.REFUTED, evidence)


def _budget(calls: Mapping[str, Sequence[int]]) -> Finding | None:
    bounded, unbounded = calls.get("bounded"), calls.get("unbounded")
    if not bounded or not unbounded:
        return None
    words = f"{len(bounded)} attempts, and {len(unbounded)} without a budget"
    fits = len(bounded) <= CALLS + RESERVE + CALLS * BUDGET // 100 < len(unbounded)
    evidence = {"bounded": tuple(bounded[:3]), "unbounded": tuple(unbounded[:3])}
    return Finding(words, Verdict.HOLDS if fits else Verdict.REFUTED, evidence)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


SCENARIO = Scenario(
    "retry",
    "retries after an outage, with and without jitter; orders with an Idempotency-Key; a retry budget",
    stimulus,
    judge,
    interfaces=lambda _: (
        f"{CLIENT}:{INTERFACE}",
        f"{SERVER}:{PUBLIC}",
        *(f"{app}:eth0" for app in APPS),
    ),
    topology="middle",
    needs={CLIENT: "it asks", SERVER: "it is asked", **dict.fromkeys(APPS, "it takes orders")},
)
