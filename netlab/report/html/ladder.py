"""The ladder: the packets of one request between nodes, with real times; losses and repeats are visible."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from netlab.report.html.markup import Markup, el
from netlab.report.html.packets import flags_of
from netlab.trace.deep import Deep
from netlab.trace.leg import Leg, Network
from netlab.trace.packet import Journey
from netlab.trace.parts import cut

_SHOWN = 200
_LEFT, _COLUMN, _ROW = 90, 230, 24


def chosen(joined: Network, numbers: Iterable[int], most: int = 12) -> list[Leg]:
    """The connections that have these packets, in the order of the packets; without any, the first ones."""
    every = (*joined.legs, *joined.flows)
    owner = {packet.number: leg for leg in every for view in leg.views for packet in view.packets}
    found = {id(owner[number]): owner[number] for number in numbers if number in owner}
    return list(found.values() if found else every)[:most]


def journeys_of(joined: Network, legs: Sequence[Leg]) -> list[Journey]:
    """Of all packets of these connections, by the time at which they were sent."""
    found = {}
    for leg in legs:
        for view in leg.views:
            for packet in view.packets:
                journey = joined.journey_of[packet.number]
                found[id(journey)] = journey
    return sorted(found.values(), key=lambda one: one[0].time_ns)


def drawing(joined: Network, legs: Sequence[Leg], start_ns: int, title: str, deep: Deep) -> Markup:
    """SVG: a column for each node that has an end of a connection; a row for each packet, from where it was
    first seen to where it was seen last."""
    nodes = list(dict.fromkeys(view.node for leg in legs for view in (leg.client, leg.server)))
    at = {name: _LEFT + _COLUMN * (number + 0.5) for number, name in enumerate(nodes)}
    ends = {(view.client, view.server): leg for leg in legs for view in leg.views}
    every = [one for one in journeys_of(joined, legs) if one[0].time_ns >= start_ns - 1_000_000_000]
    shown = every[:_SHOWN]
    height = 40 + _ROW * (len(shown) + 1)
    width = _LEFT + _COLUMN * len(nodes)
    parts = [el("text", name, x=x, y=16, class_="nodename") for name, x in at.items()]
    parts += [el("line", x1=x, x2=x, y1=24, y2=height, class_="life") for x in at.values()]
    seen: dict[tuple[object, int, int], int] = {}
    for number, journey in enumerate(shown):
        first = journey[0]
        found = first.headers
        key = ((first.src, first.dst), found.seq, found.payload_length)
        again = seen.get(key, 0) if found.protocol == "tcp" and first.speaks else 0
        seen.setdefault(key, first.number)
        leg = ends.get((first.src, first.dst)) or ends.get((first.dst, first.src))
        target = None
        if leg is not None:
            target = leg.server.node if leg.client.node == first.frame.node else leg.client.node
        parts.append(_arrow(journey, at, 40 + _ROW * number, start_ns, again, target, deep))
    if len(every) > len(shown):
        parts.append(el("text", f"{len(every) - len(shown)} more packets", x=4, y=height - 4))
    return el("svg", *parts, viewbox=f"0 0 {width} {height}", width=str(width), class_="ladder", role="group",
              aria_label=title)  # fmt: skip


def _arrow(
    journey: Journey,
    at: dict[str, float],
    y: float,
    start_ns: int,
    again: int,
    target: str | None,
    deep: Deep,
) -> Markup:
    first, last = journey[0], journey[-1]
    x1 = at.get(first.frame.node, _LEFT)
    x2 = at.get(last.frame.node, x1)
    lost = target is not None and target != last.frame.node
    found = first.headers
    what = flags_of(found).replace(", ", " ") or found.protocol.upper()
    said = f"{what} {found.payload_length} B" if found.payload_length else what
    parts = [part for part in deep.parts.get(first.number, ()) if part.whole == first.number]
    said += f": {cut(parts[-1].summary, 32)}" if parts else ""
    said += f", again (as {again})" if again else ""
    said += f", lost after {last.frame.node}" if lost else ""
    took = (last.time_ns - first.time_ns) / 1e6
    if lost and x1 == x2 and target in at:
        x2 = x1 + (at[target] - x1) * 0.5
    back = -6 if x2 > x1 else 6
    head = (
        f"M{x2:.0f} {y + 14:.0f}l{back} -4v8z"
        if not lost
        else f"M{x2 - 5:.0f} {y + 9:.0f}l10 10m0 -10l-10 10"
    )
    kind = " ".join(filter(None, ("step", "lost" if lost else "", "again" if again else "")))
    return el(
        "g",
        el("title", f"frame {first.number} {first.src} ─► {first.dst}: {said}, {took:.3f} ms on its way"),
        el("text", f"{(first.time_ns - start_ns) / 1e6:.3f} ms", x=4, y=y + 12, class_="time"),
        el("line", x1=x1, x2=x2, y1=y + 6, y2=y + 14),
        el("path", d=head),
        el("text", f"{said} ({took:.2f} ms)", x=(x1 + x2) / 2, y=y + 5, class_="what"),
        class_=kind, tabindex="0", role="button", data_frame=str(first.number),
    )  # fmt: skip
