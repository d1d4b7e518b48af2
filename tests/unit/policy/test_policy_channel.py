"""A channel's messages and its history."""

from __future__ import annotations

import pytest

from netlab.policy.channel import MAX_TEXT, ChannelMessage, History, flaw


def message(number: int, text: str = "x") -> ChannelMessage:
    return ChannelMessage(number, 1, text)


def ids(history: History, since: int) -> list[int]:
    return [one.id for one in history.since(since)]


def test_what_came_since() -> None:
    history = History()
    for number in (5, 6, 9):
        assert history.add(message(number))
    assert ids(history, 0) == [5, 6, 9]
    assert ids(history, 6) == [9]
    assert ids(history, 9) == ids(history, 99) == []
    assert history.last_id == 9


def test_a_message_twice_is_kept_once() -> None:
    history = History()
    assert history.add(message(5))
    assert not history.add(message(5))
    assert not history.add(message(4))
    assert ids(history, 0) == [5]


def test_the_history_is_bounded_by_number_and_by_size() -> None:
    few, small = History(kept=3), History(kept_bytes=10)
    for number in range(1, 11):
        few.add(message(number))
        small.add(message(number, "ääää"))
    assert ids(few, 0) == [8, 9, 10]
    assert ids(small, 0) == [10]
    small.add(message(11, "longer than all that may be kept"))
    assert ids(small, 0) == [11]


def test_json_both_ways() -> None:
    one = ChannelMessage(7, 8, 'Grüße "…"\n')
    assert ChannelMessage.from_json(one.to_json()) == one
    for bad in ("[]", "{}", "nonsense", '{"id": null, "sent_ns": 1, "text": ""}'):
        with pytest.raises(ValueError):
            ChannelMessage.from_json(bad)


@pytest.mark.parametrize("data", [b"\xff", b"a\0b", bytes(MAX_TEXT + 1)])
def test_what_can_be_no_message(data: bytes) -> None:
    assert flaw(data)


def test_what_can() -> None:
    assert flaw("日本".encode()) == flaw(b"") == flaw(b"a" * MAX_TEXT) == ""
