"""The map: nodes in columns by their distance from the client, places in frames, links with what they do."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import NamedTuple

from netlab.model.units import format_duration, format_rate
from netlab.report.html.markup import Markup, el
from netlab.trace.run import Run, RunLink

_WIDE, _HIGH, _BOX = 124, 74, (100, 40)


class Spot(NamedTuple):
    """The middle of a node, in the drawing's units."""

    x: float
    y: float


def layout(run: Run, first: str) -> dict[str, Spot]:
    """Columns by hops from `first`; the places one below another where they share columns."""
    depth, parent = _depths(run, first)
    places: dict[str, list[str]] = defaultdict(list)
    for name in depth:
        places[run.nodes[name].location].append(name)
    column: dict[str, int] = {}
    taken: dict[int, int] = defaultdict(int)
    spots: dict[str, Spot] = {}
    for names in sorted(places.values(), key=lambda some: min(depth[one] for one in some)):
        root = min(names, key=lambda one: depth[one])
        shift = column[parent[root]] + 1 - depth[root] if parent.get(root) in column else 0
        own = {one: max(depth[one] + shift, 0) for one in names}
        column |= own
        top = max((taken[at] for at in range(min(own.values()), max(own.values()) + 1)), default=0)
        rows: dict[int, int] = defaultdict(int)
        for one in names:
            rows[own[one]] += 1
            spots[one] = Spot(own[one] * _WIDE + _WIDE / 2, (top + rows[own[one]]) * _HIGH)
        for at in range(min(own.values()), max(own.values()) + 1):
            taken[at] = top + max(rows.values()) + 1
    return spots


def _depths(run: Run, first: str) -> tuple[dict[str, int], dict[str, str]]:
    near: dict[str, list[str]] = defaultdict(list)
    for link in run.links:
        one, other = _nodes(link)
        near[one].append(other)
        near[other].append(one)
    depth: dict[str, int] = {}
    parent: dict[str, str] = {}
    for root in (first, *run.nodes):
        if root in depth or root not in run.nodes:
            continue
        depth[root] = 0
        waiting = deque([root])
        while waiting:
            at = waiting.popleft()
            for other in near[at]:
                if other not in depth and other in run.nodes:
                    depth[other], parent[other] = depth[at] + 1, at
                    waiting.append(other)
    return depth, parent


def _nodes(link: RunLink) -> tuple[str, str]:
    return link.ends[0].partition(":")[0], link.ends[1].partition(":")[0]


def says(link: RunLink) -> str:
    """ "20ms, 10mbit up, 100mbit down", or "" for a wire that does nothing."""
    words = [format_duration(link.up.delay_ns)] if link.up.delay_ns else []
    rates = [format_rate(one.rate_bps) for one in (link.up, link.down) if one.rate_bps]
    return ", ".join([*words, "/".join(dict.fromkeys(rates))] if rates else words)


def drawing(run: Run, first: str) -> Markup:
    """SVG. Nodes have `data-node`, links `data-link`, for the request that moves along them."""
    spots = layout(run, first)
    width = max((one.x for one in spots.values()), default=0.0) + _WIDE / 2
    height = max((one.y for one in spots.values()), default=0.0) + _HIGH
    parts = [*_places(run, spots), *_links(run, spots)]
    parts += [_node(run, name, spot) for name, spot in spots.items()]
    parts.append(el("circle", r=8, cx=-20, cy=-20, id="walker"))
    box = f"0 0 {width:.0f} {height:.0f}"
    return el("svg", *parts, viewbox=box, id="map-drawing", role="img", aria_label="the topology")


def _places(run: Run, spots: dict[str, Spot]) -> list[Markup]:
    inside: dict[str, list[Spot]] = defaultdict(list)
    for name, spot in spots.items():
        inside[run.nodes[name].location].append(spot)
    made = []
    for place, some in inside.items():
        x, y = min(one.x for one in some) - 58, min(one.y for one in some) - 44
        width, height = max(one.x for one in some) + 58 - x, max(one.y for one in some) + 30 - y
        if place:
            made.append(el("rect", x=x, y=y, width=width, height=height, rx=8, class_="place"))
            made.append(el("text", place, x=x + 8, y=y + 14, class_="placename"))
    return made


def _links(run: Run, spots: dict[str, Spot]) -> list[Markup]:
    made = []
    for number, link in enumerate(run.links):
        one, other = (spots.get(name) for name in _nodes(link))
        if one is None or other is None:
            continue
        title = f"{link.ends[0]} ─ {link.ends[1]}: {link.medium or 'link'} {says(link)}"
        line = el("line", el("title", title), x1=one.x, y1=one.y, x2=other.x, y2=other.y, class_="link",
                  data_link=str(number), data_a=_nodes(link)[0], data_b=_nodes(link)[1])  # fmt: skip
        made.append(line)
        if said := says(link):
            x, y = (one.x + other.x) / 2, (one.y + other.y) / 2
            made.append(el("text", said, x=x, y=y + (-23 if one.y == other.y else 0), class_="linktext"))
    return made


def _node(run: Run, name: str, spot: Spot) -> Markup:
    node = run.nodes[name]
    x, y = spot.x - _BOX[0] / 2, spot.y - _BOX[1] / 2
    title = f"{name}: {node.kind} {', '.join(node.roles)} {', '.join(node.addresses)}"
    return el(
        "g",
        el("title", title),
        el("rect", x=x, y=y, width=_BOX[0], height=_BOX[1], rx=20 if node.kind == "router" else 4),
        el("text", name, x=spot.x, y=spot.y - 2, class_="nodename"),
        el("text", ", ".join(node.roles) or node.kind, x=spot.x, y=spot.y + 13, class_="noderole"),
        class_=f"node {'host' if node.kind not in ('router', 'switch') else node.kind}",
        data_node=name, tabindex="0", role="button",
    )  # fmt: skip
