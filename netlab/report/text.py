"""A trace as text for a terminal or a pipe, at most 100 columns wide."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.console import Console

from netlab.report import budget, tables
from netlab.trace.findings import Findings
from netlab.trace.flows import Flow
from netlab.trace.losses import Lost
from netlab.trace.run import Run
from netlab.trace.story import LayerTable, Variant

WIDTH = 100


def render_request(variant: Variant, *, colour: bool = False) -> str:
    """The story of one request: its hops, its waterfall, its layers."""
    console, buffer = _console(colour)
    _variant(console, variant)
    _layers(console, [variant])
    return _text(buffer)


def render_flows(found: Sequence[Flow], *, colour: bool = False) -> str:
    """The connections of a run."""
    console, buffer = _console(colour)
    console.print(tables.flows(found))
    return _text(buffer)


def render_losses(found: Sequence[Lost], run: Run, *, colour: bool = False) -> str:
    """Where packets were lost: by the packets, and by the links' own counters."""
    console, buffer = _console(colour)
    if found:
        console.print(tables.losses(found))
    else:
        console.print("every packet that was seen once was seen to the end of its way")
    if counted := run.undelivered:
        console.print("\nFrames that links did not deliver in the run, by their own counters")
        console.print(tables.undelivered(counted))
    if run.flaws:
        console.print(f"Not to be relied on: {' and '.join(run.flaws)}.")
    return _text(buffer)


def _console(colour: bool) -> tuple[Console, io.StringIO]:
    buffer = io.StringIO()
    console = Console(
        file=buffer,
        width=WIDTH,
        force_terminal=colour,
        no_color=not colour,
        color_system="standard" if colour else None,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )
    return console, buffer


def _text(buffer: io.StringIO) -> str:
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def render(folder: str, run: Run, findings: Findings, *, colour: bool = False) -> str:
    """The whole report. `folder`: as the user can type it. `colour`: with ANSI escapes."""
    console, buffer = _console(colour)
    variants = findings.trace.variants if findings.trace is not None else ()
    for variant in variants:
        _variant(console, variant)
    _layers(console, variants)
    _sums(console, {variant.name: variant for variant in variants})
    for table in findings.tables:
        _heading(console, table.title)
        console.print(tables.measured(table))
        for note in table.notes:
            console.print(note)
    if findings.claims:
        _heading(console, "The guide's claims")
        console.print(tables.claims(findings.claims))
    _capture(console, folder, run, variants)
    return _text(buffer)


def _heading(console: Console, text: str) -> None:
    console.print()
    console.print(text, style="bold")


def _variant(console: Console, variant: Variant) -> None:
    answer = f"{variant.status} in {variant.total_ms:.1f} ms"
    _heading(console, f"{variant.name}: {variant.url} ─► {answer}")
    console.print(tables.hops(variant.hops))
    console.print()
    console.print(tables.waterfall(variant))


def _layers(console: Console, variants: Sequence[Variant]) -> None:
    """Of the first variant that reached the app; they look alike in the others."""
    found: tuple[LayerTable, ...] = max((variant.layers for variant in variants), key=len, default=())
    for table in found:
        _heading(console, f"Layers of the request at {table.node}:{table.interface} (frame {table.frame})")
        console.print(tables.layers(table))


def _sums(console: Console, variants: dict[str, Variant]) -> None:
    said = []
    if "miss" in variants and "hit" in variants:
        said.append(budget.faster(variants["miss"], variants["hit"]))
    if "direct" in variants:
        said.append(budget.arithmetic(variants["direct"]))
    if any(said):
        _heading(console, "The guide's arithmetic")
    for text in filter(None, said):
        console.print(text)


def _capture(console: Console, folder: str, run: Run, variants: Sequence[Variant]) -> None:
    capture, relay = run.capture, run.relay
    _heading(console, "The capture")
    console.print(f"{folder}/{capture.file}: {capture.packets} packets, {capture.dropped} dropped")
    if relay is not None:
        late, frames = relay.late, relay.frames
        console.print(f"links: {late} of {frames} relayed frames over 1 ms late, {relay.unable} not carried")
    if run.flaws:
        console.print(f"No claim is judged by this run: {' and '.join(run.flaws)}. Run it again.")
    client = variants[0].hops[0] if variants else None
    lines = [f"netlab report {folder}"]
    if client is not None:
        hop = f"{folder}/hops/{client.node}.{client.interface}.pcapng"
        lines += [f"wireshark {hop}", f"tshark -r {hop} -Y http.request"]
    lines.append(f"wireshark -o protocols.conversation_deinterlacing_key:.MI {folder}/{capture.file}")
    console.print("See again, and open decrypted (the merged file needs Wireshark 4.4 or later):")
    for line in lines:
        console.print(f"  {line}", soft_wrap=True)
