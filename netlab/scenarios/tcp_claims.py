"""The rules of the verdicts of scenario `tcp`: pure functions of its downloads (guide 3.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netlab.scenarios.measured import Asked
from netlab.scenarios.tcp_download import Download, rounds_of
from netlab.scenarios.verdicts import Finding, claim
from netlab.trace.claim import Claim, Verdict
from netlab.trace.packet import Packet
from netlab.trace.table import Spread
from netlab.trace.tcp_analysis import DuplicateAck, Gap


def claims_of(downloads: Sequence[Download], found: Sequence[Asked], flaws: Sequence[str]) -> Iterator[Claim]:
    yield claim(
        "tcp-three-way",
        "3.3",
        "a connection begins with SYN, SYN-ACK, ACK; each acknowledges the other's number + 1",
        "3 packets",
        _three_way(found),
        flaws,
    )
    yield claim(
        "tcp-one-rtt",
        "3.3",
        "one round trip before data can be sent",
        "1",
        _one_round_trip(found),
        flaws,
    )
    yield claim(
        "tcp-retransmits-by-timeout",
        "3.3",
        "the sender resends lost packets based on ACK timeouts",
        "by timeout",
        _repairs(downloads),
        flaws,
    )
    yield claim(
        "tcp-duplicate-acks",
        "3.3",
        "the receiver signals out-of-order arrival by duplicate ACKs",
        "duplicates at gaps",
        _duplicates(downloads),
        flaws,
    )
    yield claim(
        "tcp-window-adapts",
        "3.3",
        "the congestion window adapts to the network",
        "grows, and shrinks at loss",
        _adapts(downloads),
        flaws,
    )
    yield claim(
        "tcp-flow-control",
        "3.3",
        "flow control keeps the sender from overwhelming the receiver",
        "never more than offered",
        _flow_control(downloads),
        flaws,
    )


def _three_way(found: Sequence[Asked]) -> Finding | None:
    good = 0
    evidence: tuple[int, ...] = ()
    for one in found:
        packets = one.connection.packets[:3]
        if len(packets) == 3 and _is_handshake(packets):
            good += 1
            evidence = evidence or tuple(packet.number for packet in packets)
    if not found:
        return None
    verdict = Verdict.HOLDS if good == len(found) else Verdict.PARTLY if good else Verdict.REFUTED
    return Finding(f"{good} of {len(found)} connections", verdict, {"first": evidence})


def _is_handshake(packets: Sequence[Packet]) -> bool:
    syn, accepted, ack = packets
    return (
        syn.opens
        and accepted.accepts
        and accepted.headers.ack == (syn.headers.seq + 1) % 2**32
        and not ack.opens
        and ack.headers.ack == (accepted.headers.seq + 1) % 2**32
    )


def _one_round_trip(found: Sequence[Asked]) -> Finding | None:
    trips = [one.connection.round_trips for one in found if one.connection.round_trips is not None]
    if not trips:
        return None
    counts = sorted({trip.before_request for trip in trips})
    words = f"{', '.join(map(str, counts))} in {len(trips)} connections"
    verdict = Verdict.HOLDS if counts == [1] else Verdict.PARTLY if 1 in counts else Verdict.REFUTED
    return Finding(words, verdict, {"first": trips[0].frames})


def _repairs(downloads: Sequence[Download]) -> Finding | None:
    lossy = [one for one in downloads if one.case.startswith("lossy")]
    again = [one for download in lossy for one in download.sent.retransmissions]
    if not again:
        return None
    by = {kind: sum(one.kind == kind for one in again) for kind in ("fast", "probe", "timeout")}
    waits = Spread.of([one.waited_ns / 1e6 for one in again if one.kind == "fast" and one.waited_ns])
    words = f"{by['timeout']} by timeout; {by['fast']} by duplicate ACKs or SACK"
    if waits is not None:
        words += f" (after {waits.text(0)} ms)"
    words += f"; {by['probe']} by a tail loss probe"
    timers = by["timeout"] + by["probe"]
    # The guide names no other way. It holds where a timer is the usual one, and partly where it happens.
    elsewhere = _by_timer([one for one in downloads if one not in lossy])
    if elsewhere:
        words += f"; {elsewhere} by a timer in the other downloads"
    mostly, sometimes = timers > len(again) / 2, bool(timers or elsewhere)
    verdict = Verdict.HOLDS if mostly else Verdict.PARTLY if sometimes else Verdict.REFUTED
    return Finding(words, verdict, {"again": (again[0].first, again[0].at.frame)})


def _by_timer(downloads: Sequence[Download]) -> int:
    """What a timer sent again, on any line."""
    return sum(one.kind != "fast" for download in downloads for one in download.sent.retransmissions)


def _duplicates(downloads: Sequence[Download]) -> Finding | None:
    lossy = [one for one in downloads if one.case.startswith("lossy")]
    gaps = [(download, gap) for download in lossy for gap in download.heard.gaps]
    if not gaps:
        return None
    told = [answer for download, gap in gaps if (answer := _answer(download, gap)) is not None]
    clean = sum(len(one.heard.duplicates) for one in downloads if one.case.startswith("clean"))
    words = f"{len(told)} of {len(gaps)} gaps; {clean} duplicates in the downloads without loss"
    share = len(told) / len(gaps)
    verdict = Verdict.HOLDS if share >= _MOST else Verdict.PARTLY if told else Verdict.REFUTED
    return Finding(words, verdict, {"first": (gaps[0][1].at.frame, *(one.at.frame for one in told[:1]))})


# Of the gaps: a gap that is filled by the very next packet may be seen before its duplicate leaves.
_MOST = 0.9


def _answer(download: Download, gap: Gap) -> DuplicateAck | None:
    """The first duplicate acknowledgement that the receiver sent while the gap was open."""
    end = gap.filled or download.asked.connection.end
    return next((one for one in download.heard.duplicates if gap.at < one.at <= end), None)


def _adapts(downloads: Sequence[Download]) -> Finding | None:
    clean = [one for one in downloads if one.case == "clean cubic"]
    lossy = [one for one in downloads if one.case == "lossy cubic"]
    if not clean or not lossy:
        return None
    rounds = rounds_of(clean[0])
    most = {
        name: max(sample.value for one in group for sample in one.sent.flight)
        for name, group in (("clean", clean), ("lossy", lossy))
    }
    growth = ", ".join(f"{size / 1000:.0f}" for size in rounds)
    words = (
        f"kB per round trip {growth}; at most {most['clean'] / 1000:.0f} kB in flight without loss, "
        f"{most['lossy'] / 1000:.0f} kB with 1%"
    )
    # Slow start doubles the window in a round trip, or makes it half as much again with delayed
    # acknowledgements (RFC 5681 section 3.1): in two, it is at least twice.
    grows = len(rounds) > 2 and rounds[2] >= 2 * rounds[0]
    shrinks = most["lossy"] < most["clean"]
    verdict = Verdict.HOLDS if grows and shrinks else Verdict.PARTLY if grows or shrinks else Verdict.REFUTED
    frames = tuple(sample.at.frame for sample in clean[0].sent.sent[:1])
    return Finding(words, verdict, {"clean": frames})


def _flow_control(downloads: Sequence[Download]) -> Finding | None:
    """Bytes in flight against the window that the receiver offered, at the sender."""
    slow = next((one for one in downloads if one.case == "slow reader"), None)
    if slow is None:
        return None
    beyond, offered, windows = 0, 0, iter(slow.sent.windows)
    upcoming = next(windows, None)
    for sample in slow.sent.flight:
        while upcoming is not None and upcoming.at <= sample.at:
            offered, upcoming = upcoming.value, next(windows, None)
        beyond += sample.value > offered
    zero = slow.sent.zero
    most = max(sample.value for sample in slow.sent.flight)
    words = (
        f"a window of 0 was told {len(zero)} times; at most {most / 1000:.0f} kB in flight, beyond the "
        f"window {beyond} times"
    )
    evidence = {"window 0": (zero[0].frame,)} if zero else {}
    # Where the window was never 0, the reader was not slow enough to hold the sender back.
    verdict = Verdict.REFUTED if beyond else Verdict.HOLDS if zero else Verdict.PARTLY
    return Finding(words, verdict, evidence)
