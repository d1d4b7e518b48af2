"""Passive checks: failures in a row, the time away, the share."""

from netlab.policy.ejection import Ejections


def test_only_failures_in_a_row_eject_and_for_their_time() -> None:
    one = Ejections(("a", "b"), failures=2, seconds=10, percent=50)
    results = [one.result("a", success, 1.0) for success in (False, True, False, False)]
    assert results == [False, False, False, True]
    assert one.usable(10.9) == ["b"]
    assert one.usable(11.0) == ["a", "b"]


def test_no_more_than_the_share() -> None:
    one = Ejections(("a", "b", "c"), failures=1, seconds=10, percent=50)
    assert [one.result(name, False, 0.0) for name in "abc"] == [True, False, False]
    assert one.usable(1.0) == ["b", "c"]


def test_zero_never_ejects() -> None:
    one = Ejections(("a", "b"), failures=0, seconds=10, percent=100)
    assert not any(one.result("a", False, 0.0) for _ in range(50))
