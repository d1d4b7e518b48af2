"""Timeouts to connect, to read, and in all: what each bounds, and what the server does meanwhile (guide
8.4)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

from netlab.decode.frame import FIN, RST
from netlab.model.roles import Request, Resilience
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
    causes,
    resilience,
    sent,
)
from netlab.scenarios.scenario import Scenario
from netlab.scenarios.verdicts import Finding, about, claim
from netlab.trace.claim import Claim, Verdict
from netlab.trace.findings import Findings
from netlab.trace.packet import Packet, packets_of
from netlab.trace.recording import Recording
from netlab.trace.table import Row, Table

CONNECT_S, READ_S = 3.05, 27.0  # of the guide's example
SCALE = 30  # the read timeout is so much shorter here
PATIENT_S = 5.0  # the least that the guide calls typical
LINE = "transit:cloud"
CLOSED_PORT = 9  # nobody listens there
SILENT_PORT, PATIENT_PORT = 9001, 9002  # by which packets of the two are told apart; none comes through
SLOW_MS = 2000
DRIP_BYTES, DRIP = 120_000, "400kbit"
_LIMITS = {"connect": f"{CONNECT_S}s", "read": f"{READ_S / SCALE}s"}
_TOTAL_S = 1.5
_TIMER_S = 0.3  # by so much a timer of a busy machine may be late; SYNs are a second apart


def stimulus(bench: Bench) -> None:
    """A silent way, a closed port, a slow answer, a long one."""
    host = address(bench, SERVER, PUBLIC)
    limits = resilience(timeouts=_LIMITS)
    bench.say(f"a host that refuses, and one that is silent: {CONNECT_S} s to connect, and {PATIENT_S:g} s")
    refused = f"http://{host}:{CLOSED_PORT}/"
    with bench.phase("refused"), _asking(bench, "refused", refused, limits):
        pass
    patient = resilience(timeouts={"connect": f"{PATIENT_S}s"})
    with bench.phase("silent"), bench.link(LINE, "loss=100%", direction="up"), ExitStack() as both:
        both.enter_context(_asking(bench, "silent", f"http://{host}:{SILENT_PORT}/", limits))
        both.enter_context(_asking(bench, "patient", f"http://{host}:{PATIENT_PORT}/", patient))
    bench.say(f"an answer after {SLOW_MS} ms, where {READ_S / SCALE:g} s are waited for it")
    slow = f"http://{host}:{PORT}/slow?ms={SLOW_MS}"
    with bench.phase("slow"):
        with _asking(bench, "slow", slow, limits):
            pass
        time.sleep(SLOW_MS / 1000 - READ_S / SCALE + 0.2)  # the app goes on, and nobody wants it any more
    bench.say(f"{DRIP_BYTES} bytes at {DRIP}, and then once more within {_TOTAL_S:g} s in all")
    drip = f"http://{host}:{PORT}/bytes/{DRIP_BYTES}"
    total = resilience(timeouts={**_LIMITS, "total": f"{_TOTAL_S}s"})
    with bench.phase("drip"), bench.link(LINE, f"rate={DRIP}", direction="down"):
        with _asking(bench, "drip", drip, limits):
            pass
        with _asking(bench, "total", drip, total):
            pass


def _asking(
    bench: Bench, name: str, url: str, limits: Resilience
) -> AbstractContextManager[Callable[[], None]]:
    request = Request(name=name, url=url, http="1.1")
    return bench.asking(CLIENT, [request], may_fail=True, resilience=limits)


@dataclass(frozen=True, slots=True)
class Opening:
    """An attempt to open a connection: its SYNs, and the RST that answered, if one did."""

    name: str
    syns: tuple[Packet, ...]
    refusal: Packet | None = None

    @property
    def sent_s(self) -> tuple[float, ...]:
        """When the SYNs left, in seconds from the first."""
        return tuple((one.time_ns - self.syns[0].time_ns) / 1e9 for one in self.syns)

    @property
    def refused_ms(self) -> float | None:
        return None if self.refusal is None else (self.refusal.time_ns - self.syns[0].time_ns) / 1e6

    @property
    def frames(self) -> tuple[int, ...]:
        found = [one.number for one in self.syns]
        return tuple(found if self.refusal is None else [*found, self.refusal.number])


@dataclass(frozen=True, slots=True)
class Waited:
    """A request that was sent. `ended_ms`: after its first byte the client closed the connection; `first_ms`
    and `last_ms`: the server's first and last bytes came there, of `bytes` in all, which may be after it.
    `whole`: the answer was, before."""

    name: str
    ended_ms: float | None
    first_ms: float | None
    last_ms: float | None
    bytes: int
    whole: bool
    frames: tuple[int, ...]


def judge(read: Recording) -> Findings:
    opened = {one.name: one for one in _openings(read)}
    waited = {one.name: one for one in map(_waited, sent(read, CLIENT, INTERFACE))}
    late = _answered_late(read)
    return Findings(
        (_connect_table(opened, causes(read, CLIENT)), _wait_table(waited, causes(read, CLIENT))),
        tuple(_claims(opened, waited, late, read.run.flaws)),
    )


def _openings(read: Recording) -> Iterator[Opening]:
    packets = packets_of(read.frames_at(CLIENT, INTERFACE))
    for name, port in (("refused", CLOSED_PORT), ("silent", SILENT_PORT), ("patient", PATIENT_PORT)):
        syns = tuple(one for one in packets if one.opens and one.dst.port == port)
        refusal = next((one for one in packets if one.src.port == port and one.headers.flags & RST), None)
        if syns:
            yield Opening(name, syns, refusal)


def _waited(one: Sent) -> Waited:
    connection, start = one.connection, one.span.asked

    def after(packet: Packet | None) -> float | None:
        return None if packet is None else (packet.time_ns - start.time_ns) / 1e6

    mine = [packet for packet in connection.packets if packet.src == connection.client]
    theirs = [packet for packet in connection.packets if packet.src != connection.client]
    ended = next((packet for packet in mine if packet.headers.flags & (FIN | RST)), None)
    data = [packet for packet in theirs if packet.headers.payload_length]
    edges = [packet for packet in (ended, data[-1] if data else None) if packet is not None]
    return Waited(
        one.name,
        after(ended),
        after(data[0]) if data else None,
        after(data[-1]) if data else None,
        one.span.response_body,
        one.span.done is not None and (ended is None or one.span.done.frame < ended.number),
        (start.frame, *(packet.number for packet in edges)),
    )


def _answered_late(read: Recording) -> tuple[float, int] | None:
    """How long after its arrival an app answered the slow request, in ms, and the frame; None: it did not."""
    for app in APPS:
        for one in sent(read, app, "eth0"):
            if one.name == "slow" and one.span.answered is not None:
                return (one.span.answered.time_ns - one.span.asked.time_ns) / 1e6, one.span.answered.frame
    return None


def _connect_table(opened: Mapping[str, Opening], why: Mapping[str, str]) -> Table:
    titles = {
        "refused": "a closed port",
        "silent": f"silence, {CONNECT_S} s to connect",
        "patient": f"silence, {PATIENT_S:g} s to connect",
    }
    return Table(
        "To open a connection",
        ("to", "SYNs after, s", "refused after, ms", "the client says"),
        tuple(
            Row(
                (
                    titles[name],
                    ", ".join(f"{at:.2f}" for at in one.sent_s),
                    None if one.refused_ms is None else round(one.refused_ms, 1),
                    why.get(name),
                ),
                one.frames,
            )
            for name, one in opened.items()
        ),
        ("SYNs after: the first, and those that the kernel sent again.",),
    )


def _wait_table(waited: Mapping[str, Waited], why: Mapping[str, str]) -> Table:
    read = f"{READ_S / SCALE:g} s to read"
    titles = {
        "slow": f"an answer after {SLOW_MS} ms, {read}",
        "drip": f"{DRIP_BYTES} bytes at {DRIP}, {read}",
        "total": f"the same, {_TOTAL_S:g} s in all",
    }
    return Table(
        "To get an answer",
        ("asked", "first byte, ms", "last byte, ms", "bytes", "given up after, ms", "the client says"),
        tuple(
            Row(
                (
                    title,
                    _rounded(waited[name].first_ms),
                    _rounded(waited[name].last_ms),
                    waited[name].bytes,
                    None if waited[name].whole else _rounded(waited[name].ended_ms),
                    why.get(name),
                ),
                waited[name].frames,
            )
            for name, title in titles.items()
            if name in waited
        ),
        (f"read: a {SCALE}th of the guide's {READ_S:g} s. All times are from the request's first byte.",),
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _claims(
    opened: Mapping[str, Opening],
    waited: Mapping[str, Waited],
    late: tuple[float, int] | None,
    flaws: Sequence[str],
) -> Iterator[Claim]:
    yield claim(
        "connect-timeout",
        "8.4",
        "a connection timeout bounds the wait for the TCP handshake",
        f"no SYN after {CONNECT_S} s",
        _bounded(opened),
        flaws,
    )
    yield claim(
        "connect-3.05",
        "8.4",
        f"{CONNECT_S} s is a good connection timeout",
        "the SYN of 3 s is answered in time",
        _just_after(opened),
        flaws,
    )
    yield claim(
        "connect-down",
        "8.4",
        "a connection that fails says that the network or the server is down",
        "refused at once, or silence",
        _down(opened),
        flaws,
    )
    yield claim(
        "read-timeout",
        "8.4",
        "a timeout while waiting for the response says that processing is slow",
        f"given up after {READ_S / SCALE:g} s",
        _given_up(waited, late),
        flaws,
    )
    yield claim(
        "read-is-total",
        "8.4",
        f"the request timeout, in the example {READ_S:g} s, is the total time",
        "nothing takes longer",
        _is_total(waited),
        flaws,
    )
    yield claim(
        "total-timeout",
        "8.4",
        "a total timeout bounds all of the waiting for a response",
        f"{_TOTAL_S:g} s",
        _total(waited),
        flaws,
    )


def _bounded(opened: Mapping[str, Opening]) -> Finding | None:
    silent, patient = opened.get("silent"), opened.get("patient")
    if silent is None or patient is None or patient.sent_s[-1] <= CONNECT_S + _TIMER_S:
        return None
    late = [at for at in silent.sent_s if at > CONNECT_S + _TIMER_S]
    ends = silent.sent_s[-1], patient.sent_s[-1]
    words = f"the last SYN after {ends[0]:.2f} s; with {PATIENT_S:g} s, after {ends[1]:.2f} s"
    evidence = {"silent": silent.frames, "patient": patient.frames}
    return Finding(words, Verdict.REFUTED if late else Verdict.HOLDS, evidence)


def _just_after(opened: Mapping[str, Opening]) -> Finding | None:
    """The answer to the SYN of about 3 s must be here by then."""
    patient, refused = opened.get("patient"), opened.get("refused")
    if patient is None or refused is None or refused.refused_ms is None:
        return None
    evidence = {"patient": patient.frames, "refused": refused.frames}
    again = next((at for at in patient.sent_s if 2.9 <= at <= 3.3), None)
    if again is None:
        return Finding("no SYN was sent again after about 3 s", Verdict.REFUTED, evidence)
    answer_s = again + refused.refused_ms / 1000
    words = f"a SYN after {again:.2f} s; with a round trip of {refused.refused_ms:.0f} ms"
    words += f" its answer would come after {answer_s:.2f} s"
    return Finding(words, Verdict.HOLDS if answer_s <= CONNECT_S else Verdict.REFUTED, evidence)


def _down(opened: Mapping[str, Opening]) -> Finding | None:
    silent, refused = opened.get("silent"), opened.get("refused")
    if silent is None or refused is None:
        return None
    evidence = {"refused": refused.frames, "silent": silent.frames}
    if refused.refused_ms is None or silent.refusal is not None:
        return Finding("the closed port did not refuse, or the silent one did", Verdict.REFUTED, evidence)
    words = f"a closed port refuses within {refused.refused_ms:.0f} ms; only silence needs the timeout"
    return Finding(words, Verdict.HOLDS, evidence)


def _given_up(waited: Mapping[str, Waited], late: tuple[float, int] | None) -> Finding | None:
    slow = waited.get("slow")
    if slow is None or slow.ended_ms is None:
        return None
    after = "" if late is None else f"; the app answered after {late[0]:.0f} ms nevertheless"
    evidence = {"client": slow.frames, "app": () if late is None else (late[1],)}
    verdict = Verdict.REFUTED if slow.whole else about(slow.ended_ms, READ_S / SCALE * 1000)
    return Finding(f"given up after {slow.ended_ms:.0f} ms{after}", verdict, evidence)


def _is_total(waited: Mapping[str, Waited]) -> Finding | None:
    drip = waited.get("drip")
    if drip is None or drip.last_ms is None:
        return None
    limit_ms = READ_S / SCALE * 1000
    if drip.whole and drip.last_ms <= limit_ms:
        return Finding(f"the answer took only {drip.last_ms:.0f} ms", Verdict.NOT_RUN)
    words = f"with {limit_ms:.0f} ms to read, an answer of {drip.last_ms:.0f} ms"
    if drip.whole:
        words += " came whole: it bounds each part"
    return Finding(words, Verdict.REFUTED if drip.whole else Verdict.HOLDS, {"drip": drip.frames})


def _total(waited: Mapping[str, Waited]) -> Finding | None:
    total = waited.get("total")
    if total is None or total.ended_ms is None:
        return None
    words = f"given up after {total.ended_ms:.0f} ms, with {total.bytes} of {DRIP_BYTES} bytes"
    verdict = Verdict.REFUTED if total.whole else about(total.ended_ms, _TOTAL_S * 1000)
    return Finding(words, verdict, {"total": total.frames})


SCENARIO = Scenario(
    "timeouts",
    "timeouts to connect, to read and in all: a silent host, a closed port, a slow app, a long answer",
    stimulus,
    judge,
    interfaces=lambda _: (
        f"{CLIENT}:{INTERFACE}",
        f"{SERVER}:{PUBLIC}",
        *(f"{app}:eth0" for app in APPS),
    ),
    topology="middle",
    needs={CLIENT: "it asks", SERVER: "it is asked", "transit": "its line goes silent"},
)
