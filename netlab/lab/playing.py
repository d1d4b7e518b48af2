"""Plays a trace against a link: at each step's time, what the step says is in force."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from netlab.errors import InputError, NetlabError
from netlab.lab.links import Done, Links
from netlab.lab.live_link import LiveLink
from netlab.lab.loop import Loop
from netlab.model.impairment import Impairment, from_document

_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Score:
    """What is played: `steps` as (time in ns from the start, fields of Impairment that change then).

    Times don't go backwards, and a step's changes hold until another step changes the same field. It ends,
    or begins again, after `period_ns`. `title` is for people: a file's name.
    """

    title: str
    steps: tuple[tuple[int, dict[str, Any]], ...]
    period_ns: int
    repeat: bool

    def __post_init__(self) -> None:
        if not self.steps or self.steps[-1][0] >= self.period_ns:
            raise InputError(f"{self.title}: no steps to play, or some past its end")

    def changes_until(self, number: int) -> dict[str, Any]:
        """What is changed after the first `number` steps."""
        merged: dict[str, Any] = {}
        for _, changes in self.steps[:number]:
            merged |= changes
        return merged


def score_of(document: dict[str, Any]) -> Score:
    """From a request. Raises InputError, or KeyError, TypeError, ValueError where it is no such thing."""
    steps = tuple((int(at_ns), dict(changes)) for at_ns, changes in document["steps"])
    return Score(str(document["title"]), steps, int(document["period_ns"]), bool(document["repeat"]))


def with_changes(base: Impairment, changes: dict[str, Any]) -> Impairment:
    """Raises TypeError where a field is unknown."""
    return from_document(base.document() | changes)


@dataclass
class Player:
    """One score on one direction of a link. `error` says why it stopped by itself.

    At its end, and when it is stopped, the direction is what it was given to be.
    """

    link: LiveLink
    direction: str
    score: Score
    links: Links
    loop: Loop
    error: str = ""
    played: int = 0  # steps of this round
    _merged: dict[str, Any] = field(default_factory=dict)
    _started_ns: int = 0
    _ended: bool = False

    def start(self, done: Done) -> None:
        """`done` hears of the first step."""
        self._started_ns = time.monotonic_ns()
        self.link.players[self.direction] = self
        self._step(done)

    def stop(self, done: Done) -> None:
        """Take back what was changed."""
        self._ended = True
        if self.link.players.get(self.direction) is self:
            del self.link.players[self.direction]
        self.links.change(self.link, {self.direction: self.link.given[self.direction]}, done)

    def _turn(self) -> None:
        if not self._ended:
            self._step(_nobody)

    def _step(self, done: Done) -> None:
        """Put in force what is due by now: steps that were missed count with the last of them."""
        now_ns = time.monotonic_ns() - self._started_ns
        if now_ns >= self.score.period_ns:
            if not self.score.repeat:
                self.stop(done)
                return
            rounds = now_ns // self.score.period_ns
            self._started_ns += rounds * self.score.period_ns
            now_ns -= rounds * self.score.period_ns
            self.played, self._merged = 0, {}
        steps = self.score.steps
        while self.played < len(steps) and steps[self.played][0] <= now_ns:
            self._merged |= steps[self.played][1]
            self.played += 1
        wanted = with_changes(self.link.given[self.direction], self._merged)
        self.links.change(self.link, {self.direction: wanted}, lambda error: self._stepped(error, done))

    def _stepped(self, error: NetlabError | None, done: Done) -> None:
        """The next step waits for this one to be in force."""
        if error is not None:
            self._ended = True
            self.error = error.cause
        elif not self._ended:
            wait_ns = self._started_ns + self._next_ns() - time.monotonic_ns()
            self.loop.after(max(0, wait_ns) / _NS, self._turn)
        done(error)

    def _next_ns(self) -> int:
        """When something is to be done next."""
        steps = self.score.steps
        return steps[self.played][0] if self.played < len(steps) else self.score.period_ns

    def to_json(self) -> dict[str, Any]:
        return {
            "title": self.score.title,
            "repeat": self.score.repeat,
            "step": self.played,
            "steps": len(self.score.steps),
            "error": self.error,
        }


def play(
    links: Links, loop: Loop, link: LiveLink, directions: tuple[str, ...], score: Score, done: Done
) -> None:
    """Play instead of what these directions play now, if anything.

    Raises TypeError where a step has an unknown field.
    """
    for way in directions:
        with_changes(link.given[way], score.changes_until(len(score.steps)))

    def stopped(error: NetlabError | None) -> None:
        if error is not None:
            done(error)
            return
        started = _together(len(directions), done)
        for way in directions:
            Player(link, way, score, links, loop).start(started)

    stop_playing(link, directions, stopped)


def stop_playing(link: LiveLink, directions: Iterable[str], done: Done) -> None:
    """These directions are again what they were given to be; at once, where nothing is played."""
    players = [link.players[way] for way in directions if way in link.players]
    if not players:
        done(None)
    stopped = _together(len(players), done)
    for player in players:
        player.stop(stopped)


def play_from_the_start(links: Links, loop: Loop) -> None:
    """What the topology wants played, again and again. Where that fails, `link show` says so."""
    for link in links.all:
        for way, playback in link.link.playback.items():
            steps = tuple((step.at_ns, dict(step.changes)) for step in playback.steps)
            score = Score("the topology's trace", steps, playback.period_ns, repeat=True)
            play(links, loop, link, (way,), score, _nobody)


def _together(count: int, done: Done) -> Done:
    """To be called so many times; then `done` hears the first error, if there was one."""
    heard: list[NetlabError | None] = []

    def one(error: NetlabError | None) -> None:
        heard.append(error)
        if len(heard) == count:
            done(next((error for error in heard if error is not None), None))

    return one


def _nobody(_error: NetlabError | None) -> None:
    """A failure is in `Player.error`, too."""
