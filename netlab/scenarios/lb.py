"""A balancer: who gets what by each algorithm, who stays with whom, and what a dead upstream costs (guide
8.2)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from math import sqrt

from netlab.scenarios.lb_claims import claims
from netlab.scenarios.lb_read import (
    EVIDENCE,
    Seen,
    constant,
    counts,
    first_frames,
    load,
    moved,
    seen_in,
)
from netlab.scenarios.lb_stimulus import (
    APP,
    BY_CHANCE,
    CLIENT,
    CLIENTS,
    GOES,
    HANGS,
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
from netlab.trace.findings import Findings
from netlab.trace.recording import Recording
from netlab.trace.table import Row, Table

_DEVIATIONS = 4  # standard deviations of a binomial distribution: less than once in 10,000 runs
_HASHES = ("IP hash", "consistent hash")


def judge(read: Recording) -> Findings:
    seen = seen_in(read)
    tables = (_distribution(seen), _moves(seen), _drained(seen), _failover_table(seen))
    expected = tuple(f"{phase}/" for phase in (*KILLED, HANGS))
    return Findings(
        tuple(one for one in tables if one.rows),
        tuple(claims(seen, read.run.flaws)),
        failed=tuple(
            cause for one in CLIENTS for cause in failures(read, one) if not cause.startswith(expected)
        ),
    )


def _distribution(seen: Seen) -> Table:
    rows = []
    for phase, grouped in groupby(seen.choices, key=lambda one: one.phase):
        choices = list(grouped)
        if phase in KILLED:
            continue
        per_app = counts(seen, choices)
        busy = load(choices, per_app)
        cells = (
            phase,
            *per_app.values(),
            " ".join(one.app.removeprefix(APP) for one in choices[:12]),
            f"{busy.fewest:.0%}",
            f"{busy.busiest:.0%}",
            busy.peak,
            _even(per_app) if len(choices) >= BY_CHANCE else None,
        )
        rows.append(Row(cells, first_frames(choices)))
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


def _even(per_app: Mapping[str, int]) -> str:
    """Whether the counts are what equal chances give (a binomial distribution for each)."""
    total, share = sum(per_app.values()), 1 / len(per_app)
    allowed = _DEVIATIONS * sqrt(total * share * (1 - share))
    return "yes" if all(abs(count - total * share) <= allowed for count in per_app.values()) else "no"


def _left_out(seen: Seen) -> tuple[str, ...]:
    """What a program in the balancer's place can't be told."""
    return () if seen.of("random") else ("left out: algorithms and drains, which netlab can't set here.",)


def _drained(seen: Seen) -> Table:
    before, after = seen.of("drain, before"), seen.of("drain, after")
    rows = []
    if before and after:
        there = [one for one in before if one.app == GOES]
        came = [one for one in after if one.app == GOES]
        frames = (*first_frames(there), *(one.end.frame for one in there), *first_frames(after))
        cells = (len(there), sum(one.answered for one in there), len(after), len(came))
        rows.append(Row(cells, frames))
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
            rows.append(Row((title, same, had_to, stays, others), first_frames(after)))
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
            tuple(moment.frame for moment in one.refused)[:EVIDENCE],
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
