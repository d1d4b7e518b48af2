"""Requests to the relay: what they change, and what is refused."""

from __future__ import annotations

import pytest

from netlab.errors import InputError
from netlab.model.impairment import Impairment
from netlab.wire.control import Requests, changed
from netlab.wire.engine import Machine

MS = 1_000_000


def requests() -> tuple[Requests, Machine, Machine]:
    up = Machine(Impairment(delay_ns=10 * MS), "up")
    down = Machine(Impairment(delay_ns=20 * MS), "down")
    return Requests({"a--b": (up, down)}, lambda: 3, lambda: 2), up, down


def test_stats_name_every_link_and_direction() -> None:
    asked, up, _ = requests()
    up.arrive(100, 0)
    up.released(100, 0, 0)
    answer = asked.reply(b'{"op": "stats"}')["ok"]
    assert (answer["unable"], answer["in_flight"]) == (3, 2)
    zero = {"frames": 0, "bytes": 0, "lost": 0, "overlimit": 0, "late": 0, "unable": 0}
    assert answer["links"] == {"a--b": {"up": zero | {"frames": 1, "bytes": 100}, "down": zero}}


def test_set_changes_only_what_it_names() -> None:
    asked, up, down = requests()
    answer = asked.reply(b'{"op": "set", "link": "a--b", "up": {"loss": 0.01}}')
    assert up.impairment == Impairment(delay_ns=10 * MS, loss=0.01)
    assert down.impairment == Impairment(delay_ns=20 * MS)
    assert answer["ok"]["up"]["loss"] == 0.01


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        (b"{", "Expecting"),
        (b"[]", "unknown request"),
        (b'{"op": "dance"}', "unknown request"),
        (b'{"op": "set", "link": "x--y"}', "no link 'x--y'"),
        (b'{"op": "set", "link": "a--b", "sideways": {}}', "no direction 'sideways'"),
        (b'{"op": "set", "link": "a--b", "up": 3}', "an impairment is an object"),
        (b'{"op": "set", "link": "a--b", "up": {"dealy_ns": 1}}', "unknown impairment 'dealy_ns'"),
        (b'{"op": "set", "link": "a--b", "up": {"delay_ns": -1}}', "delay_ns is a number"),
        (b'{"op": "set", "link": "a--b", "up": {"delay_ns": 1.5}}', "delay_ns is a number"),
        (b'{"op": "set", "link": "a--b", "up": {"delay_ns": true}}', "delay_ns is a number"),
        (b'{"op": "set", "link": "a--b", "up": {"loss": 1.5}}', "loss is a probability"),
        (b'{"op": "set", "link": "a--b", "up": {"loss": NaN}}', "loss is a probability"),
        (b"\xff", "utf-8"),
    ],
)
def test_a_wrong_request_is_answered_and_changes_nothing(line: bytes, cause: str) -> None:
    asked, up, down = requests()
    answer = asked.reply(line)
    assert cause in answer["error"]["cause"], answer
    assert (up.impairment.delay_ns, down.impairment.delay_ns) == (10 * MS, 20 * MS)


def test_a_wrong_direction_leaves_the_other_as_it_was() -> None:
    asked, up, _ = requests()
    asked.reply(b'{"op": "set", "link": "a--b", "up": {"delay_ns": 5}, "down": {"loss": 2}}')
    assert up.impairment.delay_ns == 10 * MS


def test_an_unknown_impairment_says_which_are_known() -> None:
    with pytest.raises(InputError) as raised:
        changed(Impairment(), {"speed": 3})
    assert "rate_bps" in raised.value.remedy
