"""Traces and flaps, on a loop whose time is passed by hand and links that only remember."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any, cast

import pytest

from netlab.errors import InputError, LabError
from netlab.lab.flapping import Flapper
from netlab.lab.links import Done, Links
from netlab.lab.live_link import LiveLink
from netlab.lab.loop import Loop
from netlab.lab.playing import Score, play, score_of, stop_playing
from netlab.model.impairment import Impairment
from netlab.model.topology import Endpoint, Link

MS = 1_000_000


class Clock:
    """Stands for the loop and for `time`."""

    def __init__(self) -> None:
        self.now = 100.0
        self._timers: list[tuple[float, int, Callable[[], object]]] = []
        self._serial = 0

    def after(self, delay_s: float, callback: Callable[[], object]) -> None:
        self._serial += 1
        heapq.heappush(self._timers, (self.now + delay_s, self._serial, callback))

    def monotonic(self) -> float:
        return self.now

    def monotonic_ns(self) -> int:
        return round(self.now * 1e9)

    def pass_(self, seconds: float) -> None:
        end = self.now + seconds
        while self._timers and self._timers[0][0] <= end + 1e-9:
            moment, _, callback = heapq.heappop(self._timers)
            self.now = max(self.now, moment)
            callback()
        self.now = end


class Changes:
    """Stands for `Links`."""

    def __init__(self) -> None:
        self.made: list[tuple[str, ...]] = []
        self.states: list[str] = []
        self.refuse = False

    def change(self, link: LiveLink, wanted: dict[str, Impairment], done: Done) -> None:
        if self.refuse:
            done(LabError("no"))
            return
        link.now.update(wanted)
        self.made.append(tuple(f"{way} {one.delay_ns // MS} {one.loss:g}" for way, one in wanted.items()))
        done(None)

    def take_down(self, _link: LiveLink, _near: str, done: Done) -> None:
        self.states.append("down")
        done(None)

    def bring_up(self, _link: LiveLink, done: Done) -> None:
        self.states.append("up")
        done(None)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("netlab.lab.playing.time", clock)
    monkeypatch.setattr("netlab.lab.flapping.time", clock)
    return clock


@pytest.fixture
def link() -> LiveLink:
    ends = (Endpoint(node="a", interface="x"), Endpoint(node="b", interface="y"))
    given = {"up": Impairment(delay_ns=5 * MS), "down": Impairment(delay_ns=6 * MS)}
    return LiveLink(Link(ends=ends), "wire", given)


def score(*, period_ms: int = 60_000, repeat: bool = False) -> Score:
    steps = ((0, {"delay_ns": 10 * MS}), (100 * MS, {"loss": 0.5}), (200 * MS, {"delay_ns": 30 * MS}))
    return Score("x.csv", steps, period_ms * MS, repeat)


def begin(clock: Clock, changes: Changes, link: LiveLink, ways: tuple[str, ...], one: Score) -> list[object]:
    heard: list[object] = []
    play(cast("Links", changes), cast("Loop", clock), link, ways, one, heard.append)
    return heard


def test_steps_come_in_time(clock: Clock, link: LiveLink) -> None:
    changes = Changes()
    assert begin(clock, changes, link, ("up",), score()) == [None]
    assert changes.made == [("up 10 0",)]
    clock.pass_(0.09)
    assert len(changes.made) == 1
    clock.pass_(0.02)
    clock.pass_(10)
    assert changes.made == [("up 10 0",), ("up 10 0.5",), ("up 30 0.5",)]
    assert "up" in link.players
    assert link.players["up"].to_json()["step"] == 3
    heard: list[object] = []
    stop_playing(link, ("up",), heard.append)
    assert heard == [None]
    assert changes.made[-1] == ("up 5 0",)
    assert not link.players


def test_a_period_ends_it(clock: Clock, link: LiveLink) -> None:
    changes = Changes()
    begin(clock, changes, link, ("up", "down"), score(period_ms=250))
    clock.pass_(0.26)
    assert changes.made[-4:] == [("up 30 0.5",), ("down 30 0.5",), ("up 5 0",), ("down 6 0",)]
    assert not link.players
    clock.pass_(10)
    assert len(changes.made) == 8


def test_a_loop_begins_again_and_keeps_its_pace(clock: Clock, link: LiveLink) -> None:
    changes = Changes()
    begin(clock, changes, link, ("up",), score(period_ms=250, repeat=True))
    clock.pass_(0.251)
    assert changes.made[3] == ("up 10 0",), "the loss of the first round is taken back"
    clock.pass_(25 - 0.251 + 0.001)
    assert len(changes.made) == 301


def test_missed_steps_count_with_the_last_of_them(clock: Clock, link: LiveLink) -> None:
    changes = Changes()
    begin(clock, changes, link, ("up",), score())
    clock.now += 0.3  # the loop was busy
    clock.pass_(0)
    assert changes.made == [("up 10 0",), ("up 30 0.5",)]


def test_another_trace_takes_its_place_in_its_direction(clock: Clock, link: LiveLink) -> None:
    changes = Changes()
    begin(
        clock,
        changes,
        link,
        ("up", "down"),
        Score("y.csv", ((0, {"delay_ns": 80 * MS}),), 60_000 * MS, False),
    )
    heard = begin(
        clock, changes, link, ("down",), Score("z.csv", ((0, {"delay_ns": 90 * MS}),), 60_000 * MS, False)
    )
    clock.pass_(5)
    assert heard == [None]
    assert changes.made == [("up 80 0",), ("down 80 0",), ("down 6 0",), ("down 90 0",)]
    assert {way: player.score.title for way, player in link.players.items()} == {
        "up": "y.csv",
        "down": "z.csv",
    }


def test_a_refused_step_stops_it_and_is_told(clock: Clock, link: LiveLink) -> None:
    changes = Changes()
    begin(clock, changes, link, ("up",), score())
    changes.refuse = True
    clock.pass_(5)
    assert "up" in link.players
    assert link.players["up"].to_json()["error"] == "no"


@pytest.mark.parametrize(
    "document",
    [
        {"steps": [], "period_ns": 1, "repeat": False},
        {"steps": [[5, {}]], "period_ns": 4, "repeat": False},
        {"steps": [[5, {}]], "period_ns": 5, "repeat": True},
    ],
)
def test_nothing_to_play(document: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        score_of({"title": "x", **document})


def test_unknown_fields_are_refused_before_anything_changes(clock: Clock, link: LiveLink) -> None:
    changes = Changes()
    with pytest.raises(TypeError):
        begin(clock, changes, link, ("up",), Score("x", ((0, {}), (5, {"dely": 1})), 9, False))
    assert changes.made == []


def flapper(clock: Clock, changes: Changes, link: LiveLink, count: int) -> tuple[Flapper, list[object]]:
    heard: list[object] = []
    made = Flapper(
        cast("Links", changes), cast("Loop", clock), link, "a", 5.0, 1.0, count, heard.append, heard.append
    )
    made.start()
    return made, heard


def test_a_flap_keeps_its_pace(clock: Clock, link: LiveLink) -> None:
    changes = Changes()
    _, heard = flapper(clock, changes, link, 2)
    assert changes.states == ["down"]
    clock.pass_(0.99)
    assert changes.states == ["down"]
    clock.pass_(0.02)
    assert changes.states == ["down", "up"]
    clock.pass_(3.98)
    assert changes.states == ["down", "up"]
    clock.pass_(0.02)
    clock.pass_(100)
    assert changes.states == ["down", "up", "down", "up"]
    assert heard == [1, 2, None]


def test_a_flap_that_is_stopped_brings_the_link_up(clock: Clock, link: LiveLink) -> None:
    changes = Changes()
    made, _ = flapper(clock, changes, link, 0)
    clock.pass_(50.5)
    assert changes.states[-1] == "down"
    made.stop()
    assert changes.states[-1] == "up"
    count = len(changes.states)
    clock.pass_(100)
    made.stop()
    assert len(changes.states) == count
