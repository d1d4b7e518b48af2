"""Layer 1 of the OSI table: what the link's physics say of one frame."""

from __future__ import annotations

import pytest

from netlab.model.impairment import Impairment
from netlab.model.media import media
from netlab.trace.osi import _propagation, _serialisation


@pytest.mark.parametrize(
    ("direction", "medium", "text"),
    [
        (Impairment(rate_bps=10_000_000), "dsl", "1211.2 µs at 10mbit"),
        (Impairment(), "ethernet-1g", "12.3 µs at line rate, with preamble, FCS and gap"),
    ],
)
def test_how_long_a_full_frame_takes_on_the_line(direction: Impairment, medium: str, text: str) -> None:
    assert _serialisation(1514, direction, media[medium]) == (("serialisation", text),)


def test_without_rate_or_medium_nothing_is_said_of_serialisation() -> None:
    assert _serialisation(1514, Impairment(), None) == ()


@pytest.mark.parametrize(
    ("delay_ns", "medium", "text"),
    [
        (0, "ethernet-1g", "none: the link has no delay"),
        (500_000, "wifi-6", "500us"),
        (27_423_200, "fiber", "27.4232ms, as of 5,600 km at 4.897 µs/km"),
    ],
)
def test_a_delay_is_a_distance_where_the_medium_says_so(delay_ns: int, medium: str, text: str) -> None:
    assert _propagation(Impairment(delay_ns=delay_ns), media[medium]) == (("propagation", text),)
