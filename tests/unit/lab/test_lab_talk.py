"""Asking another process of the lab: answers in order, an end at any time, and nonsense."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from netlab.lab.control import Lines, decode
from netlab.lab.loop import Loop
from netlab.lab.talk import Talk


class Pair:
    """Both ends, and what was answered."""

    def __init__(self, loop: Loop) -> None:
        ours, self.other = socket.socketpair()
        self.loop = loop
        self.answers: list[Any] = []
        self.talk = Talk("other", ours)
        self.talk.listen(loop)

    def ask(self, what: str) -> None:
        self.talk.ask({"op": what}, self.answers.append)

    def until(self, count: int) -> list[Any]:
        self.loop.until(lambda: len(self.answers) >= count, time.monotonic() + 5)
        return self.answers


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    for one in (made._selector, made._wake_in, made._wake_out):  # the supervisor's last as long as it does
        one.close()


@pytest.fixture
def pair(loop: Loop) -> Iterator[Pair]:
    made = Pair(loop)
    yield made
    made.talk.close()
    made.other.close()


def test_answers_come_in_the_order_of_the_questions(pair: Pair) -> None:
    pair.ask("one")
    pair.ask("two")
    lines = list(Lines().receive(pair.other.recv(4096)))
    assert [decode(line)["op"] for line in lines] == ["one", "two"]
    pair.other.sendall(b'{"ok":1}\n{"ok"')
    assert pair.until(1) == [{"ok": 1}]
    pair.other.sendall(b":2}\n")
    assert pair.until(2) == [{"ok": 1}, {"ok": 2}]


@pytest.mark.parametrize("last", [b"", b"nonsense\n", b"[]\n", b"{"])
def test_whoever_waits_hears_of_the_end(pair: Pair, last: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    pair.ask("one")
    pair.other.sendall(last)
    pair.other.close()
    assert pair.until(1) == [{"error": "it ended"}]
    pair.ask("two")
    assert pair.until(2)[1] == {"error": "it ended"}
    assert ("can't be read" in capsys.readouterr().err) == last.endswith(b"\n")


def test_closing_answers_who_waits_and_forgets_the_loop(pair: Pair) -> None:
    pair.ask("one")
    pair.talk.close()
    assert pair.answers == [{"error": "it ended"}]
    assert not pair.loop.until(lambda: False, time.monotonic() + 0.01)


def test_what_was_not_asked_for_is_said(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    pair.other.sendall(b'{"ok":1}\n')
    pair.loop.until(lambda: False, time.monotonic() + 0.05)
    assert "other said, unasked" in capsys.readouterr().err
