"""The verdicts of `timeouts`, from captures made by hand: each claim holds, and is refuted."""

from __future__ import annotations

from netlab.scenarios import timeouts
from netlab.scenarios.calls import CLIENT, INTERFACE
from netlab.scenarios.timeouts import (
    CLOSED_PORT,
    DRIP_BYTES,
    PATIENT_PORT,
    READ_S,
    SCALE,
    SILENT_PORT,
)
from netlab.trace.claim import Claim, Verdict
from tests.kit.recordings import by_id, recording
from tests.kit.segments import Capture

HERE, APP = (CLIENT, INTERFACE), ("app-2", "eth0")
READ_MS = READ_S / SCALE * 1000
PARTS = tuple(float(ms) for ms in range(100, 2500, 100))


def capture(
    silent: tuple[float, ...] = (0, 1000, 2040),
    patient: tuple[float, ...] = (0, 1000, 2040, 3010, 4100),
    trip_ms: float = 20.0,
    slow_ms: float = READ_MS,
    drip: tuple[float, ...] = PARTS,
    total_ms: float = 1480.0,
) -> Capture:
    made = Capture((HERE,))
    made.syns(CLOSED_PORT, 0, refused_ms=trip_ms)
    made.syns(SILENT_PORT, *(1000 + ms for ms in silent))
    made.syns(PATIENT_PORT, *(1000 + ms for ms in patient))
    made.call("slow", 1, 10_000, took_ms=2000, ended_ms=slow_ms, places=(HERE, APP))
    part = bytes(DRIP_BYTES // len(PARTS))
    made.call("drip", 2, 20_000, took_ms=10, body=part, parts=drip, ended_ms=2600)
    made.call("total", 3, 30_000, took_ms=10, body=part, parts=PARTS, ended_ms=total_ms)
    return made


def told(made: Capture, dropped: int = 0) -> dict[str, Claim]:
    return by_id(timeouts.judge(recording(made.frames(), made.events, dropped=dropped)).claims)


def test_what_each_timeout_bounds() -> None:
    found = told(capture())
    assert found["connect-timeout"].verdict is Verdict.HOLDS, found["connect-timeout"]
    assert found["connect-3.05"].verdict is Verdict.HOLDS, "3.01 and 20 ms are before 3.05"
    assert found["connect-down"].verdict is Verdict.HOLDS
    assert found["read-timeout"].verdict is Verdict.HOLDS
    assert "the app answered after 2000 ms nevertheless" in found["read-timeout"].measured
    assert found["read-timeout"].evidence["app"], found["read-timeout"]
    assert found["read-is-total"].verdict is Verdict.REFUTED, "2.4 s in parts, each in time"
    assert found["total-timeout"].verdict is Verdict.HOLDS


def test_counter_cases() -> None:
    late = told(capture(silent=(0, 1000, 2040, 4000)))
    assert late["connect-timeout"].verdict is Verdict.REFUTED
    far = told(capture(trip_ms=50))
    assert far["connect-3.05"].verdict is Verdict.REFUTED, "the answer comes after 3.06 s"
    missing = told(capture(patient=(0, 1000, 2040, 4100)))
    assert missing["connect-3.05"].verdict is Verdict.REFUTED, "no SYN at about 3 s"
    waits = told(capture(slow_ms=2500))
    assert waits["read-timeout"].verdict is Verdict.REFUTED, "the answer came before it gave up"
    soon = told(capture(slow_ms=READ_MS / 2))
    assert soon["read-timeout"].verdict is Verdict.REFUTED
    assert told(capture(total_ms=2600))["total-timeout"].verdict is Verdict.REFUTED


def test_what_shows_nothing_is_not_run() -> None:
    quick = told(capture(patient=(0, 1000, 2040), drip=(20.0, *(30.0,) * (len(PARTS) - 1))))
    assert quick["connect-timeout"].verdict is Verdict.NOT_RUN, "nothing would have come later anyway"
    assert quick["read-is-total"].verdict is Verdict.NOT_RUN
    assert {one.verdict for one in told(capture(), dropped=3).values()} == {Verdict.NOT_RUN}
    assert {one.verdict for one in told(Capture((HERE,))).values()} == {Verdict.NOT_RUN}
