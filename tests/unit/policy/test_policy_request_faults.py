"""Which requests meet a fault."""

from __future__ import annotations

from netlab.model.fault import parse_fault
from netlab.policy.request_faults import Met, RequestFaults

ERROR = parse_fault(("error", "app", "503", "20%"))
SLOW = parse_fault(("slow", "app", "200ms", "50%"))
ALWAYS = parse_fault(("slow", "app", "100ms"))


def statuses(faults: RequestFaults, count: int) -> list[int]:
    return [faults.next().status for _ in range(count)]


def test_without_faults_nothing_is_met() -> None:
    faults = RequestFaults(1)
    assert not faults
    assert faults.next() == Met(0.0, 0)


def test_a_share_is_met_and_the_same_requests_in_every_run() -> None:
    one, other, third = RequestFaults(7), RequestFaults(7), RequestFaults(8)
    for faults in (one, other, third):
        faults.replace([ERROR])
    met = statuses(one, 2000)
    assert 340 <= met.count(503) <= 460, met.count(503)  # 400 within 3.4 standard deviations
    assert set(met) == {0, 503}
    assert met == statuses(other, 2000)
    assert met != statuses(third, 2000)


def test_another_fault_does_not_change_whom_the_first_meets() -> None:
    alone, both = RequestFaults(7), RequestFaults(7)
    alone.replace([ERROR])
    both.replace([ERROR])
    first = statuses(both, 50)
    both.replace([ERROR, SLOW])
    rest = statuses(both, 50)
    assert first + rest == statuses(alone, 100)


def test_delays_add_up_and_the_first_error_counts() -> None:
    faults = RequestFaults(1)
    faults.replace([ALWAYS, parse_fault(("slow", "app", "50ms")), parse_fault(("error", "app", "500"))])
    assert faults.next() == Met(0.15, 500)
    faults.replace([])
    assert not faults
