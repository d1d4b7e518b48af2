"""Late responses and errors in place of responses, in each version of HTTP, through live sockets."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from netlab.model.roles import AppSpec, ClientSpec, Request
from netlab.pki import Authority
from tests.kit.role_process import RoleProcess, Roles, roles

NOW = datetime.fromtimestamp(Path("/proc/self").stat().st_mtime, UTC)


def served(started: Roles, authority: Authority) -> RoleProcess:
    spec = AppSpec.model_validate(
        {"kind": "app", "listen": 8443, "names": ["127.0.0.1"], "http": ["1.1", 2, 3]}
    )
    return started.start("app", spec, identity=authority.issue(("127.0.0.1",)))


def ask(started: Roles, authority: Authority, version: str, name: str) -> list[dict[str, Any]]:
    """Four requests; what is known of their responses."""
    one = {"url": "https://127.0.0.1:8443/health", "http": version}
    spec = ClientSpec(requests=tuple(Request.model_validate(one) for _ in range(4)))
    client = started.run(f"{name}-{version}", spec, trust_pem=authority.root_pem)
    found = client.events("request-done")
    assert len(found) == 4, client.evidence()
    return found


@pytest.mark.parametrize("version", ["1.1", "2", "3"])
def test_a_role_answers_late_with_errors_and_then_as_before(tmp_path: Path, version: str) -> None:
    authority = Authority.create("test", NOW)
    with roles(tmp_path) as started:
        app = served(started, authority)
        faults = [["slow", "app", "300ms"], ["error", "app", "503", "50%"]]
        assert app.tell({"op": "fault", "faults": faults}) == {"ok": None}
        met = ask(started, authority, version, "met")
        assert {one["version"] for one in met} == {version}, met
        assert all(one["total_ms"] >= 300 for one in met), met
        assert app.tell({"op": "fault", "faults": [["error", "app", "429"]]}) == {"ok": None}
        assert {one["status"] for one in ask(started, authority, version, "refused")} == {429}
        assert app.tell({"op": "fault", "faults": []}) == {"ok": None}
        after = ask(started, authority, version, "after")
        assert {one["status"] for one in after} == {200}
        assert all(one["total_ms"] < 300 for one in after[1:]), after


def test_a_wrong_fault_is_refused(tmp_path: Path) -> None:
    with roles(tmp_path) as started:
        app = started.start("app", AppSpec())
        answer = app.tell({"op": "fault", "faults": [["error", "app", "abc"]]})
        assert "no status of an error" in answer["error"]["cause"], answer
