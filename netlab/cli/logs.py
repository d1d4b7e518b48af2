"""`netlab logs`: what roles wrote."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    target: Annotated[str, typer.Argument(metavar="NODE[.ROLE]", help="Whose; else everyone's.")] = "",
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with what is written later.")] = False,
    events: Annotated[bool, typer.Option("--events", help="Events instead of output.")] = False,
    json: Annotated[bool, typer.Option("--json", help="JSON lines.")] = False,
    lab: Annotated[str, typer.Option(help="The lab; else the only one.")] = "",
) -> None:
    """Show what roles wrote to stdout and stderr, or their events."""
    from netlab.lab.client import LabClient
    from netlab.lab.logs import Target, event_lines, log_lines

    client = LabClient.connect(lab)
    wanted = Target.of(target, client.status())
    lines = (event_lines if events else log_lines)(client, wanted, follow)
    for line in lines:
        typer.echo(line.json() if json else line.text())
