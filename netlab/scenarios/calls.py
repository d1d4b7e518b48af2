"""What the scenarios of resilience have in common: who calls whom, and calls as packets show them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from netlab.model.roles import Request, Resilience
from netlab.scenarios.bench import Bench
from netlab.scenarios.measured import named
from netlab.trace.connection import Connection, Span, connections
from netlab.trace.packet import Packet
from netlab.trace.recording import Recording
from netlab.trace.run import RunPhase

CLIENT, INTERFACE = "client-1", "eth0"
SERVER, PUBLIC = "lb", "public"
APPS = ("app-1", "app-2", "app-3")
PORT = 8080  # where the balancer gives to the apps


def address(bench: Bench, node: str, interface: str = "") -> str:
    """The first address of a node's interface (of its first one, by default)."""
    found = bench.topology.nodes[node].interfaces
    chosen = found[interface] if interface else next(iter(found.values()))
    return str(chosen.addresses[0].ip)


def resilience(**fields: object) -> Resilience:
    return Resilience.model_validate(fields)


def requests(prefix: str, count: int, url: str, **fields: object) -> list[Request]:
    """`count` of them, called PREFIX/1 and so on."""
    return [
        Request.model_validate({"name": f"{prefix}/{number}", "url": url, **fields})
        for number in range(1, count + 1)
    ]


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that packets show, by the name that the stimulus gave it. A retry has the same name."""

    name: str
    connection: Connection
    span: Span

    @property
    def group(self) -> str:
        """The name without its number."""
        return self.name.rpartition("/")[0]

    @property
    def ended_ns(self) -> int:
        """When the answer was whole, or else the last packet of the connection."""
        done = self.span.done
        return done.time_ns if done is not None else self.connection.end.time_ns


def sent(read: Recording, node: str, interface: str, caller: str = CLIENT) -> tuple[Sent, ...]:
    """What `caller` asked, as the packets at this interface show it, attempt by attempt, by time."""
    names = named(read, caller)
    found = [
        Sent(names[span.exchange.trace_id], connection, span)
        for connection in connections(read.frames_at(node, interface), read.keys)
        for span in connection.requests
        if span.exchange.trace_id in names
    ]
    return tuple(sorted(found, key=lambda one: one.span.asked))


def grouped(found: Iterable[Sent], group: str) -> list[Sent]:
    return [one for one in found if one.group == group]


def phase_of(read: Recording, name: str) -> RunPhase | None:
    return next((phase for phase in read.run.phases if phase.name == name), None)


def within(packets: Iterable[Packet], phase: RunPhase | None) -> list[Packet]:
    """Those of the time of a phase; all, without one none."""
    if phase is None:
        return []
    return [one for one in packets if phase.started_ns <= one.time_ns <= phase.ended_ns]


def at_once(spans: Iterable[tuple[int, int]]) -> int:
    """The most of these (start, end) that overlap."""
    changes = sorted(change for start, end in spans for change in ((start, 1), (end, -1)))
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def causes(read: Recording, node: str) -> dict[str, str]:
    """Why requests of a node got no answer, by name, as its client said. A word beside the packets."""
    return {
        str(one.data.get("name")): str(one.data.get("cause"))
        for one in read.events
        if one.event == "request-failed" and one.node == node
    }


def windows(times: Sequence[int], width_ns: int) -> Iterator[tuple[int, int]]:
    """For each time, how many are in the window that begins with it: (count, index of the first)."""
    end = 0
    for start, at in enumerate(times):
        end = max(end, start)
        while end < len(times) and times[end] < at + width_ns:
            end += 1
        yield end - start, start
