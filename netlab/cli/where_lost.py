"""`netlab where-lost`: which link ate which packets of a run."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Annotated

import typer

from netlab.cli.report import in_colour


def command(
    run: Annotated[Path, typer.Argument(help="A run directory that `netlab trace` wrote.", metavar="RUN")],
    json: Annotated[bool, typer.Option("--json", help="Print data instead of text.")] = False,
) -> None:
    """Say where the packets of a run were lost: each is followed from interface to interface, across address
    translation, and where it is not seen again, the link between has eaten it. Beside it, what the links' own
    counters say: lost at random, or the queue was full.

    Exit codes: 0 done, whether packets were lost or not; 2 the directory can't be read.
    """
    from netlab.trace.leg import network
    from netlab.trace.losses import losses
    from netlab.trace.packet import packets_of
    from netlab.trace.recording import Recording

    read = Recording.load(run)
    joined = network(packets_of(read.frames))
    found = losses((*joined.legs, *joined.flows), joined.journeys, read.run)
    if json:
        from netlab.report.document import loss_documents, undelivered_documents

        document = {
            "losses": loss_documents(found),
            "links": undelivered_documents(read.run),
            "flaws": list(read.run.flaws),
        }
        typer.echo(jsonlib.dumps(document, indent=2, ensure_ascii=False))
    else:
        from netlab.report.text import render_losses

        typer.echo(render_losses(found, read.run, colour=in_colour()), nl=False)
