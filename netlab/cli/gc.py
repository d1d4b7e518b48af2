"""`netlab gc`: remove what dead labs left."""

from __future__ import annotations

import typer


def command() -> None:
    """Remove what labs left whose supervisor was killed. The kernel has ended their processes already."""
    from netlab.lab.client import gc

    removed = gc()
    for name in removed:
        typer.echo(f"removed what the lab {name} had left")
    if not removed:
        typer.echo("nothing was left behind", err=True)
