"""Which version of HTTP is tried, and QUIC that did not get through."""

from __future__ import annotations

import pytest

from netlab.model.roles import HttpVersion
from netlab.policy.version import Broken, Choice, choose


@pytest.mark.parametrize(
    ("wanted", "tls", "told", "broken", "choice"),
    [
        (None, True, False, "", Choice(False, ("2", "1.1"))),
        (None, True, True, "", Choice(True, ("2", "1.1"))),
        (None, True, True, "UDP", Choice(False, ("2", "1.1"), "UDP")),
        (None, True, False, "UDP", Choice(False, ("2", "1.1"))),
        (None, False, True, "", Choice(False, ("1.1",))),
        ("1.1", True, True, "", Choice(False, ("1.1",))),
        ("2", True, True, "", Choice(False, ("2",))),
        ("2", False, False, "", Choice(False, ("2",))),
        ("3", True, False, "UDP", Choice(True, ())),
    ],
)
def test_what_is_tried(
    wanted: HttpVersion | None, tls: bool, told: bool, broken: str, choice: Choice
) -> None:
    assert choose(wanted, tls=tls, told=told, broken=broken) == choice


def test_broken_quic_is_left_alone_for_twice_as_long_each_time() -> None:
    broken, now, lengths = Broken(), 0.0, []
    for _ in range(8):
        lengths.append(broken.failed("server", "UDP", now))
        assert broken.cause("server", now + lengths[-1] - 0.1) == "UDP"
        now += lengths[-1]
        assert broken.cause("server", now) == ""
    assert lengths == [60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert broken.cause("another", 0.0) == ""


def test_requests_that_lose_at_the_same_time_count_once() -> None:
    broken = Broken()
    assert [broken.failed("server", "UDP", now) for now in (0.0, 0.1, 10.0)] == [60, 59.9, 50]
    assert broken.failed("server", "UDP", 60.0) == 120


def test_quic_that_works_is_believed_again() -> None:
    broken = Broken()
    broken.failed("server", "UDP", 0.0)
    broken.worked("server")
    assert broken.cause("server", 1.0) == ""
    assert broken.failed("server", "UDP", 2.0) == 60
