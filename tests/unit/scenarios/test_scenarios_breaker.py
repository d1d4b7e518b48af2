"""The verdicts of `breaker` and `bulkhead`, from captures made by hand."""

from __future__ import annotations

from netlab.scenarios import breaker, bulkhead
from netlab.scenarios.breaker import FAILURES, INTERVAL_MS
from netlab.scenarios.bulkhead import CALLER, CALLS, LIMITS, SLOW, SLOW_CALLS, TOTAL
from netlab.scenarios.calls import CLIENT, INTERFACE
from netlab.trace.claim import Claim, Verdict
from tests.kit.recordings import by_id, recording
from tests.kit.segments import Capture

HERE, APP = (CLIENT, INTERFACE), ("app-1", "eth0")
GOOD, BAD = 200, 503


def course(*parts: tuple[float, int, int], bare: int = 80, dropped: int = 0) -> dict[str, Claim]:
    """Parts: silence before in ms, status, count. `bare`: calls that reach failing apps without a breaker."""
    made, at, number = Capture((HERE,)), 0.0, 1
    for silent, status, count in parts:
        at += silent
        for _ in range(count):
            made.call(f"breaker/{number}", number, at, status=status, places=(HERE, APP))
            number, at = number + 1, at + INTERVAL_MS
        at -= INTERVAL_MS
    wanted = 60  # that failed at once
    made.events += [made.announced(f"breaker/{number + n}", number + n, at) for n in range(wanted)]
    for n in range(bare):
        made.call(f"bare/{n}", 1000 + n, at + 1000 + n * INTERVAL_MS, status=BAD, places=(HERE, APP))
    read = recording(made.frames(), made.events, dropped=dropped)
    return by_id(breaker.judge(read).claims)


RIGHT = ((0.0, GOOD, 20), (50.0, BAD, FAILURES), (1550.0, BAD, 1), (1550.0, GOOD, 30))


def test_the_guides_cycle() -> None:
    found = course(*RIGHT)
    assert {one.verdict for one in found.values()} == {Verdict.HOLDS}, found
    assert found["breaker-half-open"].measured == "tests after 1.55, 1.55 s, 1 of them failed, each alone"


def test_a_breaker_that_opens_late_or_never() -> None:
    late = course(RIGHT[0], (50.0, BAD, FAILURES + 3), *RIGHT[2:])
    assert late["breaker-closed"].verdict is Verdict.PARTLY, late["breaker-closed"]
    never = course((0.0, GOOD, 20), (50.0, BAD, 60), (50.0, GOOD, 30))
    assert never["breaker-closed"].verdict is Verdict.REFUTED
    assert never["breaker-half-open"].verdict is Verdict.NOT_RUN
    assert never["breaker-protects"].verdict is Verdict.REFUTED, never["breaker-protects"]


def test_tests_that_are_several_or_too_early_or_decide_nothing() -> None:
    several = course(*RIGHT[:2], (1550.0, BAD, 4), (1550.0, GOOD, 30))
    assert several["breaker-half-open"].verdict is Verdict.REFUTED, several["breaker-half-open"]
    early = course(*RIGHT[:2], (1100.0, BAD, 1), (1550.0, GOOD, 30))
    assert early["breaker-half-open"].verdict is Verdict.PARTLY, early["breaker-half-open"]
    ignored = course(*RIGHT[:2], (1550.0, BAD, 1), (50.0, GOOD, 30))
    assert ignored["breaker-outcome"].verdict is Verdict.NOT_RUN, "there was no test that succeeded"


def test_lost_packets_prove_nothing() -> None:
    assert {one.verdict for one in course(*RIGHT, dropped=1).values()} == {Verdict.NOT_RUN}


# bulkhead


def pools(slow_at_once: int, others_wait_ms: float, limits: dict[str, int]) -> dict[str, Claim]:
    """`shared`: so many calls to the slow one at once, and how long the others wait. `apart`: at once."""
    made = Capture(((CALLER, bulkhead.INTERFACE),))
    number = 1
    for way, at in (("shared", 0.0), ("apart", 60_000.0)):
        for app, limit in limits.items():
            calls = SLOW_CALLS if app == SLOW else CALLS
            took = 900.0 if app == SLOW else 250.0
            most = limit if way == "apart" else slow_at_once if app == SLOW else CALLS
            wait = others_wait_ms if way == "shared" and app != SLOW else 0.0
            for n in range(calls):
                begun = at + wait + n // most * (took + 1) + n % most * 0.01
                made.call(f"{way} {app}/{n + 1}", number, begun, took_ms=took)
                number += 1
    return by_id(bulkhead.judge(recording(made.frames(), made.events)).claims)


def test_forty_forty_and_twenty() -> None:
    found = pools(TOTAL, 900, LIMITS)
    assert {one.verdict for one in found.values()} == {Verdict.HOLDS}, found


def test_counter_cases() -> None:
    found = pools(50, 10, LIMITS)
    assert found["shared-exhausted"].verdict is Verdict.REFUTED, found["shared-exhausted"]
    more = pools(TOTAL, 900, {**LIMITS, SLOW: 21})
    assert more["bulkhead-limits"].verdict is Verdict.REFUTED, more["bulkhead-limits"]
    fewer = pools(TOTAL, 900, {**LIMITS, SLOW: 10})
    assert fewer["bulkhead-limits"].verdict is Verdict.PARTLY, fewer["bulkhead-limits"]
    narrow = pools(TOTAL, 900, {**LIMITS, "app-1": 5})
    assert narrow["bulkhead-isolates"].verdict is Verdict.REFUTED, (
        "its own calls take longer than the slow one"
    )
