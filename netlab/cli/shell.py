"""`netlab shell`: a shell in a node."""

from __future__ import annotations

import os
from typing import Annotated

import typer


def command(
    node: Annotated[str, typer.Argument(help="The node.")],
    lab: Annotated[str, typer.Option(help="The lab; else the only one.")] = "",
) -> None:
    """Open a shell as root in a node: its network, its resolv.conf and hosts; it ends with the lab."""
    from netlab.lab.client import LabClient
    from netlab.lab.joining import run_in_node

    client = LabClient.connect(lab)
    shell = os.environ.get("SHELL", "/bin/sh")
    environment = {**os.environ, "PS1": f"{client.name}:{node}:\\w# "}
    raise typer.Exit(run_in_node(client, node, [shell], environment))
