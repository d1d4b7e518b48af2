"""`netlab trace proxy` on its topology: what the apps saw, and what they never did."""

from __future__ import annotations

from pathlib import Path

import pytest

from netlab.model.find import find
from tests.e2e.test_trace_rest import a_lab
from tests.e2e.test_trace_scenarios import row, trace, verdicts


def test_what_a_proxy_does_before_an_app_sees_a_request(tmp_path: Path) -> None:
    for lab in a_lab(tmp_path):
        found = trace(lab, "proxy", topology="middle")
        assert set(verdicts(found).values()) == {"holds"}, found["claims"]
        assert len(found["claims"]) == 8
        for one in found["claims"]:
            assert one["evidence"], one
        last = row(found, 0, sent_by="proxy")
        assert last["X-Forwarded-For"].startswith("203.0.113.5, 198.51.100."), last
        assert last["Forwarded"].startswith("for=203.0.113.5;host=api.example.com;proto=https, "), last
        limited = row(found, 1, asked_with="more than the quota")
        assert (limited["answers"], limited["seen by apps"]) == ("5 × 200, 7 × 429", 5), limited
        for title in ("no token", "expired", "HS256 by the public key", "attacks"):
            assert row(found, 1, asked_with=title)["seen by apps"] == 0


@pytest.mark.parametrize(
    ("old", "new", "claim"),
    [
        ("upstreams: [app-3:8080], jwt: true }", "upstreams: [app-3:8080] }", "proxy-jwt"),
        ("        waf: {}\n", "        waf: { mode: report }\n", "proxy-waf"),
        ("198.51.100.0/24, 192.0.2.0/24, 93.184.216.32/28", "198.51.100.0/24", "proxy-forwarded"),
    ],
)
def test_a_proxy_that_does_not_refutes(tmp_path: Path, old: str, new: str, claim: str) -> None:
    text = find("middle").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "middle.yaml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    for lab in a_lab(tmp_path):
        found = trace(lab, "proxy", topology=str(path))
        assert verdicts(found)[claim] == "refuted", found["claims"]
