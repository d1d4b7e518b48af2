"""Plots of one connection over time: round trips, throughput, window and bytes in flight, losses by link."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from netlab.model.event import Event
from netlab.report.html.ladder import journeys_of
from netlab.report.html.markup import Markup, el, joined
from netlab.trace.connection import Connection, connections
from netlab.trace.deep import Deep
from netlab.trace.leg import Leg, Network, View
from netlab.trace.losses import Lost
from netlab.trace.losses import losses as losses_of
from netlab.trace.qlog import recovery
from netlab.trace.quic_analysis import analyse_quic
from netlab.trace.recording import Recording
from netlab.trace.run import Run
from netlab.trace.tcp_analysis import Sample, analyse

_WIDTH, _HEIGHT, _POINTS = 440, 150, 500
_SERIES = 3  # lines in one plot
_KEY = 15  # the height of a line's name below it
_LONG = 20_000  # packets of QUIC that are opened for plots alone
Points = list[tuple[float, float]]


def drawings(leg: Leg, all_of: Network, read: Recording, deep: Deep) -> Markup:
    """Of the direction with more data, at its sender's interface. UDP that isn't QUIC has throughput and
    losses only."""
    start = leg.start_ns
    client, server = leg.client, leg.server
    down = sum(one.headers.payload_length for one in server.packets if not server.to_server(one))
    up = sum(one.headers.payload_length for one in client.packets if client.to_server(one))
    view = server if down >= up else client
    sizes = [
        ((one.time_ns - start) / 1e6, one.headers.payload_length)
        for one in view.packets
        if view.to_server(one) == (view is client and down < up)
    ]
    made = [
        *_of_transport(leg, view, read, deep),
        _plot("throughput, Mbit/s", {"": throughput(sizes)}),
        _plot("packets lost on the way, in all", losses(leg, all_of, read.run)),
    ]
    return joined(made)


def _of_transport(leg: Leg, view: View, read: Recording, deep: Deep) -> Iterator[Markup]:
    """`view`: the sender's."""
    start, sender = leg.start_ns, "server" if view is leg.server else "client"
    if view.packets[0].headers.protocol == "tcp":
        found = analyse(view, "server" if sender == "server" else "client")
        yield from _path(found.rtts, found.flight, _windows(leg, read.events, start), start)
        return
    connection = _opened(view, read, deep)
    if connection is None or connection.quic is None:
        return
    seen = analyse_quic(connection.quic, "server" if sender == "server" else "client")
    document = read.qlog(view.node, connection.quic.packets[0].sealed.destination.hex())
    windows = [((at - start) / 1e6, value / 1e3) for at, value in recovery(document, "cwnd")]
    yield from _path(seen.rtts, seen.flight, windows, start)


def _opened(view: View, read: Recording, deep: Deep) -> Connection | None:
    known = deep.connections.get(view.packets[0].number)
    if known is None and len(view.packets) <= _LONG:
        known = next(iter(connections((packet.frame for packet in view.packets), read.keys)), None)
    return known


def _path(rtts: Sequence[Sample], flight: Sequence[Sample], windows: Points, start: int) -> list[Markup]:
    trips = [((one.at.time_ns - start) / 1e6, one.value / 1e6) for one in rtts]
    held = [((one.at.time_ns - start) / 1e6, one.value / 1e3) for one in flight]
    if windows:
        second = _plot("bytes in flight and congestion window, kB", {"in flight": held, "window": windows})
    else:
        second = _plot("bytes in flight, kB", {"": held})
    return [_plot("round-trip time, ms", {"": trips}), second]


def _windows(leg: Leg, events: Iterable[Event], start: int) -> Points:
    """cwnd × MSS, as the sender's kernel said it (TCP_INFO)."""
    sockets = {frozenset((view.client, view.server)) for view in (leg.client, leg.server)}
    return [
        ((one.time_ns - start) / 1e6, float(one.data["cwnd"] * one.data.get("mss", 0)) / 1e3)
        for one in events
        if one.event == "tcp-info"
        and one.flow is not None
        and frozenset(((one.flow.local, one.flow.local_port), (one.flow.remote, one.flow.remote_port)))
        in sockets
        and isinstance(one.data.get("cwnd"), int)
    ]


def throughput(sizes: Sequence[tuple[float, int]], buckets: int = 60) -> Points:
    """`sizes`: (ms, bytes). Mbit/s in each of `buckets` equal parts of the time."""
    if len(sizes) < 2 or sizes[-1][0] <= sizes[0][0]:
        return []
    first, width = sizes[0][0], (sizes[-1][0] - sizes[0][0]) / buckets
    summed = [0] * buckets
    for at, size in sizes:
        summed[min(int((at - first) / width), buckets - 1)] += size
    return [(first + width * (number + 0.5), total * 8 / width / 1e3) for number, total in enumerate(summed)]


def losses(leg: Leg, all_of: Network, run: Run) -> dict[str, Points]:
    """By link, the one that lost most first: how many of the connection's packets it had lost by when."""
    found = losses_of([leg], journeys_of(all_of, [leg]), run)
    last = max(leg.client.packets[-1].time_ns, leg.server.packets[-1].time_ns)
    made: dict[str, Points] = {}
    for lost in found[:_SERIES]:
        times = sorted((packet.time_ns - leg.start_ns) / 1e6 for packet in lost.packets)
        steps = [(at, float(count)) for number, at in enumerate(times) for count in (number, number + 1)]
        made[_where(lost)] = [(0.0, 0.0), *steps, ((last - leg.start_ns) / 1e6, float(len(times)))]
    return made or {"": [(0.0, 0.0), ((last - leg.start_ns) / 1e6, 0.0)]}


def _where(lost: Lost) -> str:
    """The link's sending end, and whether its counters know of a full queue or of random loss only."""
    end = ":".join(lost.after)
    if lost.counted is None or lost.counted.queue is None or not lost.counted.count:
        return f"after {end}"
    kinds = {"queue full": lost.counted.queue, "random loss": lost.counted.lost}
    return f"after {end}: {' and '.join(kind for kind, count in kinds.items() if count)}"


def thinned(points: Points, most: int = _POINTS) -> Points:
    """At most `most` points: the least and the highest of each part, so that no peak is lost."""
    if len(points) <= most:
        return points
    step = -(-len(points) * 2 // most)
    made: Points = []
    for at in range(0, len(points), step):
        part = points[at : at + step]
        pair = {min(part, key=lambda one: one[1]), max(part, key=lambda one: one[1])}
        made += sorted(pair)
    return made


def _plot(title: str, series: dict[str, Points]) -> Markup:
    every = [point for points in series.values() for point in points]
    left, right = min((x for x, _ in every), default=0), max((x for x, _ in every), default=1)
    top = max((y for _, y in every), default=0) or 1
    wide, high, height = _WIDTH - 60, _HEIGHT - 40, _HEIGHT
    parts: list[Markup] = [el("text", title, x=50, y=12, class_="plotname")]
    for share in (0, 0.5, 1):
        y = 20 + high * (1 - share)
        parts.append(el("line", x1=50, x2=50 + wide, y1=y, y2=y, class_="grid"))
        parts.append(el("text", f"{top * share:.4g}", x=46, y=y + 4, class_="ytick"))
        parts.append(
            el(
                "text",
                f"{left + (right - left) * share:.4g} ms",
                x=50 + wide * share,
                y=_HEIGHT - 4,
                class_="tick",
            )
        )
    for number, (name, points) in enumerate(series.items()):
        path = " ".join(
            f"{50 + (x - left) / ((right - left) or 1) * wide:.1f},{20 + high * (1 - y / top):.1f}"
            for x, y in thinned(points * 2 if len(points) == 1 else points)
        )
        parts.append(el("polyline", points=path, class_=f"series s{number}"))
        if name:
            height += _KEY
            parts.append(el("text", name, x=50, y=height - 6, class_=f"key k{number}"))
    if not every:
        parts.append(el("text", "nothing to show", x=150, y=80))
    return el("svg", *parts, viewbox=f"0 0 {_WIDTH} {height}", class_="plot", role="img", aria_label=title)
