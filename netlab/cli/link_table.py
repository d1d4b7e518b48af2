"""Tables of links, as `netlab link` prints them."""

from __future__ import annotations

from typing import Any

import typer

from netlab.cli.lab_table import show_table

_COUNTERS = ("frames", "lost", "overlimit", "late", "unable")
_RARE = ("unplugged", "duplicated", "corrupted", "marked", "reordered")
_HEADS = ("FROM", "TO", "MEDIUM", "BACKEND", "STATE", "IMPAIRMENT")


def show_links(documents: list[dict[str, Any]]) -> None:
    """A line per direction; a counter that the backend doesn't have is a dash. Then what is played.

    Counters of what few links do have a column where one of them isn't zero.
    """
    ways = [(link, way) for link in documents for way in ("up", "down")]
    rare = [name for name in _RARE if any(link[way]["counters"].get(name) for link, way in ways)]
    counters = (*_COUNTERS, *rare)
    show_table((*_HEADS, *map(str.upper, counters)), [_row(link, way, counters) for link, way in ways])
    for link in documents:
        if link["backend"] == "netem" and not link["middle"]:
            where = "captures see its frames after the delay, since it began as a plain link"
            typer.echo(f"{link['name']}: {where}; try `backend: netem` in the topology", err=True)
        for way, playing in link["playing"].items():
            typer.echo(f"{link['name']} {way} {_played(playing)}", err=True)


def _row(link: dict[str, Any], way: str, shown: tuple[str, ...]) -> tuple[str, ...]:
    one = link[way]
    to = link["ends"][1 if way == "up" else 0]
    counters = {
        "lost": one["counters"].get("dropped", ""),
        **one["counters"],
    }  # netem doesn't tell them apart
    numbers = (str(counters.get(name, "")) for name in shown)
    return one["from"], to, link["medium"], link["backend"], link["state"], one["words"], *numbers


def _played(playing: dict[str, Any]) -> str:
    if playing["error"]:
        return f"stopped playing {playing['title']}: {playing['error']}"
    again = ", over and over" if playing["repeat"] else ""
    return f"plays {playing['title']}: step {playing['step']} of {playing['steps']}{again}"
