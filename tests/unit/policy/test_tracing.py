"""W3C Trace Context."""

from __future__ import annotations

import random
import re

import pytest

from netlab.policy.tracing import child, new_traceparent

GOOD = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_new_one_is_well_formed_and_repeatable() -> None:
    made = new_traceparent(random.Random(1))
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", made)
    assert made == new_traceparent(random.Random(1))
    assert made != new_traceparent(random.Random(2))


def test_a_child_keeps_the_trace_and_has_its_own_parent() -> None:
    version, trace, parent, flags = child(GOOD, random.Random(1)).split("-")
    assert (version, trace, flags) == ("00", GOOD.split("-")[1], "01")
    assert parent != GOOD.split("-")[2]
    assert child(f"cc{GOOD[2:]}-future", random.Random(1)).split("-")[1] == trace


@pytest.mark.parametrize(
    "bad",
    ["", "x", GOOD.upper(), f"ff{GOOD[2:]}", GOOD + "-more", f"00-{'0' * 32}-{'1' * 16}-01", GOOD + "\n"],
)
def test_a_malformed_one_starts_a_new_trace(bad: str) -> None:
    made = child(bad, random.Random(1))
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", made)
    assert GOOD.split("-")[1] not in made
