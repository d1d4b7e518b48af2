"""`netlab link` without a lab: its verbs, and its table."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.cli.app import main
from netlab.cli.lab_table import show_nodes
from netlab.cli.link import COMMANDS
from netlab.cli.link_table import show_links


def test_a_verb_with_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["link", "--help"]) == 0
    out = capsys.readouterr().out
    assert [verb for verb in COMMANDS if f"  {verb} " not in out] == []
    assert "..." not in out.partition("Commands:")[2], "the first sentences are short enough to be whole"
    assert main(["link", "sett"]) == 2
    assert "Did you mean 'set'?" in capsys.readouterr().err
    assert main(["link", "set", "a"]) == 2
    assert "NAME=VALUE" in capsys.readouterr().err


def direction(sender: str, **counters: int) -> dict[str, Any]:
    return {"from": sender, "words": "delay 1ms", "counters": counters}


def test_a_line_per_direction(capsys: pytest.CaptureFixture[str]) -> None:
    link = {"name": "a:x--b:y", "ends": ["a:x", "b:y"], "medium": "dsl", "state": "up", "playing": {}}
    link["middle"] = ["n0a", "n0b"]
    relayed = direction("a:x", frames=7, bytes=8, lost=1, overlimit=2, late=3, unable=4)
    show_links([{**link, "backend": "wire", "up": relayed, "down": direction("b:y")}])
    _, *rows = capsys.readouterr().out.splitlines()
    assert [row.split() for row in rows] == [
        ["a:x", "b:y", "dsl", "wire", "up", "delay", "1ms", "7", "1", "2", "3", "4"],
        ["b:y", "a:x", "dsl", "wire", "up", "delay", "1ms", *"-----"],
    ]
    played = {"title": "x.csv", "step": 1, "steps": 9, "repeat": True, "error": ""}
    broken = played | {"error": "no relay"}
    netem = direction("a:x", frames=7, bytes=8, dropped=5)
    link["playing"] = {"up": played, "down": broken}
    show_links([{**link, "backend": "netem", "up": netem, "down": netem}])
    caught = capsys.readouterr()
    assert caught.out.splitlines()[1].split()[-5:] == ["7", "5", "-", "-", "-"]
    assert caught.err.splitlines() == [
        "a:x--b:y up plays x.csv: step 1 of 9, over and over",
        "a:x--b:y down stopped playing x.csv: no relay",
    ]


def test_rare_counters_and_a_link_that_began_as_a_plain_one(capsys: pytest.CaptureFixture[str]) -> None:
    link = {"name": "a:x--b:y", "ends": ["a:x", "b:y"], "medium": "dsl", "state": "up", "playing": {}}
    ways = {"up": direction("a:x", marked=2, corrupted=0), "down": direction("b:y")}
    show_links([{**link, **ways, "backend": "netem", "middle": []}])
    caught = capsys.readouterr()
    heads, *rows = caught.out.splitlines()
    assert heads.split()[-2:] == ["UNABLE", "MARKED"]
    assert [row.split()[-1] for row in rows] == ["2", "-"]
    assert "captures see its frames after the delay" in caught.err


def test_ps_says_what_is_wrong_with_links(capsys: pytest.CaptureFixture[str]) -> None:
    status: dict[str, Any] = {"nodes": [], "processes": [], "faults": []}
    status |= {"events_lost": 0, "relay_restarts": 0}
    good = {"links": [{"name": "a--b", "state": "up"}], "relay": {"late": 0, "unable": 0}}
    show_nodes(status | good)
    assert capsys.readouterr().err == ""
    bad = {"links": [{"name": "a--b", "state": "down"}], "relay": {"late": 12, "unable": 3}}
    show_nodes(status | bad)
    assert capsys.readouterr().err.splitlines() == [
        "link a--b: down",
        "the relay did not keep up: 12 frames more than 1 ms late, 3 lost by it",
    ]
