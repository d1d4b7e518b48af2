"""`netlab trace`: run a scenario, capture what crosses the lab, and say what the packets show."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from netlab.errors import InputError
from netlab.model.find import find

if TYPE_CHECKING:
    from netlab.model.roles import HttpVersion
    from netlab.scenarios.scenario import TlsChoice


def command(  # noqa: PLR0913, PLR0917 - one parameter per option is how typer has them
    scenario: Annotated[str, typer.Argument(help="Which; --list names them.", metavar="SCENARIO")] = "",
    topology: Annotated[
        str,
        typer.Option(help="A topology file, or the name of a shipped one (the scenario's).", metavar="FILE"),
    ] = "",
    http: Annotated[
        str, typer.Option(help="Only these versions of HTTP: 1.1, 2, 3.", metavar="VERSIONS")
    ] = "",
    tls: Annotated[
        str, typer.Option(help="Only these ways of TLS: 1.2, 1.3, resumed, 0rtt.", metavar="WAYS")
    ] = "",
    repeat: Annotated[
        int, typer.Option(help="How often each measurement is made (the scenario's choice: 0).", min=0)
    ] = 0,
    lab: Annotated[
        str, typer.Option(help="The lab's name (the topology's, if not given).", metavar="NAME")
    ] = "",
    out: Annotated[
        Path | None, typer.Option(help="The run directory (new; ./runs/… if not given).", metavar="DIR")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the lab up that this brings up.")] = False,
    known: Annotated[bool, typer.Option("--list", help="Name the scenarios, and end.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print data instead of text.")] = False,
) -> None:
    """Run a scenario in a lab, capture its interfaces, and show what the packets say of the guide's claims.

    The lab is brought up if it isn't, and then taken down in the end.

    Exit codes: 0 done, even if claims of the guide are refuted; 1 a request
    failed; 2 bad input; 3 the machine lacks something.
    """
    from netlab.cli.report import show
    from netlab.scenarios import outcome
    from netlab.scenarios.catalogue import SCENARIOS
    from netlab.scenarios.running import run
    from netlab.scenarios.scenario import HTTP_CHOICES, TLS_CHOICES, Options, choice

    if known:
        _list({one.name: one.summary for one in SCENARIOS.values()}, json=json)
        return
    if not scenario:
        raise InputError("which scenario?", f"one of {', '.join(SCENARIOS)}")
    wanted = outcome.scenario(scenario)
    options = Options(
        find(topology or wanted.topology),
        lab,
        out,
        keep,
        cast("tuple[HttpVersion, ...]", choice(http, "--http", HTTP_CHOICES)),
        cast("tuple[TlsChoice, ...]", choice(tls, "--tls", TLS_CHOICES)),
        repeat,
    )
    show(run(wanted, options, _say), json=json)


def _list(scenarios: dict[str, str], *, json: bool) -> None:
    if json:
        import json as jsonlib

        typer.echo(jsonlib.dumps(scenarios, indent=2))
        return
    width = max(map(len, scenarios))
    for name, summary in scenarios.items():
        typer.echo(f"{name:{width}}  {summary}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
