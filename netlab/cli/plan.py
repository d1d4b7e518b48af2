"""`netlab plan`: show what `up` would do."""

from __future__ import annotations

import os
from json import dumps
from typing import Annotated, Literal

import typer

from netlab.model.capabilities import Capabilities
from netlab.model.find import find
from netlab.model.load import load
from netlab.plan.build import plan
from netlab.plan.render import document, lines


def command(
    file: Annotated[str, typer.Argument(help="A topology file, or the name of a shipped one.")],
    backend: Annotated[
        Literal["netem", "wire"] | None,
        typer.Option(help="Plan for a kernel with netem, or for one without (else: this kernel)."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the operations, in order, that bring a topology up. Nothing is done, and no root is needed."""
    made = plan(load(find(file)), _capabilities(backend))
    typer.echo(dumps(document(made), indent=2) if json else "\n".join(lines(made)))


def _capabilities(backend: str | None) -> Capabilities:
    """Only root can ask the kernel for netem; without root the plan is for `wire`, and says so."""
    if backend:
        return Capabilities(netem=backend == "netem")
    if os.geteuid() == 0:
        from netlab.fabric.probe import probe

        return probe()
    typer.echo("planned without netem: only root can ask the kernel for it (see --backend)", err=True)
    return Capabilities(netem=False)
