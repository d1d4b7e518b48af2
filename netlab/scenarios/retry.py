"""Retries: the herd that comes back after an outage, what may be sent twice, and what a budget bounds (guide
8.4)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

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
    requests,
    resilience,
)
from netlab.scenarios.retry_claims import claims
from netlab.scenarios.retry_read import (
    ATTEMPTS,
    BUDGET,
    CALLS,
    CLIENTS,
    JITTERS,
    OUT_PORT,
    OUTAGE_S,
    RESERVE,
    STEP_MS,
    WINDOW_MS,
    Herd,
    Talk,
    acted_on,
    herd_seen,
)
from netlab.scenarios.scenario import Scenario
from netlab.trace.findings import Findings
from netlab.trace.recording import Recording
from netlab.trace.table import Row, Table

_BACKOFF = {"base": f"{STEP_MS}ms", "cap": f"{8 * STEP_MS}ms", "spread": f"{STEP_MS}ms"}
_ANY = {"budget": "100%", "reserve": 10_000}  # bounds nothing
_POOL = Pool(total=2 * CLIENTS, per_host=2 * CLIENTS)


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


def judge(read: Recording) -> Findings:
    talk = Talk(read)
    herds = {jitter: herd for jitter in JITTERS if (herd := herd_seen(talk, jitter)) is not None}
    acted = acted_on(talk)
    calls = {
        name: tuple(one.number for one in talk.syns(name))
        for name in ("bounded", "unbounded")
        if talk.syns(name)
    }
    return Findings(
        (_herd_table(herds), _order_table(talk.seen, acted), _budget_table(calls)),
        tuple(claims(herds, talk.seen, acted, calls, read.run.flaws)),
    )


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
