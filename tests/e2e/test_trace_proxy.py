"""`netlab trace proxy` on its topology: what the apps saw, and what they never did."""

from __future__ import annotations

from pathlib import Path

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


def test_a_proxy_that_does_not_refutes(tmp_path: Path) -> None:
    """It asks for no token, only reports attacks, and believes nobody but one edge; clients change arms."""
    text = find("middle").read_text(encoding="utf-8")
    for old, new in (
        ("upstreams: [app-3:8080], jwt: true }", "upstreams: [app-3:8080] }"),
        ("        waf: {}\n", "        waf: { mode: report }\n"),
        ("198.51.100.0/24, 192.0.2.0/24, 93.184.216.32/28", "198.51.100.0/24"),
        ("weight: 2, upstreams: [app-1:8080]", "weight: 2, upstreams: [app-1:8080, app-3:8080]"),
    ):
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "middle.yaml"
    path.write_text(text, encoding="utf-8")
    for lab in a_lab(tmp_path):
        told = verdicts(trace(lab, "proxy", topology=str(path)))
        assert told == {
            "proxy-tls": "holds",
            "proxy-forwarded": "refuted",
            "proxy-trace": "holds",
            "proxy-routing": "holds",
            "proxy-canary": "partly",
            "proxy-jwt": "refuted",
            "proxy-rate-limit": "holds",
            "proxy-waf": "refuted",
        }
