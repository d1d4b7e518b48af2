"""The claims of `retry`, and the rules of their verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from netlab.scenarios.calls import Sent, grouped
from netlab.scenarios.retry_read import BUDGET, CALLS, RESERVE, STEP_MS, WINDOW_MS, Herd
from netlab.scenarios.verdicts import Finding, claim
from netlab.trace.claim import Claim, Verdict


def claims(
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
