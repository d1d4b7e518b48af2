"""From packets at a balancer to its choices: which upstream got which request, and what each had in hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from netlab.decode.frame import ACK, FIN, RST, SYN
from netlab.scenarios.lb_layers import Layers, layers
from netlab.scenarios.lb_stimulus import (
    APP,
    CLIENT,
    CLIENTS,
    GOES,
    HANGS,
    INSIDE,
    KILLED,
    LB,
    PATIENCE_NS,
    PROXY,
    PUBLIC,
)
from netlab.scenarios.measured import named
from netlab.trace.connection import Connection, Span, connections
from netlab.trace.recording import Recording
from netlab.trace.round_trips import Moment

EVIDENCE = 4  # frames
SLACK_NS = 5_000_000  # what a balancer may know later, or earlier, than its interface shows


@dataclass(frozen=True, slots=True)
class Choice:
    """A request that went to `app`, on a connection that begins at `start` and is held until `end`. `client`
    asked for it; `name` without the phase."""

    phase: str
    name: str
    client: str
    app: str
    start: Moment
    end: Moment
    answered: bool

    def surely(self, at_ns: int) -> bool:
        """Whether the upstream had it in hand then."""
        return self.start.time_ns + SLACK_NS < at_ns < self.end.time_ns - SLACK_NS

    def perhaps(self, at_ns: int) -> bool:
        return self.start.time_ns - SLACK_NS < at_ns < self.end.time_ns + SLACK_NS


@dataclass(frozen=True, slots=True)
class Failover:
    """What a phase with a dead upstream shows. `refused`: when attempts of clients' at it failed, in order;
    `began_ns`: when each of these began. `lost`: names of requests that their client saw fail, `asked` of
    how many."""

    refused: tuple[Moment, ...]
    began_ns: tuple[int, ...]
    lost: tuple[str, ...]
    asked: int

    @property
    def again(self) -> int:
        """Attempts that began after the first failure was known, at the dead upstream."""
        return sum(began > self.refused[0].time_ns + SLACK_NS for began in self.began_ns)

    @property
    def lasted_ms(self) -> float:
        """From the first failure to the last."""
        return (self.refused[-1].time_ns - self.refused[0].time_ns) / 1e6


@dataclass(frozen=True, slots=True)
class Hang:
    """What a phase with an upstream that hangs shows. `lost`: requests that it got and did not answer in
    time. `accepted`: connections without a byte from the balancer that it accepted between these, as checks
    are; `asked`: those on which it was asked something else, and did not answer."""

    lost: tuple[Choice, ...]
    accepted: tuple[Moment, ...]
    asked: tuple[Moment, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a judge looks at. `addresses`: client ─► the address from which the balancer hears it, and a frame
    that shows it. `failovers` by phase. `tells`: the balancer says which connections are health checks."""

    members: tuple[str, ...]
    choices: tuple[Choice, ...] = ()
    addresses: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    failovers: Mapping[str, Failover] = field(default_factory=dict)
    tells: bool = True
    hang: Hang | None = None
    layers: Layers | None = None

    def of(self, phase: str) -> tuple[Choice, ...]:
        return tuple(one for one in self.choices if one.phase == phase)


def seen_in(read: Recording) -> Seen:
    """From the packets; from events only the requests' names, and which flows were health checks."""
    reader = _Reader(read)
    choices = tuple(sorted(reader.choices(), key=lambda one: one.start))
    return Seen(
        tuple(sorted(set(reader.apps.values()))),
        choices,
        reader.addresses(),
        {phase: found for phase in KILLED if (found := reader.failover(phase)) is not None},
        bool(reader.checks),
        reader.hang([one for one in choices if one.phase == HANGS]),
        reader.layers(),
    )


class _Reader:
    """The recording's connections, decoded once."""

    def __init__(self, read: Recording) -> None:
        self._run = read.run
        self.apps = {
            address: name
            for name, node in read.run.nodes.items()
            if name.startswith(APP)
            for address in node.addresses
        }
        self._names = {trace: (one, name) for one in CLIENTS for trace, name in named(read, one).items()}
        self.checks = {
            (one.flow.local, one.flow.local_port)
            for one in read.events
            if one.event == "connect-start" and one.flow and one.data.get("purpose") == "health-check"
        }
        self._all_inside = connections(read.frames_at(LB, INSIDE), read.keys)
        self._at_proxy = connections(read.frames_at(PROXY, "eth0"), read.keys)
        self._inside, self._proxied = self._calls(self._all_inside), self._calls(self._at_proxy)
        self._outside = connections(read.frames_at(LB, PUBLIC), read.keys)
        self._asked = connections(read.frames_at(CLIENT, "eth0"), read.keys)

    def _calls(self, found: Iterable[Connection]) -> tuple[Connection, ...]:
        return tuple(one for one in found if one.server.address in self.apps)

    def _named(self, span: Span) -> tuple[str, str]:
        return self._names.get(span.exchange.trace_id, ("", ""))

    def choices(self) -> Iterator[Choice]:
        for call in self._inside:
            for span in call.requests:
                client, name = self._named(span)
                if name:
                    phase, _, rest = name.partition("/")
                    start, end = _held(call, span)
                    app = self.apps[call.server.address]
                    yield Choice(phase, rest, client, app, start, end, span.status == 200)

    def addresses(self) -> dict[str, tuple[str, int]]:
        found: dict[str, tuple[str, int]] = {}
        for connection in self._outside:
            for span in connection.requests:
                client, _ = self._named(span)
                if client:
                    found.setdefault(client, (connection.client.address, connection.start.frame))
        return found

    def hang(self, choices: Sequence[Choice]) -> Hang | None:
        """None where every request was answered."""
        # What hung may answer later, when nobody waits any more.
        patience = PATIENCE_NS - SLACK_NS
        lost = tuple(
            one
            for one in choices
            if one.app == GOES and (not one.answered or one.end.time_ns - one.start.time_ns > patience)
        )
        if not lost:
            return None
        first, last = lost[0].start, lost[-1].start
        checks = [
            one
            for one in self._inside
            if self.apps[one.server.address] == GOES
            and first < one.start < last
            and not any(self._named(span)[1] for span in one.requests)
        ]
        bare = [one for one in checks if not one.plain[0]]
        asked = [one.start for one in checks if one.plain[0] and not one.plain[1]]
        accepted = [moment for one in bare for moment in _accepted(one)]
        return Hang(lost, tuple(accepted), tuple(asked))

    def layers(self) -> Layers | None:
        return layers(self._outside, self._all_inside, self._at_proxy, lambda span: self._named(span)[1])

    def failover(self, phase: str) -> Failover | None:
        """None where no attempt at the dead one failed, or nothing was asked."""
        during = next((one for one in self._run.phases if one.name == phase), None)
        asked = [name for _, name in self._names.values() if name.startswith(f"{phase}/")]
        if during is None or not asked:
            return None
        broken = sorted(
            (failed, began)
            for call in (self._proxied if phase.endswith("proxy") else self._inside)
            if self.apps[call.server.address] == GOES and tuple(call.client) not in self.checks
            for began, failed in _broken(call)
            if during.started_ns <= failed.time_ns <= during.ended_ns
        )
        whole = {
            self._named(span)[1]
            for connection in self._asked
            for span in connection.requests
            if span.done is not None and span.status == 200
        }
        lost = tuple(name for name in asked if name not in whole)
        if not broken:
            return None
        refused, began = zip(*broken, strict=True)
        return Failover(refused, tuple(one.time_ns for one in began), lost, len(asked))


def first_frames(choices: Iterable[Choice]) -> tuple[int, ...]:
    """A few, as evidence."""
    return tuple(one.start.frame for one in choices)[:EVIDENCE]


def counts(seen: Seen, choices: Sequence[Choice]) -> dict[str, int]:
    """Of each upstream."""
    return {app: sum(one.app == app for one in choices) for app in seen.members}


def _held(call: Connection, span: Span) -> tuple[Moment, Moment]:
    """For how long the upstream has it: a connection that carries one request counts until it ends."""
    if len(call.requests) == 1:
        return call.start, call.end
    return span.asked, span.done or call.end


def _accepted(call: Connection) -> Iterable[Moment]:
    for packet in call.packets:
        if packet.headers.flags & (SYN | ACK) == SYN | ACK:
            yield Moment(packet.time_ns, packet.number)
            return


def _broken(call: Connection) -> Iterable[tuple[Moment, Moment]]:
    """When an attempt began, by its request or the connection made for it, and when the server refused or
    ended it before it had answered."""
    asked = call.requests
    if asked and asked[-1].done is not None:
        return
    ends = RST | FIN if asked else RST  # without a request, a FIN answers a FIN
    for packet in call.packets:
        if packet.headers.flags & ends and packet.src == call.server:
            yield asked[-1].asked if len(asked) > 1 else call.start, Moment(packet.time_ns, packet.number)
            return


def in_turn(apps: Sequence[str], members: int) -> float:
    """The share of the choices that are of another upstream than the `members` - 1 before."""
    windows = [apps[at : at + members] for at in range(len(apps) - members + 1)]
    return sum(len(set(one)) == members for one in windows) / len(windows) if windows else 0.0


def smooth(apps: Sequence[str], weights: dict[str, int]) -> float:
    """The share of the windows of all weights' length in which each upstream has its weight."""
    length = sum(weights.values())
    windows = [apps[at : at + length] for at in range(len(apps) - length + 1)]
    right = sum(all(one.count(app) == weight for app, weight in weights.items()) for one in windows)
    return right / len(windows) if windows else 0.0


@dataclass(frozen=True, slots=True)
class Load:
    """Of a phase: the share of choices that went to an upstream with the fewest in hand, the share that went
    to the one that had more than all others, and the most that one upstream had at once."""

    fewest: float
    busiest: float
    peak: int


def load(choices: Sequence[Choice], apps: Iterable[str]) -> Load:
    members = tuple(apps)
    fewest = busiest = peak = 0
    for one in choices:
        at = one.start.time_ns
        others = [other for other in choices if other is not one]
        low = {app: sum(o.surely(at) for o in others if o.app == app) for app in members}
        high = {app: sum(o.perhaps(at) for o in others if o.app == app) for app in members}
        rest = [app for app in members if app != one.app]
        fewest += all(low[one.app] <= high[app] for app in rest)
        busiest += all(low[one.app] > high[app] for app in rest)
        peak = max(peak, low[one.app] + 1)
    count = max(len(choices), 1)
    return Load(fewest / count, busiest / count, peak)


def moved(before: Sequence[Choice], after: Sequence[Choice], gone: str) -> tuple[int, int, int]:
    """Clients' addresses of whom the upstream is still there, and how many of them got another; and how many
    of the upstream that is gone had to. By the client's first request in each."""
    first = {one.client: one.app for one in reversed(before)}
    then = {one.client: one.app for one in reversed(after)}
    stays = [client for client, app in first.items() if app != gone and client in then]
    had_to = sum(app == gone for app in first.values())
    return len(stays), sum(first[client] != then[client] for client in stays), had_to


def constant(choices: Sequence[Choice]) -> float:
    """The share of the requests that got the same upstream as the one before of the same client."""
    same = total = 0
    for client in {one.client for one in choices}:
        mine = [one.app for one in choices if one.client == client]
        total += len(mine) - 1
        same += sum(before == after for before, after in pairwise(mine))
    return same / total if total else 0.0
