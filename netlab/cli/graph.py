"""`netlab graph`: draw a topology."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from netlab.model.find import find
from netlab.model.load import load
from netlab.plan.graph import dot, mermaid


def command(
    file: Annotated[str, typer.Argument(help="A topology file, or the name of a shipped one.")],
    format: Annotated[  # noqa: A002 - the option's name
        Literal["dot", "mermaid"], typer.Option(help="Graphviz or Mermaid.")
    ] = "dot",
) -> None:
    """Draw a topology as text: for Graphviz (`| dot -Tsvg > net.svg`), or for Mermaid in Markdown."""
    topology = load(find(file))
    typer.echo(dot(topology) if format == "dot" else mermaid(topology), nl=False)
