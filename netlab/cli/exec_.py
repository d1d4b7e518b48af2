"""`netlab exec`: run a command in a node."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

# What follows NODE is the command's, options included; click takes the "--" away.
CONTEXT_SETTINGS: dict[str, Any] = {"ignore_unknown_options": True, "allow_interspersed_args": False}


def command(
    node: Annotated[str, typer.Argument(help="The node.")],
    argv: Annotated[list[str], typer.Argument(metavar="-- CMD…", help="The command, after `--`.")],
    lab: Annotated[str, typer.Option(help="The lab; else the only one.")] = "",
) -> None:
    """Run a command as root in a node: in its network, with its resolv.conf and hosts, trusting the lab's CA.

    Ends with the command's exit status. The command ends with the lab.
    """
    from netlab.errors import InputError
    from netlab.lab.client import LabClient
    from netlab.lab.joining import run_in_node

    lab, words = leading_lab(argv, lab)
    if not words:
        raise InputError("no command was given", f"netlab exec {node} -- ip address")
    raise typer.Exit(run_in_node(LabClient.connect(lab), node, words, os.environ))


def leading_lab(argv: list[str], lab: str) -> tuple[str, list[str]]:
    """`--lab NAME` and `--` may come after the node, before the command."""
    words = list(argv)
    while words:
        if words[0] == "--lab" and len(words) > 1:
            lab, words = words[1], words[2:]
        elif words[0].startswith("--lab="):
            lab, words = words[0].removeprefix("--lab="), words[1:]
        elif words[0] == "--":
            return lab, words[1:]
        else:
            break
    return lab, words
