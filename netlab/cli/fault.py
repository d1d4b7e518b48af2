"""Break parts of a running lab, for a while.

Every fault is undone: after --for TIME; without it when this command ends, by Ctrl-C or otherwise; by
`netlab fault clear`; or with the lab. ROLE is a node that has one role, or `node.role`.
"""

from __future__ import annotations

import sys
import time
from json import dumps
from typing import Annotated, Any

import typer

Role = Annotated[str, typer.Argument(metavar="ROLE", help="node.role, or a node with one role.")]
Node = Annotated[str, typer.Argument(metavar="NODE")]
Share = Annotated[str, typer.Argument(metavar="[SHARE]", help="Of the requests, such as 20%.")]
For = Annotated[str, typer.Option("--for", metavar="TIME", help="Return at once; undone after this time.")]
LabName = Annotated[str, typer.Option("--lab", help="The lab; else the only one.")]


def kill(role: Role, for_: For = "", lab: LabName = "") -> None:
    """Kill a role by SIGKILL.

    It is started again when this is undone.
    """
    _begin(("kill", role), for_, lab)


def pause(role: Role, for_: For = "", lab: LabName = "") -> None:
    """Stop all processes of a role by SIGSTOP: it hangs, and its kernel still takes connections."""
    _begin(("pause", role), for_, lab)


def slow(
    role: Role,
    delay: Annotated[str, typer.Argument(metavar="DELAY", help="Such as 200ms.")],
    share: Share = "100%",
    for_: For = "",
    lab: LabName = "",
) -> None:
    """Have a role that serves HTTP begin with requests late."""
    _begin(("slow", role, delay, share), for_, lab)


def error(
    role: Role,
    status: Annotated[str, typer.Argument(metavar="STATUS", help="From 400 to 599.")],
    share: Share = "100%",
    for_: For = "",
    lab: LabName = "",
) -> None:
    """Have a role that serves HTTP answer requests with an error."""
    _begin(("error", role, status, share), for_, lab)


def partition(
    node: Node,
    other: Annotated[str, typer.Argument(metavar="[NODE2]", help="Else all links of NODE.")] = "",
    for_: For = "",
    lab: LabName = "",
) -> None:
    """Take the carrier from a node's links, or from those between two nodes."""
    _begin(("partition", node, *((other,) if other else ())), for_, lab)


def cpu(
    node: Node,
    count: Annotated[str, typer.Argument(metavar="[COUNT]", help="How many processes.")] = "1",
    for_: For = "",
    lab: LabName = "",
) -> None:
    """Run processes in a node that only compute.

    All nodes of all labs share the machine's cores.
    """
    _begin(("cpu", node, count), for_, lab)


def list_(
    lab: LabName = "", json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """List the faults that there are."""
    from netlab.lab.client import LabClient

    found = LabClient.connect(lab).faults()
    if json:
        typer.echo(dumps({"faults": found}, indent=2))
    elif found:
        from netlab.cli.lab_table import show_table

        show_table(("ID", "FAULT", "LEFT"), [(str(one["id"]), _words(one), _left(one)) for one in found])
    else:
        _say("there is no fault")


def clear(
    number: Annotated[int | None, typer.Argument(metavar="[ID]", help="Else all faults.")] = None,
    lab: LabName = "",
) -> None:
    """Undo a fault, or all."""
    from netlab.lab.client import LabClient

    for one in LabClient.connect(lab).clear_faults(number):
        typer.echo(f"undone: {_words(one)}")


# In the order of `netlab fault --help`.
COMMANDS = {
    "kill": kill,
    "pause": pause,
    "slow": slow,
    "error": error,
    "partition": partition,
    "cpu": cpu,
    "list": list_,
    "clear": clear,
}


def _begin(words: tuple[str, ...], for_: str, lab: str) -> None:
    from netlab.errors import InputError
    from netlab.lab.client import LabClient
    from netlab.model.fault import parse_fault
    from netlab.model.units import duration_ns

    parse_fault(words)
    client = LabClient.connect(lab)
    if not for_:
        with client.holding_fault(words) as (begun, until_ended):
            _say(f"{begun['id']}: {_words(begun)}; Ctrl-C undoes it")
            until_ended()
        return
    try:
        for_s = duration_ns(for_) / 1e9
    except ValueError as wrong:
        raise InputError(str(wrong)) from wrong
    begun = client.fault(words, for_s)
    typer.echo(f"{begun['id']}: {_words(begun)}, for {for_}")


def _words(fault: dict[str, Any]) -> str:
    return " ".join(fault["fault"])


def _left(fault: dict[str, Any]) -> str:
    until = fault["until"]
    return "until cleared" if until is None else f"{max(0.0, until - time.time()):.1f} s"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
