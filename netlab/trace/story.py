"""What a trace tells: hops, spans and layers of one request. Plain values; every number has its evidence."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Hop:
    """One packet crossing one interface.

    `time_ns` counts from the click. `direction`: "request" or "response". `change`: what differs from
    the hop before. `frame`: its number in trace.pcapng, from 1.
    """

    time_ns: int
    direction: str
    node: str
    interface: str
    src_mac: str
    dst_mac: str
    src: str
    sport: int
    dst: str
    dport: int
    ttl: int
    change: str
    frame: int


@dataclass(frozen=True, slots=True)
class Span:
    """An interval that packets prove, as seen at `node`; times are CLOCK_REALTIME.

    `rtts`: the round trips that it cost (a one-way trip is 0.5). `frames`: its evidence, never empty.
    `depth`: 0 for what the client waits for in turn; deeper spans explain the one above them.
    """

    name: str
    node: str
    start_ns: int
    end_ns: int
    rtts: float
    frames: tuple[int, ...]
    depth: int = 0

    @property
    def duration_ms(self) -> float:
        return (self.end_ns - self.start_ns) / 1e6


@dataclass(frozen=True, slots=True)
class LayerRow:
    """One layer of the OSI table: `fields` are (name, value) in the order of the packet."""

    osi: str
    name: str
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class LayerTable:
    """Layers 7 to 1 of one frame at `node:interface`."""

    node: str
    interface: str
    frame: int
    rows: tuple[LayerRow, ...]


@dataclass(frozen=True, slots=True)
class Variant:
    """One request, from the click (`click_ns`, by the client's event) to the last byte (by packets).

    `tls_version` "" in the clear; `http`: the version on the client's leg, "1.1", "2" or "3".
    """

    name: str
    url: str
    trace_id: str
    status: int
    click_ns: int
    end_ns: int
    spans: tuple[Span, ...]
    hops: tuple[Hop, ...]
    layers: tuple[LayerTable, ...]
    tls_version: str = ""
    http: str = ""

    @property
    def total_ms(self) -> float:
        return (self.end_ns - self.click_ns) / 1e6

    def span(self, name: str) -> Span | None:
        return next((span for span in self.spans if span.name == name), None)

    @property
    def accounted_ms(self) -> float:
        """What the top spans cover; the rest of the total is the client's own work between packets."""
        return sum(span.duration_ms for span in self.spans if span.depth == 0)
