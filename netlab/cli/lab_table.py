"""Tables of labs and nodes, as `up` and `ps` print them: plain columns, unwrapped, for grep and awk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer


def show_nodes(status: dict[str, Any]) -> None:
    """A lab's nodes, one per line, with addresses and the state of their roles; what is wrong at the end."""
    rows = [_row(node) for node in status["nodes"]]
    show_table(("NODE", "KIND", "LOCATION", "ADDRESSES", "ROLES"), rows)
    for process in status["processes"]:
        if process["state"] != "running":
            typer.echo(f"the lab's {process['name']} process {process['state']}", err=True)
    for fault in status["faults"]:
        typer.echo(f"fault {fault['id']}: {' '.join(fault['fault'])}", err=True)
    _show_links(status)
    if status["events_lost"]:
        typer.echo(f"{status['events_lost']} events were lost: /run is full", err=True)


def _show_links(status: dict[str, Any]) -> None:
    """Links that aren't up, and a relay that could not keep up: what is measured then is the machine."""
    for link in status["links"]:
        if link["state"] != "up":
            typer.echo(f"link {link['name']}: {link['state']}", err=True)
    if status["relay_restarts"]:
        times = f"{status['relay_restarts']} time{'s' if status['relay_restarts'] != 1 else ''}"
        typer.echo(f"the relay ended and was started again {times}: its counters began anew", err=True)
    relay = status["relay"] or {"late": 0, "unable": 0}
    if relay["late"] or relay["unable"]:
        counts = f"{relay['late']} frames more than 1 ms late, {relay['unable']} lost"
        typer.echo(f"the relay did not keep up: {counts} by it", err=True)


def _row(node: dict[str, Any]) -> tuple[str, ...]:
    roles = ", ".join(_role(role) for role in node["roles"])
    return node["node"], node["kind"], node["location"], ", ".join(node["addresses"]), roles


def _role(role: dict[str, Any]) -> str:
    status = f": {role['status']}" if role["state"] == "failed" else ""
    pid = f", pid {role['pid']}" if role["pid"] else ""
    return f"{role['role']} ({role['state']}{status}{pid})"


def show_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Left-aligned columns on stdout; an empty cell is a dash."""
    cells = [tuple(heads), *(tuple(cell or "-" for cell in row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    for row in cells:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo(line.rstrip())
