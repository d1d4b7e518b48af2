"""Where packets were lost: each is followed from interface to interface, and where it is not seen again,
the link between there and the next interface of its way has eaten it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from netlab.trace.leg import Leg
from netlab.trace.packet import Journey, Packet, Socket
from netlab.trace.run import Run, RunDrops

Place = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Lost:
    """Packets that were seen at `after` and not at `before`, the next interface of their way. `link`: "A ─ B"
    where one link joins the two; else what was captured leaves out the interfaces between. `sent`: all that
    were seen at `after` and should have come to `before`. `counted`: what the link's own counters say, of all
    frames that it took there; None where no link joins the two, or the run has no counts."""

    after: Place
    before: Place
    link: str
    packets: tuple[Packet, ...]
    sent: int
    counted: RunDrops | None = None

    @property
    def share(self) -> float:
        """Of those that were sent, 0 to 1."""
        return len(self.packets) / self.sent if self.sent else 0.0


def losses(legs: Iterable[Leg], found: Iterable[Journey], run: Run) -> tuple[Lost, ...]:
    """Of connections and flows, in the order of how many were lost.

    The way of a flow's direction is that of its longest journey. A packet that ends before its way does was
    lost, or dropped by a filter: both are "not seen again".
    """
    ways = _ways(legs, found)
    gone: dict[tuple[Place, Place], list[Packet]] = defaultdict(list)
    sent: dict[tuple[Place, Place], int] = defaultdict(int)
    for journeys in ways:
        _count(journeys, gone, sent)
    made = [
        _lost(after, before, packets, sent[after, before], run) for (after, before), packets in gone.items()
    ]
    return tuple(sorted(made, key=lambda one: (-len(one.packets), one.after)))


def _ways(legs: Iterable[Leg], found: Iterable[Journey]) -> list[list[Journey]]:
    """Journeys by the direction of the connection that they belong to."""
    direction: dict[tuple[Place, Socket, Socket], int] = {}
    count = 0
    for leg in legs:
        for view in leg.views:
            direction.setdefault((view.place, view.client, view.server), count)
            direction.setdefault((view.place, view.server, view.client), count + 1)
        count += 2
    groups: dict[int, list[Journey]] = defaultdict(list)
    for journey in found:
        first = journey[0]
        key = direction.get((first.place, first.src, first.dst))
        if key is not None:
            groups[key].append(journey)
    return list(groups.values())


def _count(
    journeys: Sequence[Journey],
    gone: dict[tuple[Place, Place], list[Packet]],
    sent: dict[tuple[Place, Place], int],
) -> None:
    way = [packet.place for packet in max(journeys, key=len)]
    for journey in journeys:
        reached = [way.index(packet.place) for packet in journey if packet.place in way]
        if not reached:
            continue  # another way than the usual one
        last = max(reached)
        for at in range(min(reached), min(last + 1, len(way) - 1)):
            sent[way[at], way[at + 1]] += 1
        if last < len(way) - 1:
            gone[way[last], way[last + 1]].append(journey[-1])


def _lost(after: Place, before: Place, packets: Sequence[Packet], sent: int, run: Run) -> Lost:
    end = f"{after[0]}:{after[1]}"
    link = run.link_at(end)
    if link is not None and link.other(end) == f"{before[0]}:{before[1]}":
        name = f"{end} ─ {link.other(end)}"
        return Lost(after, before, name, tuple(packets), sent, link.dropped_from(end))
    within = f"{before[0]} (within the node)" if after[0] == before[0] else ""
    return Lost(after, before, within, tuple(packets), sent)
