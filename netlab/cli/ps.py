"""`netlab ps`: labs, or the nodes and roles of one."""

from __future__ import annotations

from json import dumps
from typing import Annotated, Any

import typer


def command(
    name: Annotated[str, typer.Argument(help="The lab; else the only one, or a list.")] = "",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show labs, and the nodes and roles of one; exit 1 if the one is unhealthy."""
    from netlab.lab.client import LabClient, labs

    found = labs()
    if name or (len(found) == 1 and found[0]["state"] == "up"):
        status = LabClient.connect(name).status()
        _show_one(status, json)
        if not status["healthy"]:
            raise typer.Exit(1)
    elif json:
        typer.echo(dumps({"labs": found}, indent=2))
    else:
        _show_all(found)


def _show_one(status: dict[str, Any], json: bool) -> None:
    if json:
        typer.echo(dumps(status, indent=2))
        return
    from netlab.cli.lab_table import show_nodes

    health = "" if status["healthy"] else ", unhealthy"
    backend = f"links: {status['backend']}"
    typer.echo(f"lab {status['name']}: {status['state']}{health}, pid {status['pid']}, {backend}")
    show_nodes(status)


def _show_all(found: list[dict[str, Any]]) -> None:
    if not found:
        typer.echo("no lab is up; try: netlab up FILE", err=True)
        return
    from netlab.cli.lab_table import show_table

    rows = [(lab["name"], lab["state"], str(lab.get("pid", "")), lab.get("topology", "")) for lab in found]
    show_table(("LAB", "STATE", "PID", "TOPOLOGY"), rows)
    if any(lab["state"] == "dead" for lab in found):
        typer.echo("dead labs: their supervisors were killed; try: netlab gc", err=True)
