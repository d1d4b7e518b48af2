"""The whole page: a view a section, its packets as data, one style and one script inside."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from netlab.model.event import Event
from netlab.report.html import ladder, packets, panel, plots, timeline, topology_map
from netlab.report.html.markup import Markup, data, el, frames, joined
from netlab.trace.claim import Claim
from netlab.trace.client_requests import ClientRequest, by_part, client_requests
from netlab.trace.findings import Findings
from netlab.trace.leg import Leg, network
from netlab.trace.packet import packets_of
from netlab.trace.recording import Recording
from netlab.trace.run import Run, RunDrops
from netlab.trace.story import Variant
from netlab.trace.table import Cell, Table

_EVENTS = 300  # of one request
_PANELS = 20  # parts of the scenario whose requests are drawn
_VIEWS = {
    "claims": "Claims", "map": "Map", "waterfall": "Waterfall", "ladder": "Ladder", "plots": "Plots",
    "packets": "Packets",
}  # fmt: skip


def page(folder: str, read: Recording, findings: Findings) -> str:
    """HTML. `folder`: the run's, as the user types it."""
    run = read.run
    all_of = network(packets_of(read.frames))
    variants = findings.trace.variants if findings.trace is not None else ()
    first = variants[0].hops[0].node if variants and variants[0].hops else next(iter(run.nodes), "")
    numbers = packets.chosen(findings, all_of)
    legs = ladder.chosen(all_of, numbers)
    start = variants[0].click_ns if variants else read.frames[0].time_ns if read.frames else run.started_ns
    deep = packets.decoded(all_of, legs, set(numbers), read.keys)
    whole = packets.whole(read.frames, numbers, deep, run)
    own = _by_variant(variants, all_of.legs + all_of.flows)
    views = {
        "claims": joined(
            [_claims(findings.claims), *map(_table, findings.tables), *_failed(findings.failed)]
        ),
        "map": _map(read, first, variants),
        "waterfall": joined([*map(_waterfall, variants), *_panels(read)]),
        "ladder": joined(
            [
                _folded(one.name, ladder.drawing(all_of, own[one.name], one.click_ns, one.name, deep))
                for one in variants
            ]
            or [
                _folded(_name(leg), ladder.drawing(all_of, [leg], leg.start_ns, _name(leg), deep))
                for leg in legs
            ]
        ),
        "plots": joined(
            [*_drops(run), *(_folded(_name(leg), plots.drawings(leg, all_of, read, deep)) for leg in legs)]
        ),
        "packets": _packets(len(whole), len(read.frames)),
    }
    blocks = {
        "packets-all": packets.columns(read.frames, all_of, start),
        "packets-whole": whole,
        "requests": [_request(one, read.events) for one in variants],
        "run": {"folder": folder, "file": run.capture.file},
    }
    return _document(folder, read, views, blocks)


def _document(folder: str, read: Recording, views: dict[str, Markup], blocks: dict[str, Any]) -> str:
    run, style, script = read.run, _asset("report.css"), _asset("report.js")
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    tabs = [
        el("button", title, role="tab", id=f"tab-{key}", aria_controls=f"view-{key}", type="button")
        for key, title in _VIEWS.items()
    ]
    body = [
        el(
            "section",
            el("h2", _VIEWS[key]),
            shown,
            role="tabpanel",
            id=f"view-{key}",
            aria_labelledby=f"tab-{key}",
        )
        for key, shown in views.items()
    ]
    capture = f"{run.capture.packets} packets, {run.capture.dropped} dropped"
    said = f"{folder}/{run.capture.file}: {capture}. Links: {run.backend or 'unimpaired'}."
    flaws = (
        [el("p", f"No claim is judged by this run: {' and '.join(run.flaws)}.", class_="flaw")]
        if run.flaws
        else []
    )
    head = el("header", el("h1", f"{run.scenario} on {run.topology}"), el("p", said), *flaws)
    aside = el("aside", id="packet", aria_label="packet", aria_live="polite", tabindex="-1", hidden="hidden")
    inside = [head, el("nav", *tabs, role="tablist", aria_label="views"), el("main", *body), aside]
    inside += [data(key, value) for key, value in blocks.items()]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"{el('title', f'{run.scenario}: netlab')}<style>{style}</style></head>\n"
        f"<body>{joined(inside)}<script>{script}</script></body></html>\n"
    )


def _asset(name: str) -> str:
    return (files("netlab.report.html") / "assets" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _name(leg: Leg) -> str:
    client = leg.client
    kind = client.packets[0].headers.protocol.upper()
    return f"{kind} {client.node} ─► {leg.server.node} ({client.client} ─► {client.server})"


def _by_variant(variants: Sequence[Variant], legs: Sequence[Leg]) -> dict[str, list[Leg]]:
    """The connections that have packets of a request's hops, in their order."""
    owner = {packet.number: leg for leg in legs for view in leg.views for packet in view.packets}
    made = {}
    for variant in variants:
        found = [owner[hop.frame] for hop in variant.hops if hop.frame in owner]
        made[variant.name] = list({id(leg): leg for leg in found}.values())
    return made


def _folded(title: str, *inside: Markup) -> Markup:
    return el("details", el("summary", title), el("div", *inside, class_="scroll"), open="open")


def _panels(read: Recording) -> list[Markup]:
    """Of the clients' requests, one for each phase of the scenario."""
    requests = client_requests(read)
    if not requests:
        return [el("p", "No client asked for anything over HTTP: see the ladder and the plots.")]
    phases = by_part(requests)
    shown = list(phases.items())[:_PANELS]
    made = [_folded(_said(phase, some), panel.drawing(some, phase)) for phase, some in shown]
    left = len(phases) - len(made)
    return [*made, *([el("p", f"{left} more parts of the scenario: `netlab report --svg`.")] if left else [])]


def _said(phase: str, some: Sequence[ClientRequest]) -> str:
    return f"{phase or 'the requests of clients'}: {len(some)} request{'s' if len(some) > 1 else ''}"


def _claims(claims: Sequence[Claim]) -> Markup:
    titles = ("guide", "statement", "expected", "measured", "verdict", "evidence")
    rows = [
        el(
            "tr",
            *(el("td", one) for one in (claim.guide, claim.statement, claim.expected, claim.measured)),
            el("td", el("b", claim.verdict.value, class_=f"verdict {claim.verdict.name.lower()}")),
            el("td", *(joined([f"{name} ", frames(some, 4), " "]) for name, some in claim.evidence.items())),
        )
        for claim in claims
    ]
    return _grid("The guide's claims", titles, rows) if claims else el("p", "No claim was judged.")


def _table(table: Table) -> Markup:
    rows = [
        el("tr", *(el("td", _cell(one)) for one in row.cells), el("td", frames(row.evidence, 3)))
        for row in table.rows
    ]
    notes = [el("p", note) for note in table.notes]
    return joined([_grid(table.title, (*table.columns, "packets"), rows), *notes])


def _drops(run: Run) -> list[Markup]:
    """What the links' own counters say of the run."""
    rows = [
        el("tr", *(el("td", said) for said in (f"{end} ─► {other}", *_counted(drops))))
        for end, other, drops in run.undelivered
    ]
    titles = ("link", "lost at random", "found the queue full")
    return [_grid("Frames that links did not deliver, by their counters", titles, rows)] if rows else []


def _counted(drops: RunDrops) -> tuple[str, str]:
    if drops.queue is None:  # netem counts them as one
        return f"{drops.lost}, full queue included", ""
    return str(drops.lost), str(drops.queue)


def _grid(title: str, titles: Sequence[str], rows: Sequence[Markup]) -> Markup:
    head = el("thead", el("tr", *(el("th", one, scope="col") for one in titles)))
    return el("div", el("table", el("caption", title), head, el("tbody", *rows)), class_="scroll")


def _cell(cell: Cell) -> str:
    if cell is None:
        return "–"
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def _failed(causes: Sequence[str]) -> list[Markup]:
    return [el("p", f"failed: {cause}", class_="flaw") for cause in causes]


def _map(read: Recording, first: str, variants: Sequence[Variant]) -> Markup:
    options = [el("option", one.name, value=str(number)) for number, one in enumerate(variants)]
    controls = el(
        "p",
        el("label", "request ", el("select", *options, id="request")),
        *(el("button", said, id=key, type="button") for key, said in _STEPS.items()),
        el("output", id="step"),
    )
    drawn = el("div", topology_map.drawing(read.run, first), class_="scroll")
    return joined([*([controls] if variants else []), drawn, el("div", id="node", aria_live="polite")])


_STEPS = {"back": "◄ hop", "forward": "hop ►", "play": "play"}


def _waterfall(variant: Variant) -> Markup:
    title = f"{variant.name}: {variant.url} ─► {variant.status} in {variant.total_ms:.1f} ms"
    return _folded(title, timeline.drawing(variant))


def _packets(whole: int, every: int) -> Markup:
    said = (
        f"{whole} of {every} packets are in this page with all layers and bytes: those of hops, claims, "
        "spans and tables, and their sightings elsewhere as far as there is room."
    )
    find = el(
        "label",
        "show packets with ",
        el("input", id="find", type="search", placeholder="node, address, SYN …"),
    )
    rows = el("div", el("div", id="rows"), id="list", tabindex="0", role="listbox", aria_label="packets")
    return joined([el("p", said), el("p", find, el("output", id="count")), rows])


def _request(variant: Variant, events: Sequence[Event]) -> dict[str, Any]:
    mine = [one for one in events if variant.click_ns <= one.time_ns <= variant.end_ns]
    return {
        "name": variant.name,
        "hops": [
            [one.node, one.interface, one.time_ns / 1e6, one.direction, one.change, one.frame]
            for one in variant.hops
        ],
        "events": [[one.node, (one.time_ns - variant.click_ns) / 1e6, one.event] for one in mine[:_EVENTS]],
    }
