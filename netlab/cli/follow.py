"""`netlab follow`: the journey of one request of a run."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Annotated

import typer

from netlab.cli.report import in_colour


def command(
    run: Annotated[Path, typer.Argument(help="A run directory that `netlab trace` wrote.", metavar="RUN")],
    request: Annotated[
        str, typer.Option(help="Which: its number, from 1, or its name.", metavar="REQUEST")
    ] = "1",
    json: Annotated[bool, typer.Option("--json", help="Print data instead of text.")] = False,
) -> None:
    """Follow one request of a run: every interface that it crossed, out and back, through address translation
    and TLS termination; its waterfall; its layers.

    Exit codes: 0 done, 2 the directory can't be read, or has no such request.
    """
    from netlab.trace.load import Trace
    from netlab.trace.recording import Recording

    (variant,) = Trace.follow(Recording.load(run), request).variants
    if json:
        from netlab.report.document import request_document

        typer.echo(jsonlib.dumps(request_document(variant), indent=2, ensure_ascii=False))
    else:
        from netlab.report.text import render_request

        typer.echo(render_request(variant, colour=in_colour()), nl=False)
