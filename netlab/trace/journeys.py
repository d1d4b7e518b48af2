"""The journeys that packets make across interfaces: which sightings are one packet.

Sightings with the same identity (`netlab.decode.frame.identity`) are one packet, if no interface saw it twice
and its sockets change only where a node translates addresses. What doesn't pass that is sorted out by
evidence: sockets, translations that other packets prove, the hop limit, and how long the way usually takes.
That concerns IPv6 and UDP without IP identification, where different packets can have one identity.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from netlab.trace.packet import Journey, Packet, Socket

_SAMPLES = 129  # of the time from one interface to the next: enough for a median
_RECENT = 256  # journeys of one identity that may still go on; an older one is over

_Place = tuple[str, str]
_Sockets = tuple[Socket, Socket]
_Cost = tuple[int, bool, float]


class _Doorway(NamedTuple):
    """Into a node by one interface, out by another: where addresses are translated."""

    before: _Place
    after: _Place


def journeys(packets: Iterable[Packet]) -> tuple[Journey, ...]:
    """Sightings of one packet at several interfaces, in the order of time, of each of `packets`, which are
    ordered by time. A second sighting at an interface begins another journey: a retransmission, or a twin."""
    by_identity: dict[bytes, list[Packet]] = defaultdict(list)
    for packet in packets:
        by_identity[packet.identity].append(packet)
    evidence = _Evidence()
    found: list[Journey] = []
    tangled: list[list[Packet]] = []
    for group in by_identity.values():
        if _is_one(group):
            found.append(tuple(group))
            evidence.learn(group)
        else:
            tangled.append(group)
    for group in tangled:
        evidence.learn_certain(group)
    for group in tangled:
        found += _untangled(group, evidence)
    return tuple(found)


def _is_one(group: Sequence[Packet]) -> bool:
    places = {packet.place for packet in group}
    if len(places) < len(group):
        return False
    return all(_goes_on(before, after) for before, after in pairwise(group))


def _goes_on(before: Packet, after: Packet) -> bool:
    """A router lowers the hop limit, nothing raises it; sockets change within a router, one end of two."""
    if after.headers.ttl > before.headers.ttl:
        return False
    return _sockets(after) == _sockets(before) or _may_translate(before, after)


def _may_translate(before: Packet, after: Packet) -> bool:
    return (
        before.frame.node == after.frame.node
        and after.headers.ttl < before.headers.ttl
        and (before.src == after.src or before.dst == after.dst)
    )


def _sockets(packet: Packet) -> _Sockets:
    return packet.src, packet.dst


@dataclass
class _Evidence:
    """What packets of one journey prove: which sockets a node made of which; how long a way takes (ns)."""

    made: dict[tuple[_Doorway, _Sockets], set[_Sockets]] = field(default_factory=lambda: defaultdict(set))
    took: dict[tuple[_Place, _Place], list[int]] = field(default_factory=lambda: defaultdict(list))
    usual: dict[tuple[_Place, _Place], float] = field(default_factory=dict)

    def learn(self, journey: Sequence[Packet]) -> None:
        for before, after in pairwise(journey):
            times = self.took[before.place, after.place]
            if len(times) < _SAMPLES:
                times.append(after.time_ns - before.time_ns)
            if _sockets(before) != _sockets(after):
                self._translated(before, after)

    def learn_certain(self, group: Sequence[Packet]) -> None:
        """Translations within a node for which only one packet can have been the one before."""
        inside: dict[str, list[Packet]] = defaultdict(list)
        for after in group:
            entered = inside[after.frame.node]
            if all(_sockets(one) != _sockets(after) for one in entered):
                before = [one for one in entered if one.place != after.place and _may_translate(one, after)]
                if len({(one.place, _sockets(one)) for one in before}) == 1:
                    self._translated(before[-1], after)
            entered.append(after)
            del entered[:-_RECENT]

    def _translated(self, before: Packet, after: Packet) -> None:
        self.made[_Doorway(before.place, after.place), _sockets(before)].add(_sockets(after))

    def unlikelihood(self, before: Packet, after: Packet) -> _Cost | None:
        """The lower, the likelier that `after` is `before` further on; None: it can't be. Sockets count most,
        then that other packets came straight from there to here, then the time."""
        if after.headers.ttl > before.headers.ttl:
            return None
        rank = self._rank(before, after)
        if rank is None:
            return None
        straight = (before.place, after.place) in self.took
        return rank, not straight, abs(after.time_ns - before.time_ns - self._usual(before, after))

    def _rank(self, before: Packet, after: Packet) -> int | None:
        if _sockets(before) == _sockets(after):
            return 0
        if after.headers.ttl == before.headers.ttl:
            return None
        if not _may_translate(before, after):
            return 3  # by a node of which only one interface was captured, or both ends at once
        made = self.made.get((_Doorway(before.place, after.place), _sockets(before)))
        if made is None:
            return 2
        return 1 if _sockets(after) in made else None

    def _usual(self, before: Packet, after: Packet) -> float:
        """0 where no packet has shown it: then the latest is likeliest, since what is sent again is sent
        where the first is thought lost."""
        way = before.place, after.place
        if way not in self.usual:
            self.usual[way] = median(self.took[way]) if way in self.took else 0.0
        return self.usual[way]


def _untangled(group: Sequence[Packet], evidence: _Evidence) -> Iterator[Journey]:
    """Each sighting goes on with the journey that it is likeliest a part of, among those that lack its
    interface; else it begins one."""
    found: list[list[Packet]] = []
    for packet in group:
        likeliest: tuple[_Cost, list[Packet]] | None = None
        for journey in found[-_RECENT:]:
            if any(seen.place == packet.place for seen in journey):
                continue
            cost = evidence.unlikelihood(journey[-1], packet)
            if cost is not None and (likeliest is None or cost <= likeliest[0]):
                likeliest = cost, journey
        if likeliest is None:
            found.append([packet])
        else:
            likeliest[1].append(packet)
    return (tuple(one) for one in found)
