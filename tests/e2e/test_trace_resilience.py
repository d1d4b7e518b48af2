"""The scenarios of resilience, each once on the topology `middle`: verdicts from the packets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from netlab.scenarios.bulkhead import LIMITS, SERVICES, TOTAL
from tests.e2e.conftest import Lab
from tests.e2e.test_trace_rest import a_lab
from tests.e2e.test_trace_scenarios import row, trace, verdicts


@pytest.fixture(scope="module")
def middle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    for lab in a_lab(tmp_path_factory.mktemp("resilience")):
        done = lab.netlab("up", "middle", "--name", lab.name)
        assert done.status == 0, done
        yield lab
        lab.netlab("down", lab.name)


def test_timeouts(middle: Lab) -> None:
    found = trace(middle, "timeouts", topology="middle")
    told = verdicts(found)
    right = ("connect-timeout", "connect-down", "read-timeout", "total-timeout")
    assert {told[name] for name in right} == {"holds"}, found["claims"]
    assert told["read-is-total"] == "refuted", found["claims"]
    assert told["connect-3.05"] in ("holds", "refuted"), "a matter of the kernel's timer, and of 40 ms"


def test_retry(middle: Lab) -> None:
    found = trace(middle, "retry", topology="middle")
    told = verdicts(found)
    right = ("exponential-backoff", "post-not-retried", "idempotency-key", "retry-budget")
    assert {told[name] for name in right} == {"holds"}, found["claims"]
    assert told["idempotency-key-apps"] == "refuted", found["claims"]
    assert told["full-jitter"] in ("holds", "partly"), found["claims"]
    without, full = (row(found, jitter=jitter)["most then"] for jitter in ("none", "full"))
    assert full < without, found["tables"][0]


def test_breaker(middle: Lab) -> None:
    found = trace(middle, "breaker", topology="middle")
    assert set(verdicts(found).values()) <= {"holds", "partly"}, found["claims"]
    assert verdicts(found)["breaker-open"] == "holds", found["claims"]
    with_one = row(found, 1, breaker="after 5 failures")
    without = row(found, 1, breaker="none")
    assert with_one["reached failing apps"] < without["reached failing apps"] / 4


def test_bulkhead(middle: Lab) -> None:
    found = trace(middle, "bulkhead", topology="middle")
    told = verdicts(found)
    assert told["shared-exhausted"] == told["bulkhead-isolates"] == "holds", found["claims"]
    rows = found["tables"][0]["rows"]
    slow = [one for one in rows if one["service"].startswith("external")]
    assert [one["at once"] for one in slow] == [TOTAL, LIMITS["app-3"]], rows
    for app in ("app-1", "app-2"):
        (apart,) = [one for one in rows if one["service"] == SERVICES[app] and "," in one["connections"]]
        assert apart["at once"] <= LIMITS[app], rows
