"""The scenario `lb`, on the topology that it is made for."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.test_trace_rest import a_lab
from tests.e2e.test_trace_scenarios import trace, verdicts


def test_a_balancer_s_algorithms_and_failover(tmp_path: Path) -> None:
    for lab in a_lab(tmp_path):
        found = trace(lab, "lb", topology="middle")
        told = verdicts(found)
        evidence = found["claims"], found["tables"]
        assert told.pop("check-alive") == "refuted", (
            "a kernel accepts for a process that hangs",
            evidence,
        )
        assert set(told.values()) == {"holds"}, evidence
        distribution, moves, drained, failover = (table["rows"] for table in found["tables"])
        by_phase = {one["phase"]: one for one in distribution}
        assert by_phase["round-robin"]["the first twelve"] == "1 2 3 1 2 3 1 2 3 1 2 3", evidence
        assert by_phase["weighted 3:1"]["the first twelve"] == "1 1 2 1 1 1 2 1 1 1 2 1", evidence
        assert by_phase["random"]["even"] == "yes", evidence
        assert by_phase["two choices"]["even"] == "yes", evidence
        assert int(by_phase["two choices"]["to the busiest"].rstrip("%")) <= 10, evidence
        moved = {one["algorithm"]: one["of those moved"] for one in moves}
        assert moved["consistent hash"] == 0 < moved["IP hash"], evidence
        assert drained[0]["its connections"] == drained[0]["of them answered"] > 0, evidence
        assert drained[0]["of them to app-2"] == 0, evidence
        assert [one["after the first"] for one in failover[1:]] == [0, 0], evidence
        assert failover[2]["clients' failures"] == 0, evidence
