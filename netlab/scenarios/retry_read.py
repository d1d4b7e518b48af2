"""What the packets of `retry` say: a herd's attempts, and which orders were made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from netlab.scenarios.calls import APPS, PUBLIC, SERVER, Sent, grouped, phase_of, sent, windows, within
from netlab.trace.packet import Packet, packets_of
from netlab.trace.recording import Recording

JITTERS = {"none": "none", "added": "added, as the guide has it", "full": "full"}
CLIENTS = 60  # each with a connection and a back-off of its own, in one process
STEP_MS = 300  # the guide's waits are 1, 2, 4, 8 s
OUTAGE_S = 1.5  # after three rounds of attempts
OUT_PORT = 9000  # of a service that is not there during the outage
WINDOW_MS = 100
CALLS, BUDGET, RESERVE, ATTEMPTS = 60, 20, 5, 4


@dataclass(frozen=True, slots=True)
class Herd:
    """Attempts to connect, as the server's interface saw them. `peak`: the most retries within WINDOW_MS;
    `back_ms`: when the service was there again, after the first attempt of all; `burst`: the most attempts
    within WINDOW_MS from then on. `rounds_ms`: see _rounds; `all_ms`: when the last one was served."""

    jitter: str
    attempts: int
    peak: int
    back_ms: float
    burst: int
    rounds_ms: tuple[float, ...]
    all_ms: float | None
    frames: tuple[int, ...]


class Talk:
    """The packets at the server, read once."""

    def __init__(self, read: Recording) -> None:
        self.read = read
        self.seen = sent(read, SERVER, PUBLIC)
        self._packets = packets_of(read.frames_at(SERVER, PUBLIC))

    def syns(self, phase: str) -> list[Packet]:
        """To the service, in a phase."""
        return [one for one in self._of(phase) if one.opens and one.dst.port == OUT_PORT]

    def accepts(self, phase: str) -> list[Packet]:
        return [one for one in self._of(phase) if one.accepts and one.src.port == OUT_PORT]

    def _of(self, phase: str) -> list[Packet]:
        return within(self._packets, phase_of(self.read, phase))


def herd_seen(talk: Talk, jitter: str) -> Herd | None:
    syns, accepts = talk.syns(f"herd {jitter}"), talk.accepts(f"herd {jitter}")
    if len(syns) <= CLIENTS or not accepts:
        return None
    times = [one.time_ns for one in syns]
    width = WINDOW_MS * 1_000_000
    back_ns = max(one for one in times if one <= accepts[0].time_ns)  # the SYN that was accepted first
    burst, first = max(windows([one for one in times if one >= back_ns], width))
    index = times.index(back_ns) + first
    served = [one for one in grouped(talk.seen, jitter) if one.span.status == 200]
    last = max((one.ended_ns for one in served), default=None)
    return Herd(
        jitter,
        len(times),
        max(windows(times[CLIENTS:], width))[0],  # each client's first attempt is long before any second
        (back_ns - times[0]) / 1e6,
        burst,
        tuple(_rounds(times)),
        None if last is None else (last - times[0]) / 1e6,
        tuple(one.number for one in syns[index : index + burst]),
    )


def _rounds(times: Sequence[int]) -> Iterator[float]:
    """The middle of each CLIENTS attempts, in ms from that of the first ones: without jitter, of a wave."""
    rounds = [times[start : start + CLIENTS] for start in range(0, len(times), CLIENTS)]
    for one in rounds:
        if len(one) == CLIENTS:
            yield (median(one) - median(rounds[0])) / 1e6


def acted_on(talk: Talk) -> dict[str, list[Sent]]:
    """Group ─► the orders that an app made: 201, and not the answer of before. At the apps, or at the server
    whose process is the app."""
    found: dict[str, list[Sent]] = {}
    seen = [one for app in APPS for one in sent(talk.read, app, "eth0")]
    seen += [one for one in talk.seen if one.group.startswith("order ")]
    for one in seen:
        response = one.span.exchange.response
        if one.span.status != 201 or response is None or isinstance(response, str):
            continue
        if not response.headers.has("idempotent-replayed"):
            found.setdefault(one.group, []).append(one)
    return found
