"""`netlab flows`: the connections of a run."""

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
    """List the connections of a run, and flows of UDP: who talked to whom, through which translation, over
    which interfaces, in which versions, and how much.

    Exit codes: 0 done, 2 the directory can't be read.
    """
    from netlab.trace.flows import flows
    from netlab.trace.leg import network
    from netlab.trace.packet import packets_of
    from netlab.trace.recording import Recording

    read = Recording.load(run)
    found = flows(network(packets_of(read.frames)), read.keys, read.run)
    if json:
        from netlab.report.document import flow_documents

        typer.echo(jsonlib.dumps(flow_documents(found), indent=2, ensure_ascii=False))
    else:
        from netlab.report.text import render_flows

        typer.echo(render_flows(found, colour=in_colour()), nl=False)
