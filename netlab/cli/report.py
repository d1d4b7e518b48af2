"""`netlab report`: show a run again, without root and without its lab."""

from __future__ import annotations

import io
import json as jsonlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netlab.errors import InputError

if TYPE_CHECKING:
    from netlab.report.exports import Kind
    from netlab.scenarios.outcome import Outcome


def command(
    run: Annotated[Path, typer.Argument(help="A run directory that `netlab trace` wrote.", metavar="RUN")],
    json: Annotated[bool, typer.Option("--json", help="Print data instead of text.")] = False,
    html: Annotated[bool, typer.Option("--html", help="Write the page with every view.")] = False,
    har: Annotated[bool, typer.Option("--har", help="Write the clients' requests as HAR 1.2.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Write requests, spans and hops as CSV.")] = False,
    svg: Annotated[bool, typer.Option("--svg", help="Write waterfalls of the requests as SVG.")] = False,
    requests: Annotated[
        bool, typer.Option("--requests", help="Write each request's spans and hops as JSON.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Where to write: a directory, or - for stdout; else RUN.", metavar="DIR"),
    ] = None,
) -> None:
    """Show a run again: it is computed anew from the capture in RUN. Needs no root.

    With options that write, their files go into RUN, and nothing is shown: report.html; requests.har;
    requests.csv, spans.csv and hops.csv; requests.svg, or one for each part of the scenario, and a waterfall
    for each request that the scenario follows; requests.json.

    Exit codes: 0 done, 1 a request of the run failed, 2 the directory can't be read, a file can't be written,
    or the run has no requests to write.
    """
    from netlab.scenarios.outcome import outcome

    choices: dict[Kind, bool] = {"html": html, "har": har, "csv": csv, "svg": svg, "requests": requests}
    wanted = [kind for kind, chosen in choices.items() if chosen]
    if wanted and json:
        raise InputError(f"--json prints, and --{wanted[0]} writes a file", "leave one of them out")
    found = outcome(run)
    if wanted:
        from netlab.report.exports import exports

        _write_all(exports(str(found.folder), found.recording, found.findings, wanted), out or run)
    elif out is not None:
        raise InputError("--out: nothing to write", "add --html, --har, --csv, --svg or --requests")
    else:
        show(found, json=json)


def _write_all(files: Iterator[tuple[str, str]], out: Path) -> None:
    if str(out) != "-":
        for name, content in files:
            _write(out / name, content)
        return
    made = list(files)
    if len(made) > 1:
        names = ", ".join(name for name, _ in made)
        raise InputError(f"--out -: stdout has room for one file, not {names}", "give a directory")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # as the files are
    sys.stdout.write(made[0][1])


def _write(path: Path, content: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", "give another directory with --out") from error
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
