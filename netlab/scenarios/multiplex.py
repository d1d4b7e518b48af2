"""4 and 100 small objects at once: HTTP/1.1 on one connection and on six, HTTP/2, HTTP/3 (guide 9.1)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from netlab.scenarios.bench import Bench
from netlab.scenarios.measured import asked, failures, unseen
from netlab.scenarios.objects import CLIENT, INTERFACE, WAYS, Page, ask_all, pages, ways
from netlab.scenarios.scenario import TLS_WAYS
from netlab.scenarios.verdicts import TOLERANCE, Finding, about, claim
from netlab.trace.claim import Claim, Verdict
from netlab.trace.findings import Findings
from netlab.trace.recording import Recording
from netlab.trace.table import Row, Spread, Table

SIZE = 2000  # bytes, an icon's
OCEAN = "transit-eu:atlantic"


@dataclass(frozen=True, slots=True)
class Case:
    """How many objects, and how far away: the round trip with the delay of the ocean's line."""

    count: int
    rtt_ms: int
    ocean: str

    @property
    def title(self) -> str:
        return f"{self.count} at {self.rtt_ms} ms"


FEW, MANY = Case(4, 40, "17.5ms"), Case(100, 40, "17.5ms")
FAR = Case(100, 200, "97.5ms")  # Sydney, or a slow satellite
CASES = (FEW, MANY, FAR)

Pages = Mapping[tuple[str, str], Sequence[Page]]


def stimulus(bench: Bench) -> None:
    """Every count by every way, `repeats` times in turn, each by a client without connections."""
    tls = TLS_WAYS[bench.options.tls[0]] if bench.options.tls else TLS_WAYS["1.3"]
    for turn in range(1, bench.repeats + 1):
        bench.say(f"turn {turn} of {bench.repeats}")
        for case in CASES:
            with bench.link(OCEAN, f"delay={case.ocean}"):
                for way in ways(bench.http, tls):
                    ask_all(bench, f"{case.title}: {way.title} {turn}", way, case.count, SIZE, tls)


def judge(read: Recording) -> Findings:
    found = asked(read, CLIENT, INTERFACE)
    groups: dict[tuple[str, str], list[Page]] = defaultdict(list)
    for prefix, page in pages(found):
        case, _, rest = prefix.partition(": ")
        groups[case, rest.rpartition(" ")[0]].append(page)
    table = Table(
        f"Objects of {SIZE} bytes, all wanted at once",
        (
            "objects",
            "way",
            "connections",
            "at once",
            "first, ms",
            "all, ms",
            "request",
        ),
        tuple(
            _row(case.title, way.title, groups[case.title, way.title])
            for case in CASES
            for way in WAYS
            if (case.title, way.title) in groups
        ),
        (
            "Times are from the client's first packet. at once: requests open on one connection.",
            "request: its bytes on the stream, with its headers; the median.",
        ),
    )
    missing = [f"{name}: not in the capture" for name in unseen(read, CLIENT, found)]
    return Findings(
        (table,), tuple(_claims(groups, read.run.flaws)), failed=(*failures(read, CLIENT), *missing)
    )


def _row(case: str, title: str, group: Sequence[Page]) -> Row:
    first = Spread.of([page.first_ns / 1e6 for page in group])
    whole = Spread.of([page.all_ns / 1e6 for page in group])
    size = Spread.of([one.span.request_bytes for page in group for one in page.asked])
    return Row(
        (
            case,
            title,
            max(len(page.connections) for page in group),
            max(page.at_once for page in group),
            first.text(0) if first else None,
            whole.text(0) if whole else None,
            int(size.median) if size else None,
        ),
        group[0].frames,
    )


def _all_ms(groups: Pages, case: Case, title: str) -> float | None:
    spread = Spread.of([page.all_ns / 1e6 for page in groups.get((case.title, title), ())])
    return None if spread is None else spread.median


def _claims(groups: Pages, flaws: Sequence[str]) -> Iterator[Claim]:
    yield claim(
        "http1-one-at-a-time",
        "9.1",
        "HTTP/1.1 has one request at a time on a connection",
        "1",
        _at_once(groups, "HTTP/1.1 × 6", lambda most, _: most == 1),
        flaws,
    )
    yield claim(
        "http2-multiplexes",
        "9.1",
        "HTTP/2 multiplexes requests on a single connection",
        "several, on 1",
        _at_once(groups, "HTTP/2", lambda most, count: most > 1 and count == 1),
        flaws,
    )
    yield claim(
        "http2-no-more-connections",
        "9.2",
        "with multiplexing there is no need for several connections: HTTP/2 on one is no slower than "
        "HTTP/1.1 on six",
        "not slower",
        _faster(groups, "HTTP/1.1 × 6", "HTTP/2", 1 - TOLERANCE),
        flaws,
    )
    yield claim(
        "http2-compresses-headers",
        "3.1",
        "HTTP/2 compresses headers",
        "fewer bytes",
        _smaller(groups),
        flaws,
    )
    yield claim(
        "http3-four-times",
        "3.1",
        "HTTP/3 can be four times faster than HTTP/1.1 in some scenarios (six connections, no loss)",
        "4×",
        _four_times(groups, "HTTP/1.1 × 6"),
        flaws,
    )
    yield claim(
        "http3-four-times-one",
        "3.1",
        "HTTP/3 can be four times faster than HTTP/1.1 in some scenarios (one connection)",
        "4×",
        _four_times(groups, "HTTP/1.1 × 1"),
        flaws,
    )


def _at_once(groups: Pages, title: str, right: Callable[[int, int], bool]) -> Finding | None:
    """`right`: of the most requests at once, and of the number of connections."""
    found = [page for (_, way), group in groups.items() if way == title for page in group]
    if not found:
        return None
    busiest = max(found, key=lambda page: page.at_once)
    most, count = busiest.at_once, max(len(page.connections) for page in found)
    words = f"at most {most} at once on one of {count} connection{'s' * (count > 1)}"
    return Finding(words, Verdict.HOLDS if right(most, count) else Verdict.REFUTED, {title: busiest.frames})


def _ratio(groups: Pages, slow: str, fast: str, case: Case = MANY) -> tuple[float, str] | None:
    one, other = _all_ms(groups, case, slow), _all_ms(groups, case, fast)
    if one is None or other is None:
        return None
    return (
        one / other,
        f"{case.title}: {slow} {one:.0f} ms, {fast} {other:.0f} ms = {one / other:.1f}×",
    )


def _evidence(groups: Pages, *titles: str) -> dict[str, tuple[int, ...]]:
    return {title: groups[MANY.title, title][0].frames for title in titles if (MANY.title, title) in groups}


def _faster(groups: Pages, slow: str, fast: str, least: float) -> Finding | None:
    found = _ratio(groups, slow, fast)
    if found is None:
        return None
    return Finding(
        found[1], Verdict.HOLDS if found[0] >= least else Verdict.REFUTED, _evidence(groups, slow, fast)
    )


def _four_times(groups: Pages, slow: str) -> Finding | None:
    """ "In some scenarios": on any of the lines that were tried."""
    tried = [one for case in CASES if (one := _ratio(groups, slow, "HTTP/3", case)) is not None]
    if not tried:
        return None
    best = max(ratio for ratio, _ in tried)
    verdict = Verdict.HOLDS if best >= 4 else about(best, 4)
    return Finding("; ".join(words for _, words in tried), verdict, _evidence(groups, slow, "HTTP/3"))


def _smaller(groups: Pages) -> Finding | None:
    sizes = {}
    for title in ("HTTP/1.1 × 6", "HTTP/2"):
        group = groups.get((MANY.title, title), ())
        spread = Spread.of([one.span.request_bytes for page in group for one in page.asked])
        if spread is None:
            return None
        sizes[title] = spread.median
    one, other = sizes.values()
    words = f"a request takes {one:.0f} bytes in HTTP/1.1, {other:.0f} in HTTP/2 (the median of {MANY.count})"
    return Finding(
        words, Verdict.HOLDS if other < one else Verdict.REFUTED, _evidence(groups, "HTTP/1.1 × 6", "HTTP/2")
    )
