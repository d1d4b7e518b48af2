"""Show and change settings of running roles.

ROLE is a node that has one role, or `node.role` as `netlab ps` names it.
"""

from __future__ import annotations

from json import dumps
from typing import Annotated, Any

import typer

LabName = Annotated[str, typer.Option("--lab", help="The lab; else the only one.")]


def show(
    role: Annotated[str, typer.Argument(metavar="ROLE", help="node.role, or a node: all its roles.")],
    lab: LabName = "",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what the topology says of a role, and which settings have been changed since it started."""
    from netlab.lab.client import LabClient

    found = LabClient.connect(lab).role(role)
    if json:
        typer.echo(dumps({"roles": found}, indent=2))
        return
    for one in found:
        typer.echo(f"{one['node']}.{one['role']}: {one['state']}")
        for key, value in one["spec"].items():
            typer.echo(f"  {key}: {value if isinstance(value, str) else dumps(value)}")
        for key, value in one["settings"].items():
            typer.echo(f"  changed: {key}={value}")


def change(
    role: Annotated[str, typer.Argument(metavar="ROLE", help="node.role, or a node with one role.")],
    words: Annotated[list[str], typer.Argument(metavar="KEY=VALUE…", help="weights=app-1:3,app-2:1, …")],
    lab: LabName = "",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Change settings of a running role.

    They last until the role ends; started again, it has those of the topology. Which settings a role can
    change while it runs is said where the role is described (docs/topology.md).
    """
    from netlab.lab.client import LabClient
    from netlab.model.role_settings import parse_settings

    changed: dict[str, Any] = LabClient.connect(lab).set_role(role, parse_settings(words))
    if json:
        typer.echo(dumps(changed, indent=2))
        return
    for key, value in changed["before"].items():
        typer.echo(f"{changed['node']}.{changed['role']}: {key}={changed['settings'][key]} (was {value})")


# In the order of `netlab role --help`.
COMMANDS = {"show": show, "set": change}
