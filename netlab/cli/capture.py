"""Capture what crosses the interfaces of a running lab.

Files are pcapng, decrypted as they open: one per interface in hops/, and trace.pcapng with all of them.
"""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import Annotated

import typer

LabName = Annotated[str, typer.Option("--lab", help="The lab; else the only one.")]
Patterns = Annotated[
    list[str] | None,
    typer.Option(
        "--on",
        metavar="PATTERN,…",
        help="Nodes or node:interfaces, with * and ?, and commas between them. Else every interface.",
    ),
]
Expression = Annotated[
    str, typer.Option("--filter", metavar="EXPR", help="Packets to keep (pcap-filter(7)).")
]
Snaplen = Annotated[int, typer.Option(min=0, help="Bytes kept of each packet; 0: all.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def start(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the files go; new, or empty.")],
    on: Patterns = None,
    expression: Expression = "",
    snaplen: Snaplen = 0,
    ring: Annotated[
        str,
        typer.Option(
            metavar="SIZE×COUNT", help="Keep of each interface the newest COUNT files of SIZE: 100MB×10."
        ),
    ] = "",
    lab: LabName = "",
) -> None:
    """Start a capture, and return when it records. Several may run side by side."""
    from netlab.lab.client import LabClient
    from netlab.scenarios.capturing import begin

    begun = begin(LabClient.connect(lab), out, on or [], expression, snaplen, ring)
    count = len(begun["interfaces"])
    typer.echo(f"capture {begun['id']}: {count} interface{'s' if count != 1 else ''} into {out}")


def stop(
    number: Annotated[
        int | None, typer.Argument(metavar="[ID]", help="The capture; else the only one.")
    ] = None,
    lab: LabName = "",
    json: Json = False,
) -> None:
    """Stop a capture and assemble its files.

    Exit 1 where its recorder had died; what it left is assembled then too.
    """
    from netlab.lab.client import LabClient
    from netlab.scenarios.capturing import document, end

    ended, summary = end(LabClient.connect(lab), number)
    if json:
        typer.echo(dumps(document(ended, summary), indent=2, ensure_ascii=False))
    else:
        drops = f"{summary.dropped} dropped" if ended["counts"] is not None else "drops unknown"
        typer.echo(f"capture {ended['id']}: {summary.packets} packets, {drops}: {summary.files[0]}")
        for one in summary.interfaces:
            if one.missing:
                missing = f"{one.missing} packets of the first {one.missing_s:.3f} s"
                typer.echo(f"{one.node}:{one.interface}: the ring gave up {missing}")
    if ended["counts"] is None:
        typer.echo(f"netlab: the recorder failed before the stop: {ended['cause']}", err=True)
        raise typer.Exit(1)


def live(on: Patterns = None, expression: Expression = "", snaplen: Snaplen = 0, lab: LabName = "") -> None:
    """Capture to standard output, as pcapng, while it happens: netlab capture live | wireshark -k -i -

    Ends with Ctrl-C, with the lab, and when nobody reads any more.
    """
    import sys

    from netlab.lab.client import LabClient
    from netlab.scenarios.capturing import stream

    client = LabClient.connect(lab)
    stream(
        client, sys.stdout.fileno(), on or [], expression, snaplen, lambda text: typer.echo(text, err=True)
    )


def listed(lab: LabName = "", json: Json = False) -> None:
    """List the captures that run."""
    from netlab.cli.lab_table import show_table
    from netlab.lab.client import LabClient

    found = LabClient.connect(lab).captures()
    if json:
        typer.echo(dumps({"captures": found}, indent=2))
        return
    rows = [
        (str(one["id"]), one["state"], str(len(one["interfaces"])), one["filter"], one["directory"] or "live")
        for one in found
    ]
    show_table(("ID", "STATE", "INTERFACES", "FILTER", "DIRECTORY"), rows)


# In the order of `netlab capture --help`.
COMMANDS = {"start": start, "stop": stop, "live": live, "list": listed}
