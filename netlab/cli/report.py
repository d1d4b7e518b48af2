"""`netlab report`: show a run again, without root and without its lab."""

from __future__ import annotations

import io
import json as jsonlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from netlab.scenarios.outcome import Outcome


def command(
    run: Annotated[Path, typer.Argument(help="A run directory that `netlab trace` wrote.", metavar="RUN")],
    json: Annotated[bool, typer.Option("--json", help="Print data instead of text.")] = False,
) -> None:
    """Show a run again: it is computed anew from the capture in RUN. Needs no root.

    Exit codes: 0 done, 1 a request of the run failed, 2 the directory can't be read.
    """
    from netlab.scenarios.outcome import outcome

    show(outcome(run), json=json)


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
