"""Requests to the relay: what they change, and what is refused."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest

from netlab.errors import InputError
from netlab.model.impairment import FourState, GilbertElliott, Impairment, Slot, from_document
from netlab.wire.control import Requests, changed
from netlab.wire.engine import Counters, Machine

MS = 1_000_000


def requests() -> tuple[Requests, Machine, Machine]:
    up = Machine(Impairment(delay_ns=10 * MS), "up")
    down = Machine(Impairment(delay_ns=20 * MS), "down")
    return Requests({"a--b": (up, down)}, lambda: 3, lambda: 2, lambda _name, _up: None), up, down


def test_stats_name_every_link_and_direction() -> None:
    asked, up, _ = requests()
    up.arrive(100, 0)
    up.released(100, 0, 0)
    answer = asked.reply(b'{"op": "stats"}')["ok"]
    assert (answer["unable"], answer["in_flight"]) == (3, 2)
    zero = dict.fromkeys((field.name for field in fields(Counters)), 0)
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
        (b'{"op": "set", "link": "a--b", "up": {"delay_ns": -1}}', "delay_ns is a whole number"),
        (b'{"op": "set", "link": "a--b", "up": {"delay_ns": 1.5}}', "delay_ns is a whole number"),
        (b'{"op": "set", "link": "a--b", "up": {"delay_ns": true}}', "delay_ns is a whole number"),
        (b'{"op": "set", "link": "a--b", "up": {"loss": 1.5}}', "loss is a probability"),
        (b'{"op": "set", "link": "a--b", "up": {"loss": NaN}}', "loss is a probability"),
        (b'{"op": "set", "link": "a--b", "up": {"corrupt_correlation": -0.1}}', "is a probability"),
        (b'{"op": "set", "link": "a--b", "up": {"distribution": "bell"}}', "unknown distribution 'bell'"),
        (b'{"op": "set", "link": "a--b", "up": {"loss_model": {"p": 2, "r": 1}}}', "p is a probability"),
        (b'{"op": "set", "link": "a--b", "up": {"loss_model": {"q": 1}}}', "unexpected keyword argument"),
        (b'{"op": "set", "link": "a--b", "up": {"table": [1, 2.5]}}', "a list of whole numbers"),
        (b'{"op": "set", "link": "a--b", "up": {"ecn": 1}}', "ecn is true or false"),
        (b'{"op": "set", "link": "a--b", "up": {"seed": "x"}}', "seed is a whole number or null"),
        (b'{"op": "set", "link": "a--b", "up": {"slot": 3}}', "slot is an object or null"),
        (b'{"op": "set", "link": "a--b", "up": {"cell_bytes": 5, "cell_overhead_bytes": -5}}', "a cell has"),
        (b'{"op": "carrier", "link": "x--y", "up": false}', "no link 'x--y'"),
        (b'{"op": "carrier", "link": "a--b", "up": 1}', "unknown request"),
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


@pytest.mark.parametrize(
    "wanted",
    [
        Impairment(),
        Impairment(delay_ns=5, jitter_ns=2, distribution="normal", delay_correlation=0.2, seed=7),
        Impairment(jitter_ns=2, distribution="mine.dist", table=(-5, 0, 5), ecn=True, loss=0.1),
        Impairment(loss_model=GilbertElliott(0.1, 0.5), slot=Slot(1, 2, 3, 4), reorder=0.5, reorder_gap=3),
        Impairment(loss_model=FourState(0.1), rate_bps=8, rate_overhead_bytes=-14, cell_bytes=53),
    ],
)
def test_a_whole_document_is_taken_as_it_is_and_shown(wanted: Impairment) -> None:
    asked, up, _ = requests()
    asked.reply(json.dumps({"op": "set", "link": "a--b", "up": wanted.document()}).encode())
    assert up.impairment == wanted
    shown = json.loads(json.dumps(asked.reply(b'{"op": "show"}')))["ok"]["links"]["a--b"]
    assert from_document(shown["up"]) == wanted
    assert from_document(shown["down"]) == Impairment(delay_ns=20 * MS)
    assert shown["carrier"] is True


def test_a_carrier_that_the_kernel_refuses_is_an_error() -> None:
    def plug(_name: str, _up: bool) -> None:
        raise OSError(19, "No such device")

    machine = Machine(Impairment(), "x")
    asked = Requests({"a--b": (machine, machine)}, lambda: 0, lambda: 0, plug)
    answer = asked.reply(b'{"op": "carrier", "link": "a--b", "up": false}')
    assert answer["error"] == {"kind": "KernelError", "cause": "[Errno 19] No such device", "remedy": ""}
