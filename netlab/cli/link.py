"""Show and change links of a running lab.

END is one end of a link, `node:interface`, or a node that has only one link.
"""

from __future__ import annotations

import sys
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from netlab.lab.link_client import LinkClient

End = Annotated[str, typer.Argument(metavar="END", help="The link that ends here: node:interface.")]
LabName = Annotated[str, typer.Option("--lab", help="The lab; else the only one.")]
Direction = Annotated[
    Literal["up", "down", "both"],
    typer.Option(help="up is from the first end that the topology names to the second."),
]


def show(
    ends: Annotated[list[str] | None, typer.Argument(metavar="[END]…", help="Else every link.")] = None,
    lab: LabName = "",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show links: a line per direction.

    It has what is in force now, and what was carried, lost, and dropped by a full queue (overlimit); for
    relayed links also what left more than 1 ms late and what the relay could not carry. netem counts
    lost frames and those that found the queue full as one.
    """
    from netlab.lab.client import LabClient
    from netlab.lab.link_client import show_links

    documents = show_links(LabClient.connect(lab), ends or [])
    if json:
        typer.echo(dumps({"links": documents}, indent=2))
    else:
        _print(documents)


def change(
    end: End,
    words: Annotated[list[str], typer.Argument(metavar="NAME=VALUE…", help="delay=80ms loss=1%, …")],
    direction: Direction = "both",
    lab: LabName = "",
) -> None:
    """Change what a link does to frames.

    To those that come from now on, by words of tc-netem's vocabulary; what isn't named stays as it is.
    """
    _print([_link(lab, end).set(*words, direction=direction)])


def down(end: End, lab: LabName = "") -> None:
    """Pull a link's cable.

    Both ends lose their carrier, and frames under way are lost.
    """
    _print([_link(lab, end).down()])


def up(end: End, lab: LabName = "") -> None:
    """Plug a link's cable in again."""
    _print([_link(lab, end).up()])


def flap(
    end: End,
    every: Annotated[str, typer.Option(metavar="TIME", help="The period, such as 5s.")],
    for_: Annotated[str, typer.Option("--for", metavar="TIME", help="How long it is down in each.")],
    count: Annotated[int, typer.Option(min=0, help="How often; 0: until Ctrl-C.")] = 0,
    lab: LabName = "",
) -> None:
    """Pull a link's cable again and again.

    It is plugged in when this ends, also by Ctrl-C.
    """
    link = _link(lab, end)
    every_s, for_s = _seconds(every), _seconds(for_)
    shown = link.flap(every_s, for_s, count, lambda number: _say(f"down {number}"))
    _print([shown])


def play(
    end: End,
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="A mahimahi trace, or CSV with time and values.")
    ] = None,
    direction: Direction = "both",
    loop: Annotated[bool, typer.Option("--loop", help="Begin again at the end.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="End what is played.")] = False,
    lab: LabName = "",
) -> None:
    """Change a link as a trace file says.

    This returns when it has begun. When the trace ends, the link is what it was before, or it begins again
    (--loop). --stop and `link set` end it.
    """
    from netlab.errors import InputError

    link = _link(lab, end)
    if stop and file is None:
        _print([link.stop(direction)])
    elif file is not None and not stop:
        _print([link.play(file, direction, loop=loop)])
    else:
        raise InputError("give a FILE to play, or --stop", f"netlab link play {end} FILE")


# In the order of `netlab link --help`.
COMMANDS = {"show": show, "set": change, "down": down, "up": up, "flap": flap, "play": play}


def _link(lab: str, end: str) -> LinkClient:
    from netlab.lab.client import LabClient

    return LabClient.connect(lab).link(end)


def _seconds(text: str) -> float:
    from netlab.errors import InputError
    from netlab.model.units import duration_ns

    try:
        return duration_ns(text) / 1e9
    except ValueError as error:
        raise InputError(str(error)) from error


def _print(documents: list[dict[str, Any]]) -> None:
    from netlab.cli.link_table import show_links

    show_links(documents)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
