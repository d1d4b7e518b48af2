"""`netlab report`: show a run again, without root and without its lab."""

from __future__ import annotations

import io
import json as jsonlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from netlab.errors import InputError

if TYPE_CHECKING:
    from netlab.scenarios.outcome import Outcome


def command(
    run: Annotated[Path, typer.Argument(help="A run directory that `netlab trace` wrote.", metavar="RUN")],
    json: Annotated[bool, typer.Option("--json", help="Print data instead of text.")] = False,
    html: Annotated[
        Path | None, typer.Option(help="Write the page with every view into FILE.", metavar="FILE")
    ] = None,
    har: Annotated[
        Path | None, typer.Option(help="Write the client's requests (HAR 1.2) into FILE.", metavar="FILE")
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(help="Write spans.csv and hops.csv into DIR.", metavar="DIR")
    ] = None,
    svg: Annotated[
        Path | None, typer.Option(help="Write waterfall-REQUEST.svg into DIR.", metavar="DIR")
    ] = None,
) -> None:
    """Show a run again: it is computed anew from the capture in RUN. Needs no root.

    With an option that names a file or directory, that is written, and nothing is shown.

    Exit codes: 0 done, 1 a request of the run failed, 2 the directory can't be read, or a file written.
    """
    from netlab.scenarios.outcome import outcome

    found = outcome(run)
    wanted = Exports(html, har, csv, svg)
    if not any(wanted):
        show(found, json=json)
        return
    for path, content in wanted.contents(found):
        _write(path, content)


class Exports(NamedTuple):
    """Where the user wants what."""

    html: Path | None
    har: Path | None
    csv: Path | None
    svg: Path | None

    def contents(self, found: Outcome) -> Iterator[tuple[Path, str]]:
        """The files, each with its text. Raises InputError where the run has nothing for one."""
        from netlab.report import har
        from netlab.report.html import timeline
        from netlab.report.html.page import page

        variants = found.findings.trace.variants if found.findings.trace is not None else ()
        if self.html is not None:
            yield self.html, page(str(found.folder), found.recording, found.findings)
        if any((self.har, self.csv, self.svg)) and not variants:
            cause = f"{found.folder}: the scenario {found.run.scenario} follows no single request"
            raise InputError(cause, "use --html, --json, or a run of the scenario rest")
        if self.har is not None:
            yield self.har, jsonlib.dumps(har.har(variants), indent=2, ensure_ascii=False) + "\n"
        if self.csv is not None:
            yield self.csv / "spans.csv", har.spans_csv(variants)
            yield self.csv / "hops.csv", har.hops_csv(variants)
        for number, variant in enumerate(variants if self.svg is not None else (), 1):
            name = "".join(sign if sign.isalnum() or sign in "-_" else "_" for sign in variant.name)
            assert self.svg is not None
            yield self.svg / f"waterfall-{name or number}.svg", timeline.standalone(variant)


def _write(path: Path, content: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", "give another path") from error
    typer.echo(path)


def show(found: Outcome, *, json: bool) -> None:
    """Print what a run tells, and exit with 1 where one of its requests failed."""
    folder = str(found.folder)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # bars and arrows, where the locale has none
    if json:
        from netlab.report.document import document

        text = jsonlib.dumps(document(folder, found.run, found.findings), indent=2, ensure_ascii=False)
        typer.echo(text)
    else:
        from netlab.report.text import render

        colour = in_colour()
        typer.echo(render(folder, found.run, found.findings, colour=colour), nl=False)
    for cause in found.findings.failed:
        typer.echo(f"netlab: {cause}", err=True)
    if found.findings.failed:
        raise typer.Exit(1)


def in_colour() -> bool:
    """Whether the reader is a terminal that wants colours (no-color.org)."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ
