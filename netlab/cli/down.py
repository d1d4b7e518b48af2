"""`netlab down`: take labs down."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    name: Annotated[str, typer.Argument(help="The lab; else the only one.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="Every lab.")] = False,
) -> None:
    """Take a lab down: end its roles, and with them everything it made."""
    from netlab.errors import InputError
    from netlab.lab.client import LabClient, gc, labs

    if everything and name:
        raise InputError("a name and --all contradict each other", "give one of them")
    names = [lab["name"] for lab in labs() if lab["state"] == "up"] if everything else [name]
    for one in names:
        lab = LabClient.connect(one)
        lab.down()
        typer.echo(f"lab {lab.name} is down", err=True)
    if everything:
        for dead in gc():
            typer.echo(f"removed what the lab {dead} had left", err=True)
