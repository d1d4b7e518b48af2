"""`netlab up`: bring a lab up."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer


def command(
    topology: Annotated[
        Path, typer.Argument(metavar="FILE", help="A topology file, or a shipped one's name.")
    ],
    name: Annotated[str | None, typer.Option(help="The lab's name; else the topology's.")] = None,
    seed: Annotated[int | None, typer.Option(help="For losses and jitter; else a new one.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the lab's status as JSON.")] = False,
) -> None:
    """Bring a lab up: make its network, start its roles, and return when all are ready."""
    from netlab.lab.up import up
    from netlab.model.find import find

    with Progress() as progress:
        lab = up(
            find(str(topology)),
            name,
            seed=seed,
            progress=progress,
            warn=lambda warning: typer.echo(f"warning: {warning}", err=True),
        )
    status = lab.status()
    if json:
        from json import dumps

        typer.echo(dumps(status, indent=2))
    else:
        from netlab.cli.lab_table import show_nodes

        show_nodes(status)
        typer.echo(_next(status), err=True)


def _next(status: dict[str, Any]) -> str:
    node = status["nodes"][0]["node"] if status["nodes"] else "NODE"
    lab = status["name"]
    return f"lab {lab} is up; try: netlab shell {node} --lab {lab}, and at the end: netlab down {lab}"


class Progress:
    """One line per step on stderr: rewritten in place on a terminal, once per step elsewhere."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._step = ""
        self._shown = False

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._terminal and self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def __call__(self, what: str, done: int, total: int) -> None:
        if self._terminal:
            self._shown = True
            sys.stderr.write(f"\r\x1b[K{what}: {done} of {total}")
        elif done == total and what != self._step:
            self._step = what
            sys.stderr.write(f"{what}: {total} of {total}\n")
        sys.stderr.flush()
