"""4 and 100 small objects at once: HTTP/1.1 on one connection and on six, HTTP/2, HTTP/3 (guide 9.1)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from netlab.scenarios.bench import Bench
from netlab.scenarios.measured import asked, failures, unseen
from netlab.scenarios.objects import CLIENT, INTERFACE, WAYS, Page, ask_all, pages, ways
from netlab.scenarios.scenario import TLS_WAYS
from netlab.scenarios.verdicts import Finding, about, claim
from netlab.trace.claim import Claim, Verdict
from netlab.trace.findings import Findings
from netlab.trace.recording import Recording
from netlab.trace.table import Row, Spread, Table

COUNTS = (4, 100)
SIZE = 2000  # bytes, an icon's

Pages = Mapping[tuple[int, str], Sequence[Page]]


def stimulus(bench: Bench) -> None:
    """Every count by every way, `repeats` times in turn, each by a client without connections."""
    tls = TLS_WAYS[bench.options.tls[0]] if bench.options.tls else TLS_WAYS["1.3"]
    for turn in range(1, bench.repeats + 1):
        bench.say(f"turn {turn} of {bench.repeats}")
        for count in COUNTS:
            for way in ways(bench.http):
                ask_all(bench, f"{count} {way.title} {turn}", way, count, SIZE, tls)


def judge(read: Recording) -> Findings:
    found = asked(read, CLIENT, INTERFACE)
    groups: dict[tuple[int, str], list[Page]] = defaultdict(list)
    for prefix, page in pages(found):
        count, _, rest = prefix.partition(" ")
        groups[int(count), rest.rpartition(" ")[0]].append(page)
    table = Table(
        f"Objects of {SIZE} bytes, all wanted at once",
        ("objects", "way", "connections", "at once on one", "first, ms", "all, ms", "request, bytes"),
        tuple(
            _row(count, way.title, groups[count, way.title])
            for count in COUNTS
            for way in WAYS
            if (count, way.title) in groups
        ),
        ("From the client's first packet; request: with its headers, as it is on the stream, the median.",),
    )
    missing = [f"{name}: not in the capture" for name in unseen(read, CLIENT, found)]
    return Findings(
        (table,), tuple(_claims(groups, read.run.flaws)), failed=(*failures(read, CLIENT), *missing)
    )


def _row(count: int, title: str, group: Sequence[Page]) -> Row:
    first = Spread.of([page.first_ns / 1e6 for page in group])
    whole = Spread.of([page.all_ns / 1e6 for page in group])
    size = Spread.of([one.span.request_bytes for page in group for one in page.asked])
    return Row(
        (
            count,
            title,
            max(len(page.connections) for page in group),
            max(page.at_once for page in group),
            first.text(0) if first else None,
            whole.text(0) if whole else None,
            int(size.median) if size else None,
        ),
        group[0].frames,
    )


def _all_ms(groups: Pages, count: int, title: str) -> float | None:
    spread = Spread.of([page.all_ns / 1e6 for page in groups.get((count, title), ())])
    return None if spread is None else spread.median


def _claims(groups: Pages, flaws: Sequence[str]) -> Iterator[Claim]:
    yield claim(
        "http1-one-at-a-time",
        "9.1",
        "HTTP/1.1 has one request at a time on a connection",
        "1",
        _at_once(groups, "HTTP/1.1 × 6", lambda most: most == 1),
        flaws,
    )
    yield claim(
        "http2-multiplexes",
        "9.1",
        "HTTP/2 multiplexes requests on a single connection",
        "several, on 1",
        _at_once(groups, "HTTP/2", lambda most: most > 1),
        flaws,
    )
    yield claim(
        "http2-no-more-connections",
        "9.2",
        "with multiplexing there is no need for several connections: HTTP/2 on one is no slower than "
        "HTTP/1.1 on six",
        "not slower",
        _faster(groups, "HTTP/1.1 × 6", "HTTP/2", 0.9),
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
        "HTTP/3 can be four times faster than HTTP/1.1 (six connections, no loss)",
        "4×",
        _four_times(groups, "HTTP/1.1 × 6"),
        flaws,
    )
    yield claim(
        "http3-four-times-one",
        "3.1",
        "HTTP/3 can be four times faster than HTTP/1.1 (one connection)",
        "4×",
        _four_times(groups, "HTTP/1.1 × 1"),
        flaws,
    )


def _at_once(groups: Pages, title: str, right: Callable[[int], bool]) -> Finding | None:
    found = [page for (_, way), group in groups.items() if way == title for page in group]
    if not found:
        return None
    most, count = max(page.at_once for page in found), max(len(page.connections) for page in found)
    words = f"at most {most} at once on one of {count} connection{'s' * (count > 1)}"
    return Finding(words, Verdict.HOLDS if right(most) else Verdict.REFUTED, {title: found[0].frames})


def _ratio(groups: Pages, slow: str, fast: str) -> tuple[float, str] | None:
    one, other = _all_ms(groups, COUNTS[-1], slow), _all_ms(groups, COUNTS[-1], fast)
    if one is None or other is None:
        return None
    return (
        one / other,
        f"{COUNTS[-1]} objects: {slow} {one:.0f} ms, {fast} {other:.0f} ms = {one / other:.1f}×",
    )


def _evidence(groups: Pages, *titles: str) -> dict[str, tuple[int, ...]]:
    return {title: groups[COUNTS[-1], title][0].frames for title in titles if (COUNTS[-1], title) in groups}


def _faster(groups: Pages, slow: str, fast: str, least: float) -> Finding | None:
    found = _ratio(groups, slow, fast)
    if found is None:
        return None
    return Finding(
        found[1], Verdict.HOLDS if found[0] >= least else Verdict.REFUTED, _evidence(groups, slow, fast)
    )


def _four_times(groups: Pages, slow: str) -> Finding | None:
    found = _ratio(groups, slow, "HTTP/3")
    if found is None:
        return None
    verdict = Verdict.HOLDS if found[0] >= 4 else about(found[0], 4)
    return Finding(found[1], verdict, _evidence(groups, slow, "HTTP/3"))


def _smaller(groups: Pages) -> Finding | None:
    sizes = {}
    for title in ("HTTP/1.1 × 6", "HTTP/2"):
        group = groups.get((COUNTS[-1], title), ())
        spread = Spread.of([one.span.request_bytes for page in group for one in page.asked])
        if spread is None:
            return None
        sizes[title] = spread.median
    one, other = sizes.values()
    words = f"a request takes {one:.0f} bytes in HTTP/1.1, {other:.0f} in HTTP/2 (the median of {COUNTS[-1]})"
    return Finding(
        words, Verdict.HOLDS if other < one else Verdict.REFUTED, _evidence(groups, "HTTP/1.1 × 6", "HTTP/2")
    )
