"""The waterfall, as SVG that also stands alone."""

from __future__ import annotations

from netlab.report.html.markup import Markup, el, joined
from netlab.trace.story import Span, Variant

_LABEL, _BAR, _ROW = 250, 650, 22
_STANDALONE = """text{font:12px sans-serif}.bar0{fill:#2563eb}.bar1{fill:#60a5fa}.bar2{fill:#93c5fd}
.grid{stroke:#ccc}"""


def drawing(variant: Variant) -> Markup:
    """A row a span, indented by its tier. Rows have `data-frame`: the packet that begins it."""
    height = (len(variant.spans) + 2) * _ROW
    scale = _BAR / max(variant.end_ns - variant.click_ns, 1)
    rows = [_row(span, number, variant, scale) for number, span in enumerate(variant.spans)]
    grid = []
    for part in range(6):
        x = _LABEL + _BAR * part / 5
        grid.append(el("line", x1=x, x2=x, y1=_ROW, y2=height, class_="grid"))
        grid.append(el("text", f"{variant.total_ms * part / 5:.1f} ms", x=x, y=14, class_="tick"))
    return el(
        "svg",
        *grid,
        *rows,
        viewbox=f"0 0 {_LABEL + _BAR + 110} {height}",
        class_="waterfall",
        role="group",
        aria_label=f"waterfall of {variant.name}",
        xmlns="http://www.w3.org/2000/svg",
    )


def _row(span: Span, number: int, variant: Variant, scale: float) -> Markup:
    y = (number + 1.3) * _ROW
    x = _LABEL + (span.start_ns - variant.click_ns) * scale
    width = max((span.end_ns - span.start_ns) * scale, 1.5)
    said = f"{span.duration_ms:.2f} ms"
    title = f"{span.name} at {span.node}: {said}, {span.rtts:g} round trips, {len(span.frames)} packets"
    return el(
        "g",
        el("title", title),
        el("text", span.name, x=8 + span.depth * 12, y=y + 13),
        el("rect", x=x, y=y + 2, width=width, height=_ROW - 6, rx=2, class_=f"bar{min(span.depth, 2)}"),
        el("text", said, x=x + width + 5, y=y + 13, class_="took"),
        class_="row", tabindex="0", role="button", data_frame=str(span.frames[0]), data_span=title,
        data_frames=",".join(map(str, span.frames[:40])),
    )  # fmt: skip


def standalone(variant: Variant) -> str:
    """A file: the drawing with its colours."""
    style = el("style", Markup(_STANDALONE))
    shown = drawing(variant)
    inside = shown.index(">") + 1
    return joined([Markup(shown[:inside]), style, Markup(shown[inside:])])
