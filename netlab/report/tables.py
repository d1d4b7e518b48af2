"""The tables of a report, for rich. Nothing in them needs colour to be understood."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from netlab.report import budget
from netlab.trace.claim import Claim, Verdict
from netlab.trace.flows import Flow
from netlab.trace.losses import Lost
from netlab.trace.run import RunDrops
from netlab.trace.story import Hop, LayerTable, Span, Variant
from netlab.trace.table import Cell
from netlab.trace.table import Table as Measured

_BAR = 24
_ARP_MS = 0.5  # of a wait that is worth a line: in a new lab every link has one; JSON has them all
_SHOWN = 98
_VERDICT = {
    Verdict.HOLDS: "green",
    Verdict.PARTLY: "yellow",
    Verdict.REFUTED: "red",
    Verdict.NOT_RUN: "dim",
}


def _table(*columns: tuple[str, int, bool]) -> Table:
    """`columns`: title, width (0: what it needs), whether it is flush right."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0, show_edge=False)
    for title, width, right in columns:
        table.add_column(title, width=width or None, justify="right" if right else "left", overflow="fold")
    return table


def hops(crossed: Sequence[Hop]) -> Table:
    """Two lines an interface: where and between which sockets; MAC addresses and what changed."""
    table = _table(
        ("ms", 8, True),
        ("node:interface, MACs", 37, False),
        ("source ─► destination, what changed", 43, False),
        ("TTL", 3, True),
        ("frame", 5, True),
    )
    before = ""
    for hop in crossed:
        if before and hop.direction != before:
            table.add_section()
        before = hop.direction
        where = Text(f"{hop.node}:{hop.interface}", style="bold")
        where.append(f"\n{hop.src_mac} ► {hop.dst_mac}", style="not bold")
        what = f"{_socket(hop.src, hop.sport)} ─► {_socket(hop.dst, hop.dport)}"
        table.add_row(
            f"{hop.time_ns / 1e6:.3f}",
            where,
            f"{what}\n{hop.change}" if hop.change else what,
            str(hop.ttl),
            str(hop.frame),
        )
    return table


def _socket(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def waterfall(variant: Variant) -> Table:
    """Spans with bars from the click to the last byte, beside the guide's budget."""
    table = _table(
        ("span", 29, False),
        ("ms", 8, True),
        ("RTTs", 4, True),
        (f"0 to {variant.total_ms:.1f} ms", _BAR, False),
        ("guide, ms", 9, True),
        ("frames", 20, False),
    )
    guide = budget.budget(variant)
    for span in variant.spans:
        if span.name.startswith("ARP ") and span.duration_ms < _ARP_MS:
            continue
        table.add_row(
            Text("  " * span.depth + span.name, overflow="fold"),
            f"{span.duration_ms:.2f}",
            f"{span.rtts:g}" if span.rtts else "",
            bar(span, variant),
            guide.get(span.name, "") if span.depth == 0 else "",
            frame_list(span.frames),
        )
    table.add_section()
    rest = variant.total_ms - variant.accounted_ms
    table.add_row("client, between these", f"{rest:.2f}", "", "", "", "")
    trips = sum(span.rtts for span in variant.spans if span.depth == 0)
    table.add_row("total", f"{variant.total_ms:.2f}", f"{trips:g}", "", budget.total(variant), "")
    return table


def bar(span: Span, variant: Variant) -> str:
    """Where the span lies between click and last byte: at least one mark, so that no span vanishes."""
    scale = _BAR / max(variant.end_ns - variant.click_ns, 1)
    start = min(max(round((span.start_ns - variant.click_ns) * scale), 0), _BAR - 1)
    end = min(max(round((span.end_ns - variant.click_ns) * scale), start + 1), _BAR)
    return " " * start + ("█" if span.depth == 0 else "▒") * (end - start)


def frame_list(frames: Iterable[int], shown: int = 3) -> str:
    """Frame numbers with runs drawn together: "12–14, 18"; the rest after `shown` runs is an ellipsis."""
    runs: list[list[int]] = []
    for frame in sorted(set(frames)):
        if runs and frame == runs[-1][-1] + 1:
            runs[-1].append(frame)
        else:
            runs.append([frame])
    words = [f"{run[0]}–{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
    return ", ".join(words[:shown]) + (", …" if len(words) > shown else "")


def layers(table: LayerTable) -> Table:
    """Layers 7 to 1, a field a line."""
    made = _table(("OSI", 3, False), ("protocol", 18, False), ("field", 27, False), ("value", 49, False))
    for row in table.rows:
        titles = [(row.osi, row.name)] + [("", "")] * len(row.fields)
        for (osi, protocol), (name, value) in zip(titles, row.fields, strict=False):
            made.add_row(osi, protocol, name, _cut(value))
        made.add_section()
    return made


def _cut(value: str) -> str:
    """Two lines of it: a token can be longer than the rest of the table. JSON has all of it."""
    return value if len(value) <= _SHOWN else f"{value[: _SHOWN - 1]}…"


def measured(found: Measured) -> Table:
    """What a scenario measured; the frames that prove a row at its end."""
    proven = any(row.evidence for row in found.rows)
    shown = [[_cell(cell) for cell in row.cells] for row in found.rows]
    numbers = [
        all(isinstance(row.cells[index], int | float | None) for row in found.rows)
        for index in range(len(found.columns))
    ]
    made = _table(*((title, 0, right) for title, right in zip(found.columns, numbers, strict=True)))
    made.padding = (0, 1, 0, 0)
    if proven:
        made.add_column("frames", overflow="fold")
    for cells, row in zip(shown, found.rows, strict=True):
        made.add_row(*cells, *([frame_list(row.evidence, 3)] if proven else []))
    return made


def _cell(cell: Cell) -> str:
    """Numbers with three digits that count."""
    if cell is None:
        return "–"
    if isinstance(cell, float):
        return f"{cell:.0f}" if abs(cell) >= 1000 else f"{cell:#.3g}".rstrip(".")
    return str(cell)


def flows(found: Sequence[Flow]) -> Table:
    """A connection in two lines: ends, sizes; way and what it speaks."""
    made = _table(
        ("frame", 6, True),
        ("client ─► server", 47, False),
        ("ms", 9, True),
        ("packets", 7, True),
        ("kB", 8, True),
        ("requests", 8, True),
    )
    made.padding = (0, 1, 0, 0)
    for one in found:
        ends = f"{one.names[0]} {one.client} ─► {one.names[1]} {one.server}"
        nat = f", NAT {one.translated}" if one.translated is not None else ""
        way = f"{one.way[0]} … {one.way[-1]}" if len(one.way) > 1 else one.way[0]
        said = f"\n{one.protocol.upper()}{nat}; {len(one.way)} interfaces, {way}"
        spoken = f"\n{one.speaks}" if one.speaks else ""
        made.add_row(
            str(one.frame),
            ends + said + spoken,
            f"{(one.end_ns - one.start_ns) / 1e6:.1f}",
            str(one.packets),
            f"{one.bytes / 1000:.1f}",
            str(one.requests),
        )
    return made


def losses(found: Sequence[Lost]) -> Table:
    made = _table(
        ("last seen at", 22, False),
        ("not seen at", 22, False),
        ("lost", 6, True),
        ("of", 7, True),
        ("%", 6, True),
        ("link counts", 17, False),
        ("frames", 14, False),
    )
    made.padding = (0, 1, 0, 0)
    for one in found:
        between = "the link between them" if "─" in one.link else one.link
        made.add_row(
            f"{one.after[0]}:{one.after[1]}",
            f"{one.before[0]}:{one.before[1]}\n{between}".rstrip(),
            str(len(one.packets)),
            str(one.sent),
            f"{100 * one.share:.2f}",
            counted(one.counted),
            frame_list(tuple(packet.number for packet in one.packets), 2),
        )
    return made


def undelivered(found: Iterable[tuple[str, str, RunDrops]]) -> Table:
    made = _table(("sent by", 30, False), ("to", 30, False), ("link counts", 24, False))
    made.padding = (0, 1, 0, 0)
    for end, other, drops in found:
        made.add_row(end, other, counted(drops))
    return made


def counted(drops: RunDrops | None) -> str:
    """What a link's counters say."""
    if drops is None:
        return ""
    if drops.queue is None:
        return f"{drops.lost} dropped"
    return f"{drops.lost} lost\n{drops.queue} queue full"


def claims(judged: Sequence[Claim]) -> Table:
    made = _table(
        ("guide", 5, False),
        ("statement", 32, False),
        ("expected", 13, False),
        ("measured", 23, False),
        ("verdict", 7, False),
        ("frames", 15, False),
    )
    for claim in judged:
        frames = "\n".join(
            f"{name}: {frame_list(numbers, 2)}" if len(claim.evidence) > 1 else frame_list(numbers)
            for name, numbers in claim.evidence.items()
        )
        made.add_row(
            claim.guide,
            claim.statement,
            claim.expected,
            claim.measured,
            Text(claim.verdict.value, style=_VERDICT[claim.verdict]),
            frames,
        )
    return made
