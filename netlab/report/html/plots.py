"""Plots of one connection over time: round trips, throughput, window and bytes in flight, losses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from netlab.model.event import Event
from netlab.report.html.ladder import journeys_of
from netlab.report.html.markup import Markup, el, joined
from netlab.trace.leg import Leg, Network
from netlab.trace.tcp_analysis import TcpAnalysis, analyse

_WIDTH, _HEIGHT, _POINTS = 440, 150, 500
Points = list[tuple[float, float]]


def drawings(connection: Leg, all_of: Network, events: Iterable[Event]) -> Markup:
    """Of the direction with more data, at its sender's interface; UDP has throughput and losses only."""
    start = connection.start_ns
    client, server = connection.client, connection.server
    down = sum(one.headers.payload_length for one in server.packets if not server.to_server(one))
    up = sum(one.headers.payload_length for one in client.packets if client.to_server(one))
    view = server if down >= up else client
    sizes = [
        ((one.time_ns - start) / 1e6, one.headers.payload_length)
        for one in view.packets
        if view.to_server(one) == (view is client and down < up)
    ]
    made = [_plot("throughput, Mbit/s", {"": throughput(sizes)})]
    if view.packets[0].headers.protocol == "tcp":
        found = analyse(view, "server" if down >= up else "client")
        made = [*_of_tcp(found, start, _windows(connection, events, start)), *made]
    made.append(_plot("packets lost on the way, in all", {"": losses(connection, all_of, start)}))
    return joined(made)


def _of_tcp(found: TcpAnalysis, start: int, windows: Points) -> list[Markup]:
    rtts = [((one.at.time_ns - start) / 1e6, one.value / 1e6) for one in found.rtts]
    flight = [((one.at.time_ns - start) / 1e6, one.value / 1e3) for one in found.flight]
    return [
        _plot("round-trip time, ms", {"": rtts}),
        _plot("bytes in flight and congestion window, kB", {"in flight": flight, "window": windows}),
    ]


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


def losses(leg: Leg, all_of: Network, start: int) -> Points:
    """How many packets had been seen at one end and never at the other."""
    count, found = 0, [(0.0, 0.0)]
    for journey in journeys_of(all_of, [leg]) if len(leg.views) > 1 else ():
        ends = {leg.client.place, leg.server.place}
        if not ends <= {packet.place for packet in journey} and journey[0].place in ends:
            count += 1
            found.append(((journey[0].time_ns - start) / 1e6, float(count)))
    last = max(leg.client.packets[-1].time_ns, leg.server.packets[-1].time_ns)
    return [*found, ((last - start) / 1e6, float(count))]


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
    wide, high = _WIDTH - 60, _HEIGHT - 40
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
            parts.append(el("text", name, x=200 + 90 * number, y=24, class_=f"key k{number}"))
    if not every:
        parts.append(el("text", "nothing to show", x=150, y=80))
    return el("svg", *parts, viewbox=f"0 0 {_WIDTH} {_HEIGHT}", class_="plot", role="img", aria_label=title)
