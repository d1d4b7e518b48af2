"""A balancer: who gets what by each algorithm, who stays with whom, and what a dead upstream costs (guide
8.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from math import sqrt

from netlab.scenarios.lb_read import Choice, Failover, Seen, constant, in_turn, load, moved, seen_in, smooth
from netlab.scenarios.lb_stimulus import (
    APP,
    BEHIND_NAT,
    BY_CHANCE,
    CLIENT,
    CLIENTS,
    GOES,
    INSIDE,
    KILLED,
    LB,
    LEAVES,
    PROXY,
    PUBLIC,
    stimulus,
)
from netlab.scenarios.measured import failures
from netlab.scenarios.scenario import Scenario
from netlab.scenarios.verdicts import Finding, claim
from netlab.trace.claim import Claim, Verdict
from netlab.trace.findings import Findings
from netlab.trace.recording import Recording
from netlab.trace.table import Row, Table

_WEIGHTS = {f"{APP}1": 3, f"{APP}2": 1}
_MOST = 0.9  # of the choices: what is nearly always so; packets of one instant can't be put in order
_DEVIATIONS = 4  # standard deviations of a binomial distribution: less than once in 10,000 runs
_HASHES = ("IP hash", "consistent hash")
_EVIDENCE = 4  # frames


def judge(read: Recording) -> Findings:
    seen = seen_in(read)
    tables = (_distribution(seen), _moves(seen), _drained(seen), _failover_table(seen))
    expected = tuple(f"{phase}/" for phase in KILLED)
    return Findings(
        tuple(one for one in tables if one.rows),
        tuple(_claims(seen, read.run.flaws)),
        failed=tuple(
            cause for one in CLIENTS for cause in failures(read, one) if not cause.startswith(expected)
        ),
    )


def _frames(choices: Iterable[Choice]) -> tuple[int, ...]:
    return tuple(one.start.frame for one in choices)[:_EVIDENCE]


def _counts(seen: Seen, choices: Sequence[Choice]) -> dict[str, int]:
    return {app: sum(one.app == app for one in choices) for app in seen.members}


# ------------------------------------------------------------------------------------------ tables


def _distribution(seen: Seen) -> Table:
    rows = []
    for phase, grouped in groupby(seen.choices, key=lambda one: one.phase):
        choices = list(grouped)
        if phase in KILLED:
            continue
        counts = _counts(seen, choices)
        busy = load(choices, counts)
        order = " ".join(one.app.removeprefix(APP) for one in choices[:12])
        even = _even(counts) if len(choices) >= BY_CHANCE else None
        cells = (phase, *counts.values(), order, f"{busy.fewest:.0%}", f"{busy.busiest:.0%}", busy.peak, even)
        rows.append(Row(cells, _frames(choices)))
    return Table(
        "Which upstream got how many requests",
        (
            "phase",
            *seen.members,
            "the first twelve",
            "to the least busy",
            "to the busiest",
            "at once",
            "even",
        ),
        tuple(rows),
        (
            "at the balancer's inner interface, in the order in which its connections open. to the least",
            "busy: to one with the fewest connections open then; to the busiest: to one with more than all",
            f"others. even: each within {_DEVIATIONS} standard deviations of its share.",
            *_left_out(seen),
        ),
    )


def _even(counts: Mapping[str, int]) -> str:
    """Whether the counts are what equal chances give (a binomial distribution for each)."""
    total, share = sum(counts.values()), 1 / len(counts)
    allowed = _DEVIATIONS * sqrt(total * share * (1 - share))
    return "yes" if all(abs(count - total * share) <= allowed for count in counts.values()) else "no"


def _left_out(seen: Seen) -> tuple[str, ...]:
    """What a program in the balancer's place can't be told."""
    return () if seen.of("random") else ("left out: algorithms and drains, which netlab can't set here.",)


def _drained(seen: Seen) -> Table:
    before, after = seen.of("drain, before"), seen.of("drain, after")
    rows = []
    if before and after:
        there = [one for one in before if one.app == GOES]
        came = [one for one in after if one.app == GOES]
        last = max((one.end for one in there), default=None)
        cells = (len(there), sum(one.answered for one in there), len(after), len(came))
        rows.append(Row(cells, (*_frames(there), *((last.frame,) if last else ()), *_frames(after))))
    return Table(
        f"{GOES} is drained",
        ("its connections", "of them answered", "new ones later", f"of them to {GOES}"),
        tuple(rows),
    )


def _moves(seen: Seen) -> Table:
    rows = []
    for title in _HASHES:
        before, after = seen.of(title), seen.of(f"{title}, one less")
        if before and after:
            stays, others, had_to = moved(before, after, LEAVES)
            same = f"{constant((*before,)):.0%}"
            rows.append(Row((title, same, had_to, stays, others), _frames(after)))
    return Table(
        f"Who moves when {LEAVES} goes",
        ("algorithm", "same upstream again", f"had {LEAVES}", "had another", "of those moved"),
        tuple(rows),
        ("clients; two of them share an address, and so an upstream.",),
    )


_KINDS = {
    "failover active": "active check, 500 ms, fall 3",
    "failover passive": "passive check, 1 failure",
    "failover proxy": "the proxy: passive, next upstream",
}


def _failover_table(seen: Seen) -> Table:
    rows = [
        Row(
            (
                _KINDS[phase],
                one.asked,
                len(one.refused),
                one.again,
                round(one.lasted_ms),
                len(one.lost),
            ),
            tuple(moment.frame for moment in one.refused)[:_EVIDENCE],
        )
        for phase, one in seen.failovers.items()
    ]
    checks = "not counted" if seen.tells else "counted too, as this balancer does not tell which they are"
    return Table(
        f"{GOES} is killed among requests, 6 at a time",
        ("who notices", "requests", "attempts failed", "after the first", "for ms", "clients' failures"),
        tuple(rows),
        (
            "attempts failed: connections that the dead upstream refused, or ended before it had answered;",
            f"health checks {checks}. for ms: from the first of them to the last.",
        ),
    )


# ------------------------------------------------------------------------------------------ claims


def _claims(seen: Seen, flaws: Sequence[str]) -> Iterator[Claim]:
    def of(number: str, guide: str, statement: str, expected: str, found: Finding | None) -> Claim:
        return claim(number, guide, statement, expected, found, flaws)

    yield of("round-robin", "8.2", "round robin: each server in turn", "in turn", _round_robin(seen))
    yield of(
        "round-robin-load",
        "8.2",
        "round robin does not account for the servers' load",
        "also to busy ones",
        _round_robin_load(seen),
    )
    yield of(
        "least-connections",
        "8.2",
        "least connections: to the server with the fewest active ones",
        "to the fewest",
        _least(seen),
    )
    yield of(
        "least-long",
        "8.2",
        "least connections is better for connections that last",
        "fewer at once on one server",
        _less_at_once(seen),
    )
    yield of("weighted", "8.2", "weighted round robin: more to powerful servers", "3 to 1", _weighted(seen))
    yield of(
        "ip-hash-affinity", "8.2", "IP hash gives session affinity", "one server a client", _affinity(seen)
    )
    yield of(
        "ip-hash-nat",
        "8.2",
        "IP hash has a problem with NAT: many clients appear as one address",
        "one address, one server",
        _nat(seen),
    )
    yield of(
        "unhealthy-removed",
        "8.2",
        "health checks remove unhealthy servers from rotation",
        "attempts end",
        _removed(seen),
    )
    yield of(
        "passive-faster",
        "8.2",
        "passive checks detect faster than active ones",
        "sooner",
        _faster(seen.failovers),
    )
    yield of(
        "next-upstream",
        "8.2",
        "proxy_next_upstream: a request that failed is sent to the next server",
        "no GET fails",
        _retried(seen.failovers.get("failover proxy")),
    )


def _round_robin(seen: Seen) -> Finding | None:
    choices = seen.of("round-robin")
    members = len(seen.members)
    if len(choices) < 2 * members:
        return None
    share = in_turn([one.app for one in choices], members)
    words = f"{len(choices)} requests, {_spelt(_counts(seen, choices))}; {share:.0%} in turn"
    verdict = Verdict.HOLDS if share == 1 else Verdict.PARTLY if share >= _MOST else Verdict.REFUTED
    return Finding(words, verdict, {"turns": _frames(choices)})


def _spelt(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{app} {count}" for app, count in counts.items())


def _round_robin_load(seen: Seen) -> Finding | None:
    """It takes no account of load where more than a tenth of its choices are of a busier one."""
    choices = seen.of("round-robin, uneven")
    if not choices:
        return None
    busy = load(choices, seen.members)
    words = f"{busy.fewest:.0%} went to the least busy; up to {busy.peak} at once on one"
    verdict = Verdict.HOLDS if busy.fewest < _MOST else Verdict.REFUTED
    return Finding(words, verdict, {"uneven": _frames(choices)})


def _least(seen: Seen) -> Finding | None:
    choices = seen.of("least connections, uneven")
    if not choices:
        return None
    busy = load(choices, seen.members)
    words = f"{busy.fewest:.0%} of {len(choices)} went to one with the fewest"
    verdict = Verdict.HOLDS if busy.fewest >= _MOST else Verdict.REFUTED
    return Finding(words, verdict, {"uneven": _frames(choices)})


def _less_at_once(seen: Seen) -> Finding | None:
    turns, fewest = seen.of("round-robin, uneven"), seen.of("least connections, uneven")
    if not turns or not fewest:
        return None
    one, other = load(turns, seen.members).peak, load(fewest, seen.members).peak
    words = f"at most {other} at once on one server; by round robin {one}"
    verdict = Verdict.HOLDS if other < one else Verdict.REFUTED
    return Finding(words, verdict, {"least": _frames(fewest), "round robin": _frames(turns)})


def _weighted(seen: Seen) -> Finding | None:
    choices = seen.of("weighted 3:1")
    if not choices:
        return None
    order = [one.app for one in choices]
    share = smooth(order, _WEIGHTS)
    words = f"{_spelt(_counts(seen, choices))}: {' '.join(app.removeprefix(APP) for app in order)}"
    whole = sum(_WEIGHTS.values())
    exact = all(order.count(app) * whole == len(order) * weight for app, weight in _WEIGHTS.items())
    verdict = Verdict.HOLDS if exact and share == 1 else Verdict.PARTLY if exact else Verdict.REFUTED
    return Finding(words, verdict, {"weighted": _frames(choices)})


def _affinity(seen: Seen) -> Finding | None:
    """A hash, not chance: the clients must not all have the same upstream either."""
    choices = seen.of("IP hash")
    if not choices:
        return None
    share, servers = constant(choices), len({one.app for one in choices})
    words = f"{share:.0%} of the requests got their client's server again; {servers} servers in use"
    verdict = Verdict.HOLDS if share == 1 and servers > 1 else Verdict.REFUTED
    return Finding(words, verdict, {"IP hash": _frames(choices)})


def _nat(seen: Seen) -> Finding | None:
    choices = [one for one in seen.of("IP hash") if one.client in BEHIND_NAT]
    addresses = {client: found for client, found in seen.addresses.items() if client in BEHIND_NAT}
    if {one.client for one in choices} != set(BEHIND_NAT) or len(addresses) < len(BEHIND_NAT):
        return None
    heard, servers = {address for address, _ in addresses.values()}, {one.app for one in choices}
    words = f"{' and '.join(BEHIND_NAT)} come from {', '.join(heard)}, and get {', '.join(servers)}"
    verdict = Verdict.HOLDS if len(heard) == 1 and len(servers) == 1 else Verdict.REFUTED
    evidence = {client: (frame,) for client, (_, frame) in addresses.items()}
    return Finding(words, verdict, evidence | {"choices": _frames(choices)})


def _removed(seen: Seen) -> Finding | None:
    """Clients' attempts at the dead one must have ended while others went on."""
    found = seen.failovers.get("failover active")
    if found is None:
        return None
    later = [one for one in seen.of("failover active") if one.start > found.refused[-1] and one.app != GOES]
    words = (
        f"{len(found.refused)} attempts within {found.lasted_ms:.0f} ms, then none among {len(later)} more"
    )
    enough = len(later) >= 2 * len(seen.members)
    evidence = {"the last": (found.refused[-1].frame,), "after it": _frames(later)}
    return Finding(words, Verdict.HOLDS if enough else Verdict.REFUTED, evidence)


def _faster(failovers: Mapping[str, Failover]) -> Finding | None:
    active, passive = failovers.get("failover active"), failovers.get("failover passive")
    if active is None or passive is None:
        return None
    words = (
        f"passive: attempts failed for {passive.lasted_ms:.0f} ms ({passive.again} after the first was "
        f"known); active, every 500 ms: for {active.lasted_ms:.0f} ms ({active.again})"
    )
    verdict = Verdict.HOLDS if passive.lasted_ms < active.lasted_ms else Verdict.REFUTED
    evidence = {
        name: (one.refused[0].frame, one.refused[-1].frame)
        for name, one in (("passive", passive), ("active", active))
    }
    return Finding(words, verdict, evidence)


def _retried(found: Failover | None) -> Finding | None:
    if found is None:
        return None
    words = f"{len(found.refused)} attempts failed, {len(found.lost)} of {found.asked} GETs"
    verdict = Verdict.REFUTED if found.lost else Verdict.HOLDS
    return Finding(words, verdict, {"failed attempts": tuple(one.frame for one in found.refused)[:_EVIDENCE]})


SCENARIO = Scenario(
    "lb",
    "a balancer's algorithms, who stays with whom, draining, and what a dead server costs",
    stimulus,
    judge,
    interfaces=lambda _: (f"{CLIENT}:eth0", f"{LB}:{PUBLIC}", f"{LB}:{INSIDE}", f"{PROXY}:eth0"),
    topology="middle",
    needs={
        **dict.fromkeys(CLIENTS, "it asks"),
        LB: "it is asked",
        PROXY: "it tries the next upstream",
        GOES: "it is killed",
        LEAVES: "it is drained",
        "app-3": "it is the third",
    },
)
