"""Extensible priorities (RFC 9218)."""

from __future__ import annotations

import pytest

from netlab.proto.http2_priority import DEFAULT, Priority, Turn, next_turn, parse_priority


@pytest.mark.parametrize(
    ("value", "priority"),
    [
        ("", DEFAULT),
        ("u=5, i", Priority(5, True)),
        ("i=?0,u=0", Priority(0, False)),
        ("i=?1;x=y", Priority(3, True)),
        ("u=8", DEFAULT),
        ("u=-1, i=2", DEFAULT),
        ("u=1, u=2", Priority(2, False)),
        ("rubbish ,,= , u", DEFAULT),
        ('a="u=1, i", u=4', Priority(4, False)),
    ],
)
def test_parse(value: str, priority: Priority) -> None:
    assert parse_priority(value) == priority


def served(turns: list[Turn], count: int) -> list[int]:
    """The streams that get the next `count` turns."""
    found = []
    for number in range(1, count + 1):
        turn = next_turn(turns)
        assert turn is not None
        turn.served = number
        found.append(turn.stream)
    return found


def test_the_most_urgent_come_first_in_their_order() -> None:
    turns = [Turn(1, Priority(5)), Turn(9, Priority(2)), Turn(5, Priority(2)), Turn(3, Priority(7))]
    assert served(turns, 2) == [5, 5]


def test_incremental_ones_take_turns() -> None:
    turns = [Turn(stream, Priority(3, True)) for stream in (1, 3, 5)]
    assert served(turns, 6) == [1, 3, 5, 1, 3, 5]


def test_the_first_whole_one_shares_with_incremental_ones() -> None:
    turns = [Turn(1, Priority(3)), Turn(3, Priority(3)), Turn(5, Priority(3, True))]
    assert served(turns, 4) == [1, 5, 1, 5]


def test_nobody_waits() -> None:
    assert next_turn([]) is None
