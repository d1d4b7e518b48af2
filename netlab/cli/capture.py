"""Capture what crosses the interfaces of a running lab.

Files are pcapng, decrypted as they open: one per interface in hops/, and trace.pcapng with all of them.
"""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import Annotated

import typer

LabName = Annotated[str, typer.Option("--lab", help="The lab; else the only one.")]


def start(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the files go; made if missing.")],
    on: Annotated[
        list[str] | None,
        typer.Option(
            "--on", metavar="PATTERN", help="Node or node:interface, with * and ?; often. Else every one."
        ),
    ] = None,
    expression: Annotated[
        str, typer.Option("--filter", metavar="EXPR", help="Packets to keep (pcap-filter(7)).")
    ] = "",
    snaplen: Annotated[int, typer.Option(min=0, help="Bytes kept of each packet; 0: all.")] = 0,
    lab: LabName = "",
) -> None:
    """Start a capture, and return when it records. Several may run side by side."""
    from netlab.errors import InputError
    from netlab.lab.client import LabClient

    client = LabClient.connect(lab)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{out}: {error.strerror}", "give a directory that can be written (--out)"
        ) from error
    begun = client.start_capture(out, on or [], expression, snaplen)
    count = len(begun["interfaces"])
    typer.echo(f"capture {begun['id']}: {count} interface{'s' if count != 1 else ''} into {out}")


def stop(
    number: Annotated[
        int | None, typer.Argument(metavar="[ID]", help="The capture; else the only one.")
    ] = None,
    lab: LabName = "",
) -> None:
    """Stop a capture and assemble its files.

    Exit 1 where its recorder had died; what it left is assembled then too.
    """
    from netlab.lab.client import LabClient
    from netlab.scenarios.capturing import gather

    client = LabClient.connect(lab)
    ended = client.end_capture(number)
    summary = gather(client, ended)
    drops = f"{summary.dropped} dropped" if ended["counts"] is not None else "drops unknown"
    typer.echo(f"capture {ended['id']}: {summary.packets} packets, {drops}: {summary.files[0]}")
    if ended["counts"] is None:
        typer.echo(f"netlab: the recorder failed before the stop: {ended['cause']}", err=True)
        raise typer.Exit(1)


def listed(
    lab: LabName = "", json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """List the captures that run."""
    from netlab.cli.lab_table import show_table
    from netlab.lab.client import LabClient

    found = LabClient.connect(lab).captures()
    if json:
        typer.echo(dumps({"captures": found}, indent=2))
        return
    rows = [
        (str(one["id"]), one["state"], str(len(one["interfaces"])), one["filter"], one["directory"])
        for one in found
    ]
    show_table(("ID", "STATE", "INTERFACES", "FILTER", "DIRECTORY"), rows)


# In the order of `netlab capture --help`.
COMMANDS = {"start": start, "stop": stop, "list": listed}
