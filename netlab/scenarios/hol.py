"""Head-of-line blocking: many objects at once while packets are lost, over each version of HTTP
(guide 3.1, 3.3, 9.1). Which streams waited behind a lost packet is read from the packets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from netlab.scenarios.bench import Bench
from netlab.scenarios.measured import Asked, asked, failures, unseen
from netlab.scenarios.objects import CLIENT, INTERFACE, WAYS, Page, ask_all, pages, ways
from netlab.scenarios.scenario import TLS_WAYS
from netlab.scenarios.verdicts import TOLERANCE, Finding, about, claim
from netlab.trace.claim import Claim, Verdict
from netlab.trace.connection import Connection, connections
from netlab.trace.findings import Findings
from netlab.trace.recording import Recording
from netlab.trace.stalls import Stall, stalls
from netlab.trace.table import Row, Spread, Table

LINE = "home-router:wan"  # the guide's home line; what goes down it, to the client, is lost
SERVER = ("lb", "public")
LOSSES = ("0%", "1%", "2%", "5%")
COUNT, SIZE = 50, 10_000
_PROGRAM_NS = 10_000_000  # a program on a busy machine reads what has come some ms later


@dataclass(frozen=True, slots=True)
class Loaded:
    """A page under loss. `stalls`: messages whose bytes had come and could not be read. `read_ns`: when the
    client said that it had read an object to its end, by name."""

    page: Page
    stalls: tuple[Stall, ...]
    read_ns: Mapping[str, int] = field(default_factory=dict)

    @property
    def behind_others(self) -> tuple[Stall, ...]:
        return tuple(one for one in self.stalls if one.blocked_by_others)

    @property
    def meanwhile(self) -> tuple[tuple[Asked, Stall], ...]:
        """Objects whose last byte came while another stream of the connection waited, with that wait: the
        longest left. The wait goes on for at least _PROGRAM_NS, so that a program has time to read."""
        found = []
        for one in self.page.asked if len(self.page.connections) == 1 else ():
            done = one.span.done
            waits = [
                stall
                for stall in self.stalls
                if done is not None
                and stall.stream != one.span.stream
                and stall.start <= done
                and done.time_ns + _PROGRAM_NS <= stall.end.time_ns
            ]
            if waits:
                found.append((one, max(waits, key=lambda stall: stall.end)))
        return tuple(found)


Loads = Mapping[tuple[str, str], Sequence[Loaded]]


def stimulus(bench: Bench) -> None:
    """Every loss, `repeats` times every way, each by a client without connections."""
    tls = TLS_WAYS[bench.options.tls[0]] if bench.options.tls else TLS_WAYS["1.3"]
    for loss in LOSSES:
        bench.say(f"{COUNT} objects of {SIZE} bytes, {loss} of packets lost on the way to the client")
        with bench.link(LINE, f"loss={loss}", direction="down"):
            for turn in range(1, bench.repeats + 1):
                for way in ways(bench.http, tls):
                    ask_all(bench, f"{loss} {way.title} {turn}", way, COUNT, SIZE, tls)


def judge(read: Recording) -> Findings:
    found = asked(read, CLIENT, INTERFACE)
    senders, read_ns = _senders(read), _read(read)
    groups: dict[tuple[str, str], list[Loaded]] = defaultdict(list)
    for prefix, page in pages(found):
        loss, _, rest = prefix.partition(" ")
        waits = tuple(
            stall for one in page.connections for stall in stalls(one, "server", senders.get(_mark(one)))
        )
        groups[loss, rest.rpartition(" ")[0]].append(Loaded(page, waits, read_ns))
    missing = [f"{name}: not in the capture" for name in unseen(read, CLIENT, found)]
    return Findings(
        (_table(groups), *_example(groups)),
        tuple(_claims(groups, read.run.flaws)),
        failed=(*failures(read, CLIENT), *missing),
    )


def _senders(read: Recording) -> dict[str, Connection]:
    """The same connections where the server's packets set out, known by a request in them."""
    return {_mark(one): one for one in connections(read.frames_at(*SERVER), read.keys) if one.exchanges}


def _read(read: Recording) -> dict[str, int]:
    """Name of a request ─► when the client's program had its answer."""
    return {
        str(event.data.get("name", "")): event.time_ns
        for event in read.events
        if event.event == "request-done" and event.node == CLIENT
    }


def _mark(connection: Connection) -> str:
    return next((one.trace_id for one in connection.exchanges if one.trace_id), "")


def _table(groups: Loads) -> Table:
    keys = [(loss, way.title) for loss in LOSSES for way in WAYS if (loss, way.title) in groups]
    return Table(
        f"{COUNT} objects of {SIZE // 1000} kB at once, while packets to the client are lost",
        ("loss", "way", "all, ms", "waited", "behind others", "longest, ms"),
        tuple(_row(loss, title, groups[loss, title]) for loss, title in keys),
        (
            "waited: objects of which bytes had come, to be read only when a lost packet came again.",
            "behind others: of these, those that missed no byte of their own. Both: medians of the turns.",
        ),
    )


def _row(loss: str, title: str, group: Sequence[Loaded]) -> Row:
    whole = Spread.of([one.page.all_ns / 1e6 for one in group])
    waited = Spread.of([len({(s.stream, s.target) for s in one.stalls}) for one in group])
    behind = Spread.of([len({(s.stream, s.target) for s in one.behind_others}) for one in group])
    longest = max((s.duration_ns for one in group for s in one.stalls), default=0)
    evidence = next((s for one in group for s in one.behind_others), None)
    return Row(
        (
            loss,
            title,
            whole.text(0) if whole else None,
            int(waited.median) if waited else None,
            int(behind.median) if behind else None,
            round(longest / 1e6, 1),
        ),
        (evidence.start.frame, evidence.repaired) if evidence else group[0].page.frames,
    )


def _example(groups: Loads) -> Iterator[Table]:
    """One lost packet of HTTP/2, and the streams that waited for it; the same of HTTP/3."""
    for title in ("HTTP/2", "HTTP/3"):
        waits = [s for loss in LOSSES for one in groups.get((loss, title), ()) for s in one.stalls]
        lost: dict[int, list[Stall]] = defaultdict(list)
        for stall in waits:
            if stall.lost:
                lost[stall.lost[0]].append(stall)
        if not lost:
            continue
        frame, members = max(lost.items(), key=lambda one: len(one[1]))
        rows = [
            Row(
                (
                    one.stream,
                    one.target,
                    one.waiting,
                    round(one.duration_ns / 1e6, 1),
                    "no" if one.blocked_by_others else "yes",
                ),
                (one.start.frame, one.repaired),
            )
            for one in members[:8]
        ]
        more = f" The first 8 of {len(members)}." if len(members) > 8 else ""
        yield Table(
            f"{title}: streams that waited for the packet that was lost as frame {frame}",
            ("stream", "object", "bytes waiting", "ms", "its own bytes missing"),
            tuple(rows),
            (f"Frame {frame} is at {':'.join(SERVER)}; the others at {CLIENT}:{INTERFACE}.{more}",),
        )


def _claims(groups: Loads, flaws: Sequence[str]) -> Iterator[Claim]:
    yield claim(
        "tcp-head-of-line",
        "9.1",
        "in HTTP/2 a lost TCP segment blocks all streams",
        "streams wait for others",
        _waiting(groups),
        flaws,
    )
    yield claim(
        "quic-independent-streams",
        "3.3",
        "in QUIC packet loss in one stream doesn't block others",
        "others are read before the repair",
        _independent(groups),
        flaws,
    )
    yield claim(
        "http3-wins-under-loss",
        "3.1",
        "HTTP/3 suffers less from loss than HTTP/2",
        "faster at each loss",
        _wins(groups),
        flaws,
    )
    yield claim(
        "http3-four-times-lossy",
        "3.1",
        "HTTP/3 can be four times faster than HTTP/1.1 in some scenarios",
        "4×",
        _best(groups),
        flaws,
    )


def _lossy(groups: Loads, title: str) -> list[Loaded]:
    return [one for loss in LOSSES if loss != "0%" for one in groups.get((loss, title), ())]


def _waiting(groups: Loads) -> Finding | None:
    found = _lossy(groups, "HTTP/2")
    waits = [stall for one in found for stall in one.stalls]
    if not waits:
        return None
    behind = [stall for one in found for stall in one.behind_others]
    words = f"{len(behind)} of {len(waits)} waits were for bytes of others only"
    first = (behind or waits)[0]
    verdict = Verdict.HOLDS if behind else Verdict.REFUTED
    return Finding(words, verdict, {"HTTP/2": (*first.lost[:1], first.start.frame, first.repaired)})


# Of the objects: a program that is late, because the machine is, is none that waits for another's packet.
_MOST = 0.9


def _independent(groups: Loads) -> Finding | None:
    """Packets alone can't show it: whether bytes that have come are given to the program is the receiver's
    choice. So the packets say what had come, and the client's events what its program had read."""
    pairs = [
        (one, other, stall)
        for one in _lossy(groups, "HTTP/3")
        for other, stall in one.meanwhile
        if other.name in one.read_ns
    ]
    if not pairs:
        return None
    free = [pair for pair in pairs if pair[0].read_ns[pair[1].name] < pair[2].end.time_ns]
    words = (
        f"{len(free)} of {len(pairs)} objects that were whole while another stream waited were read before "
        "its repair"
    )
    _, other, stall = (free or pairs)[0]
    done = (other.span.done.frame,) if other.span.done is not None else ()
    evidence = {"HTTP/3": (*stall.lost[:1], stall.start.frame, *done, stall.repaired)}
    share = len(free) / len(pairs)
    verdict = Verdict.HOLDS if share >= _MOST else Verdict.REFUTED if share <= 1 - _MOST else Verdict.PARTLY
    return Finding(words, verdict, evidence)


def _median(groups: Loads, loss: str, title: str) -> float | None:
    spread = Spread.of([one.page.all_ns / 1e6 for one in groups.get((loss, title), ())])
    return None if spread is None else spread.median


def _wins(groups: Loads) -> Finding | None:
    said, won = [], []
    for loss in LOSSES:
        two, three = _median(groups, loss, "HTTP/2"), _median(groups, loss, "HTTP/3")
        if two is None or three is None:
            return None
        said.append(f"{loss}: {two / three:.1f}×")
        won.append(two / three > 1 + TOLERANCE)
    lossy = won[1:]
    verdict = Verdict.HOLDS if all(lossy) else Verdict.PARTLY if any(lossy) else Verdict.REFUTED
    return Finding(
        f"HTTP/2's time over HTTP/3's at loss {', '.join(said)}", verdict, _ends(groups, "HTTP/2", "HTTP/3")
    )


def _best(groups: Loads) -> Finding | None:
    """Over six connections and over one, at each loss."""
    found = []
    for loss in LOSSES:
        three = _median(groups, loss, "HTTP/3")
        for title in ("HTTP/1.1 × 6", "HTTP/1.1 × 1"):
            one = _median(groups, loss, title)
            if one is not None and three is not None:
                found.append((one / three, f"{one / three:.1f}× against {title} at {loss} loss"))
    if not found:
        return None
    best = max(found)
    six = max((one for one in found if "× 6" in one[1]), default=best)
    verdict = Verdict.HOLDS if six[0] >= 4 else Verdict.PARTLY if best[0] >= 4 else about(best[0], 4)
    return Finding(
        f"{six[1]}; {best[1]}" if six != best else best[1], verdict, _ends(groups, "HTTP/1.1 × 6", "HTTP/3")
    )


def _ends(groups: Loads, *titles: str) -> dict[str, tuple[int, ...]]:
    found = {}
    for title in titles:
        group = next((groups[loss, title] for loss in reversed(LOSSES) if (loss, title) in groups), None)
        if group:
            found[title] = group[0].page.frames
    return found
