"""`netlab validate`: check a topology file."""

from __future__ import annotations

from dataclasses import asdict
from json import dumps
from typing import Annotated

import typer

from netlab.errors import TopologyError
from netlab.model.find import find
from netlab.model.load import load


def command(
    file: Annotated[str, typer.Argument(help="A topology file, or the name of a shipped one.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check a topology file and show every problem, each with its place. Exit code 2 if there are any."""
    path = find(file)
    try:
        topology = load(path)
    except TopologyError as error:
        if not json:
            raise
        problems = [asdict(problem) for problem in error.problems]
        typer.echo(dumps({"file": str(path), "valid": False, "problems": problems, "warnings": []}, indent=2))
        raise typer.Exit(error.exit_code) from error
    summary = {"name": topology.name, "nodes": len(topology.nodes), "links": len(topology.links)}
    if json:
        warnings = [asdict(warning) for warning in topology.warnings]
        found = {"file": str(path), "valid": True, "problems": [], "warnings": warnings, **summary}
        typer.echo(dumps(found, indent=2))
    else:
        for warning in topology.warnings:
            typer.echo(f"warning: {warning}", err=True)
        typer.echo(f"{path}: valid: {topology.name}, {summary['nodes']} nodes, {summary['links']} links")
