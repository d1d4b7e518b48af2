"""Roles' event pipes: cut anywhere, with garbage, endless; and who wrote what."""

from __future__ import annotations

import pytest

from netlab.lab import events
from netlab.lab.events import EventStream
from netlab.model.event import Event

NOW_NS = 5
READY = Event(1, "a", "app", "ready", data={"port": 80})
QUERY = Event(2, "a", "app", "sql-query", data={"sql": "select 'ü'"})


def received(pieces: list[bytes]) -> list[Event]:
    stream = EventStream("a", "app")
    return [event for piece in (*pieces, b"") for event in stream.receive(piece, NOW_NS)]


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_lines_in_pieces_of_any_size(size: int) -> None:
    data = f"{READY.to_line()}\n{QUERY.to_line()}\n".encode()
    assert received([data[i : i + size] for i in range(0, len(data), size)]) == [READY, QUERY]


def test_a_last_line_without_newline() -> None:
    assert received([READY.to_line().encode()]) == [READY]


def test_garbage_is_recorded_and_the_rest_is_heard() -> None:
    garbage, ready = received([b"\xff\xfe not json\n\n" + READY.to_line().encode() + b"\n"])
    assert (garbage.event, garbage.node, garbage.role, garbage.time_ns) == ("error", "a", "app", NOW_NS)
    assert garbage.data["cause"]
    assert ready == READY


@pytest.mark.parametrize("line", [b"[]", b"1", b"{}", b'{"time_ns": "x"}', b'{"flow": 1}', b"null"])
def test_json_that_is_no_event(line: bytes) -> None:
    assert [event.event for event in received([line + b"\n"])] == ["error"]


def test_a_role_cannot_speak_for_another() -> None:
    forged = Event(1, "b", "database", "ready").to_line().encode() + b"\n"
    assert received([forged]) == [Event(1, "a", "app", "ready")]


def test_an_endless_line_is_dropped_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_LINE", 100)
    error, ready = received([b"x" * 80] * 5 + [b"y\n" + READY.to_line().encode() + b"\n"])
    assert error.data["cause"] == "an event of more than 100 bytes: dropped"
    assert ready == READY


def test_a_flood_is_cut_off_once(monkeypatch: pytest.MonkeyPatch) -> None:
    line = READY.to_line().encode() + b"\n"
    monkeypatch.setattr(events, "MAX_ROLE", 3 * len(line))
    found = received([line] * 10)
    assert [event.event for event in found] == ["ready"] * 3 + ["error"]
