"""Round trips counted from packets: how often a client had to wait for its server before it got an answer.

A flight is what one side says before it hears the other: packets that *speak*, i.e. SYN or payload in TCP;
in QUIC, CRYPTO and STREAM content, Retry and Version Negotiation. Acknowledgements, window updates and
probes say nothing that the other side waits for, except where a server may send no more before it hears from
its client (netlab.trace.amplification).

A turn is a flight of the client and the server's packet that ends the wait for it. That packet must be
able to depend on the flight: it comes at least most of a round-trip time after the flight began. (A server's
answer to 0-RTT data arrives right after the client's Finished, and answers an earlier flight.)

The round trips before the first response byte are the turns that ended before the request was sent, and one
for the request itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

_LEAST = 0.8  # of the round-trip time: netem's and the scheduler's jitter make a wait look shorter


class Moment(NamedTuple):
    """`time_ns` is CLOCK_REALTIME; `frame` the number in the capture, its evidence."""

    time_ns: int
    frame: int


class Spoken(NamedTuple):
    """A packet that speaks, at the client's interface."""

    at: Moment
    by_client: bool


class Turn(NamedTuple):
    """The first packet of the client's flight, and the server's packet that ended the wait."""

    asked: Moment
    answered: Moment


@dataclass(frozen=True, slots=True)
class RoundTrips:
    """`count` before the first response byte. `before_request`: those of handshakes.

    `waited_ns`: from the connection's first packet to the first response byte; `rtt_ns`: the first wait
    for the server, so `waited_ns / rtt_ns` is the count by time, which loss and slow servers raise.
    """

    count: int
    before_request: int
    turns: tuple[Turn, ...]
    waited_ns: int
    rtt_ns: int

    @property
    def by_time(self) -> float:
        return self.waited_ns / self.rtt_ns if self.rtt_ns else 0.0

    @property
    def frames(self) -> tuple[int, ...]:
        """The evidence: where each turn began and ended."""
        return tuple(one.frame for turn in self.turns for one in turn)


def turns(spoken: Iterable[Spoken], rtt_ns: int) -> tuple[Turn, ...]:
    """`spoken` by time; `rtt_ns` 0 where it isn't known, and causality can't be checked."""
    found: list[Turn] = []
    asked: Moment | None = None
    for one in spoken:
        if one.by_client:
            asked = asked or one.at
        elif asked is not None and one.at.time_ns - asked.time_ns >= _LEAST * rtt_ns:
            found.append(Turn(asked, one.at))
            asked = None
    return tuple(found)


def first_wait(spoken: Iterable[Spoken]) -> int:
    """From the last packet of the client's first flight to the server's first one, in ns; 0 without both."""
    asked: Moment | None = None
    for one in spoken:
        if one.by_client:
            asked = one.at  # a repeated first packet may be the one that is answered
        elif asked is not None:
            return one.at.time_ns - asked.time_ns
    return 0


def round_trips(spoken: Iterable[Spoken], asked: Moment, answered: Moment) -> RoundTrips | None:
    """Until `answered`, the first response byte at the client, for the request whose first byte was sent
    at `asked`. None where nothing was said before."""
    said = [one for one in spoken if one.at.time_ns <= answered.time_ns]
    if not said:
        return None
    rtt_ns = first_wait(said)
    before = tuple(
        turn for turn in turns(said, rtt_ns) if (turn.answered.time_ns, turn.answered.frame) <= asked
    )
    waited = answered.time_ns - said[0].at.time_ns
    return RoundTrips(len(before) + 1, len(before), (*before, Turn(asked, answered)), waited, rtt_ns)
