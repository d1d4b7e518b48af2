"""`netlab trace`: run a scenario and follow its request at every hop."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from netlab.errors import InputError
from netlab.model.find import find
from netlab.model.suggest import nearest


def command(
    scenario: Annotated[str, typer.Argument(help="What to trace: rest.", metavar="SCENARIO")],
    topology: Annotated[
        str, typer.Option(help="A topology file, or the name of a shipped one.", metavar="FILE")
    ] = "internet",
    lab: Annotated[
        str, typer.Option(help="The lab's name (the topology's, if not given).", metavar="NAME")
    ] = "",
    out: Annotated[
        Path | None, typer.Option(help="The run directory (new; ./runs/… if not given).", metavar="DIR")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the lab up that this brings up.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print data instead of text.")] = False,
) -> None:
    """Run a scenario in a lab, capture every interface, and show its requests hop by hop.

    SCENARIO rest asks for user 42: straight from the origin, through the CDN with its cache empty, and
    once more from the cache. The lab is brought up if it isn't, and then taken down in the end.

    Exit codes: 0 done, even if claims of the guide are refuted; 1 a request
    failed; 2 bad input; 3 the machine lacks something.
    """
    from netlab.cli.report import show
    from netlab.scenarios.outcome import RULES
    from netlab.scenarios.rest import Options, rest

    if scenario not in RULES:
        raise InputError(f"no scenario {scenario!r}", nearest(scenario, RULES, "scenarios"))
    found = rest(Options(find(topology), lab, out, keep), _say)
    show(found, json=json)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
