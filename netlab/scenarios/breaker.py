"""A circuit breaker against apps that fail for a while: what reaches them in each state (guide 8.4)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import groupby, pairwise

from netlab.model.event import Event
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
    sent,
)
from netlab.scenarios.measured import starts
from netlab.scenarios.scenario import Scenario
from netlab.scenarios.verdicts import Finding, claim
from netlab.trace.claim import Claim, Verdict
from netlab.trace.findings import Findings
from netlab.trace.recording import Recording
from netlab.trace.table import Row, Spread, Table

FAILURES, OPEN_S = 5, 1.5  # the guide has N, and 30 s
INTERVAL_MS, CALLS = 50, 110  # 5.5 s
GOOD_S, BAD_S = 0.8, 2.8  # then the apps fail for so long
STATUS = 503
_GAP_S = OPEN_S / 2  # a silence longer than this is an open breaker


def stimulus(bench: Bench) -> None:
    """The same calls and the same failing apps, with a breaker and without."""
    url = f"http://{address(bench, SERVER, PUBLIC)}:{PORT}/objects/1?size=100"
    breaker = {"failures": FAILURES, "open": f"{OPEN_S:g}s"}
    for name, policy in (("breaker", resilience(breaker=breaker)), ("bare", resilience())):
        bench.say(f"{CALLS} calls, one every {INTERVAL_MS} ms; the apps fail for {BAD_S:g} s; {name}")
        calls = requests(name, CALLS, url, http="1.1")
        with (
            bench.phase(name),
            bench.asking(
                CLIENT,
                calls,
                may_fail=True,
                parallel=10,
                interval_ns=INTERVAL_MS * 1_000_000,
                resilience=policy,
            ),
        ):
            time.sleep(GOOD_S)
            with _failing(bench):
                time.sleep(BAD_S)


@contextmanager
def _failing(bench: Bench) -> Iterator[None]:
    with ExitStack() as faults:
        for app in APPS:
            faults.enter_context(bench.fault("error", app, str(STATUS)))
        yield


@dataclass(frozen=True, slots=True)
class Part:
    """Calls in a row, with the same end, and no long silence between them. `silent_s`: before the first."""

    good: bool
    calls: tuple[Sent, ...]
    silent_s: float

    @property
    def frames(self) -> tuple[int, ...]:
        return tuple(one.span.asked.frame for one in self.calls)


@dataclass(frozen=True, slots=True)
class Course:
    """What became of one run of calls. `wanted`: how many the client announced; `reached`: trace ids that an
    app's interface saw while the apps failed."""

    parts: tuple[Part, ...]
    wanted: int
    sent: int
    at_apps: int

    def silences(self) -> list[Part]:
        """The parts that begin with one."""
        return [part for part in self.parts if part.silent_s > _GAP_S]


def judge(read: Recording) -> Findings:
    calls = sent(read, CLIENT, INTERFACE)
    at_apps = [one for app in APPS for one in sent(read, app, "eth0")]
    courses = {
        name: course
        for name in ("breaker", "bare")
        if (course := _course(grouped(calls, name), grouped(at_apps, name), _announced(read, name))).parts
    }
    refused = _refused(read)
    with_one, without = courses.get("breaker"), courses.get("bare")
    return Findings(
        (_table(with_one, refused), _load_table(courses)),
        tuple(_claims(with_one, without, refused, read.run.flaws)),
    )


def _course(calls: Sequence[Sent], at_apps: Sequence[Sent], wanted: int) -> Course:
    failed = sum(one.span.status >= 500 for one in at_apps)
    return Course(tuple(_parts(calls)), wanted, len(calls), failed)


def _parts(calls: Sequence[Sent]) -> Iterator[Part]:
    """Cut where the answers change, and where the client is silent for long."""
    gaps = [0.0, *((b.span.asked.time_ns - a.span.asked.time_ns) / 1e9 for a, b in pairwise(calls))]
    number = 0
    marks = []
    for index, (one, gap) in enumerate(zip(calls, gaps, strict=True)):
        good = one.span.status < 500
        changed = index and good != (calls[index - 1].span.status < 500)
        number += bool(changed or gap > _GAP_S)
        marks.append((number, good, gap, one))
    for _, group in groupby(marks, key=lambda mark: mark[0]):
        members = list(group)
        yield Part(members[0][1], tuple(mark[3] for mark in members), members[0][2])


def _announced(read: Recording, group: str) -> int:
    return sum(str(one.data.get("name", "")).startswith(f"{group}/") for one in starts(read.events, CLIENT))


def _refused(read: Recording) -> list[float]:
    """How long calls took that failed without a packet, in ms, as the client says."""
    begun: dict[str, Event] = {str(one.data.get("name")): one for one in starts(read.events, CLIENT)}
    return [
        (one.time_ns - begun[name].time_ns) / 1e6
        for one in read.events
        if one.event == "request-failed" and one.node == CLIENT
        for name in [str(one.data.get("name"))]
        if name in begun and "circuit breaker" in str(one.data.get("cause"))
    ]


# Tables.


def _table(course: Course | None, refused: Sequence[float]) -> Table:
    rows = []
    parts = course.parts if course is not None else ()
    for part in parts:
        if part.silent_s > _GAP_S:
            rows.append(Row(("open: every call fails at once", round(part.silent_s, 2), 0, None)))
            rows.append(_row("half-open: a test", part.calls[:1]))
        if calls := part.calls[part.silent_s > _GAP_S :]:
            rows.append(_row("closed", calls))
    took = Spread.of(refused)
    told = f"{len(refused)} calls failed without a packet, each within {took.high:.1f} ms." if took else ""
    return Table(
        f"A breaker that opens after {FAILURES} failures, for {OPEN_S:g} s",
        ("state", "lasts, s", "calls sent", "answers"),
        tuple(rows),
        ("States are read off the client's packets: who was asked, what came back, and silence.", told),
    )


def _row(state: str, calls: Sequence[Sent]) -> Row:
    statuses = " ".join(sorted({str(one.span.status or "–") for one in calls}))
    lasts_s = (calls[-1].ended_ns - calls[0].span.asked.time_ns) / 1e9
    return Row((state, round(lasts_s, 2), len(calls), statuses), tuple(one.span.asked.frame for one in calls))


def _load_table(courses: dict[str, Course]) -> Table:
    titles = {"bare": "none", "breaker": f"after {FAILURES} failures"}
    return Table(
        f"{CALLS} calls; the apps fail for {BAD_S:g} s",
        ("breaker", "calls wanted", "calls sent", "reached failing apps"),
        tuple(
            Row((title, courses[name].wanted, courses[name].sent, courses[name].at_apps), ())
            for name, title in titles.items()
            if name in courses
        ),
    )


# Claims.


def _claims(
    course: Course | None, bare: Course | None, refused: Sequence[float], flaws: Sequence[str]
) -> Iterator[Claim]:
    yield claim(
        "breaker-closed",
        "8.4",
        "closed: requests flow; it opens when failures exceed the threshold",
        f"{FAILURES} failures, then silence",
        _opens(course),
        flaws,
    )
    yield claim(
        "breaker-open",
        "8.4",
        "open: requests are rejected immediately",
        "no packet while it is open",
        _silent(course, refused),
        flaws,
    )
    yield claim(
        "breaker-half-open",
        "8.4",
        "half-open: after the timeout, one test request",
        f"one request after {OPEN_S:g} s",
        _tests(course),
        flaws,
    )
    yield claim(
        "breaker-outcome",
        "8.4",
        "the test decides: success closes it, failure leaves it open",
        "silence after 503, flow after 200",
        _decides(course),
        flaws,
    )
    yield claim(
        "breaker-protects",
        "8.4",
        "it prevents cascading failures",
        "a quarter of the load on failing apps, or less",
        _protects(course, bare),
        flaws,
    )


def _opens(course: Course | None) -> Finding | None:
    if course is None or len(course.parts) < 3 or not course.parts[0].good:
        return None
    good, bad, after = course.parts[:3]
    words = f"{len(good.calls)} good calls, {len(bad.calls)} failures, then {after.silent_s:.2f} s of silence"
    right = not bad.good and after.silent_s > _GAP_S
    # A call that was under way when the last of them was answered could not be stopped any more.
    ends = sorted(one.ended_ns for one in bad.calls)
    exact = len(ends) >= FAILURES and all(one.span.asked.time_ns <= ends[FAILURES - 1] for one in bad.calls)
    verdict = Verdict.HOLDS if right and exact else Verdict.PARTLY if right else Verdict.REFUTED
    return Finding(words, verdict, {"failures": bad.frames, "next": after.frames[:1]})


def _silent(course: Course | None, refused: Sequence[float]) -> Finding | None:
    """That nothing was sent is in the packets; how soon the caller knew only the caller can say."""
    if course is None or not course.silences():
        return None
    unsent = course.wanted - course.sent
    took = Spread.of(refused)
    words = f"{unsent} of {course.wanted} calls sent no packet"
    if took is not None:
        words += f"; they failed within {took.high:.1f} ms, by the client's word"
    frames = tuple(frame for part in course.silences() for frame in part.frames[:1])
    return Finding(words, Verdict.HOLDS if unsent else Verdict.REFUTED, {"after the silence": frames})


def _tests(course: Course | None) -> Finding | None:
    found = course.silences() if course is not None else []
    if not found:
        return None
    # A test that succeeds is followed by others at once, so that its part has more calls.
    waits = [part.silent_s for part in found]
    failed = [part for part in found if not part.good]
    alone = all(len(part.calls) == 1 for part in failed)
    in_time = all(OPEN_S * 0.95 <= wait <= OPEN_S + 5 * INTERVAL_MS / 1000 for wait in waits)
    words = f"tests after {', '.join(f'{wait:.2f}' for wait in waits)} s"
    words += f", {len(failed)} of them failed, " + ("each alone" if alone else "and not each was alone")
    verdict = Verdict.HOLDS if alone and in_time else Verdict.PARTLY if alone else Verdict.REFUTED
    return Finding(words, verdict, {"tests": tuple(part.frames[0] for part in found)})


def _decides(course: Course | None) -> Finding | None:
    found = course.silences() if course is not None else []
    good = [part for part in found if part.good]
    bad = [part for part in found if not part.good]
    if course is None or not good or not bad:
        return None
    later = {id(before): after for before, after in pairwise(course.parts)}
    stays = all(later[id(part)].silent_s > _GAP_S for part in bad if id(part) in later)
    flows = all(len(part.calls) > 1 for part in good)
    words = f"{len(bad)} failed and was followed by silence, " if stays else f"{len(bad)} failed, "
    words += f"then one succeeded and {len(good[-1].calls) - 1} more calls followed"
    evidence = {"failed": bad[0].frames, "succeeded": good[-1].frames[:2]}
    return Finding(words, Verdict.HOLDS if stays and flows else Verdict.REFUTED, evidence)


def _protects(course: Course | None, bare: Course | None) -> Finding | None:
    if course is None or bare is None or not bare.at_apps:
        return None
    words = f"{course.at_apps} calls reached failing apps, and {bare.at_apps} without a breaker"
    share = course.at_apps / bare.at_apps
    verdict = Verdict.HOLDS if share <= 0.25 else Verdict.PARTLY if share <= 0.5 else Verdict.REFUTED
    bad = [
        frame for one in (course, bare) for part in one.parts if not part.good for frame in part.frames[:1]
    ]
    return Finding(words, verdict, {"failures": tuple(bad)})


SCENARIO = Scenario(
    "breaker",
    "a circuit breaker against apps that fail for three seconds: closed, open, half-open, closed",
    stimulus,
    judge,
    interfaces=lambda _: (f"{CLIENT}:{INTERFACE}", *(f"{app}:eth0" for app in APPS)),
    topology="middle",
    needs={CLIENT: "it asks", SERVER: "it is asked", **dict.fromkeys(APPS, "they fail")},
)
