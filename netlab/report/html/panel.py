"""Requests below each other as in a browser's network panel: what each waited for, on one scale of time."""

from __future__ import annotations

from collections.abc import Sequence

from netlab.report.har import timings
from netlab.report.html.markup import Markup, el, joined
from netlab.trace.client_requests import ClientRequest

MOST = 200  # requests in one drawing
_LABEL, _BAR, _ROW = 330, 570, 18
_PARTS = ("blocked", "dns", "connect", "ssl", "send", "wait", "receive")
_TITLES = {"dns": "name", "connect": "TCP or QUIC", "ssl": "TLS", "wait": "waiting", "receive": "receiving"}
_STANDALONE = """text{font:12px sans-serif}.grid{stroke:#ccc}.blocked{fill:#d1d5db}.dns{fill:#0d9488}
.connect{fill:#ea580c}.ssl{fill:#9333ea}.send,.wait{fill:#16a34a}.receive{fill:#2563eb}"""


def drawing(requests: Sequence[ClientRequest], title: str) -> Markup:
    """The first MOST of them, by time. Rows have `data-frame`: the packet that asks."""
    shown = sorted(requests, key=lambda one: one.start_ns)[:MOST]
    start = min(one.start_ns for one in shown)
    whole = max(max(one.end_ns for one in shown) - start, 1)
    height = (len(shown) + 3) * _ROW
    parts = [_grid(whole, height), *_key()]
    parts += [_row(one, number, start, _BAR / whole) for number, one in enumerate(shown, 2)]
    if len(requests) > len(shown):
        parts.append(el("text", f"{len(requests) - len(shown)} more requests", x=4, y=height - 4))
    return el(
        "svg", *parts, viewbox=f"0 0 {_LABEL + _BAR + 90} {height}", class_="panel", role="group",
        aria_label=f"requests {title}".strip(), xmlns="http://www.w3.org/2000/svg",
    )  # fmt: skip


def _grid(whole: int, height: int) -> Markup:
    made = []
    for part in range(6):
        x = _LABEL + _BAR * part / 5
        made.append(el("line", x1=x, x2=x, y1=2 * _ROW, y2=height - _ROW, class_="grid"))
        made.append(el("text", f"{whole * part / 5e6:.1f} ms", x=x, y=2 * _ROW - 4, class_="tick"))
    return joined(made)


def _key() -> list[Markup]:
    made = []
    for number, (part, title) in enumerate(_TITLES.items()):
        x = _LABEL + 120 * number
        made.append(el("rect", x=x, y=2, width=12, height=12, class_=part))
        made.append(el("text", title, x=x + 16, y=13))
    return made


def _row(one: ClientRequest, number: int, start_ns: int, scale: float) -> Markup:
    y = number * _ROW
    x = _LABEL + (one.start_ns - start_ns) * scale
    took = timings(one)
    took["connect"] -= max(took["ssl"], 0.0) if took["ssl"] < took["connect"] else 0.0
    bars = []
    for part in _PARTS:
        width = took[part] * 1e6 * scale
        if width <= 0 or (
            part == "ssl" and took["ssl"] == took["connect"] and one.connection.quic is not None
        ):
            continue
        bars.append(el("rect", x=x, y=y + 3, width=width, height=_ROW - 6, class_=part))
        x += width
    said = f"{(one.end_ns - one.start_ns) / 1e6:.2f} ms"
    answer = f"{one.span.status or 'no answer'}, HTTP/{one.span.version}, {said}"
    title = f"{one.name} {one.span.method} {one.url} ─► {answer}".strip()
    label = f"{one.span.status or '–'} {one.span.method} {one.span.target}"
    return el(
        "g",
        el("title", title),
        el("text", label if len(label) < 48 else f"{label[:46]}…", x=4, y=y + 13),
        *bars,
        el("text", said, x=x + 5, y=y + 13, class_="took"),
        class_="row", tabindex="0", role="button", data_frame=str(one.span.asked.frame),
    )  # fmt: skip


def standalone(requests: Sequence[ClientRequest], title: str) -> str:
    """A file: the drawing with its colours."""
    shown = drawing(requests, title)
    inside = shown.index(">") + 1
    return joined([Markup(shown[:inside]), el("style", Markup(_STANDALONE)), Markup(shown[inside:])])
