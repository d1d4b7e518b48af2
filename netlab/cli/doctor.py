"""`netlab doctor`: what this machine offers."""

from __future__ import annotations

from json import dumps
from typing import Annotated

import typer

from netlab.errors import HostError


def command(json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Say what this machine offers and what is missing; exit 3 if something required is missing."""
    from netlab.lab.doctor import examine

    findings = examine()
    if json:
        typer.echo(dumps({"findings": [finding.to_json() for finding in findings]}, indent=2))
    else:
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            word = "ok" if finding.ok else ("missing" if finding.required else "lacking")
            remedy = f"; try: {finding.remedy}" if finding.remedy and not finding.ok else ""
            typer.echo(f"{word:<8} {finding.name:<{width}}  {finding.found}{remedy}")
    if any(finding.required and not finding.ok for finding in findings):
        raise typer.Exit(HostError.exit_code)
