"""`netlab trace cdn` on its topology: verdicts from the packets. And an edge whose disk outlives its role."""

from __future__ import annotations

import shutil
from pathlib import Path

from netlab.model.find import find
from tests.e2e.conftest import Lab
from tests.e2e.test_trace_rest import a_lab
from tests.e2e.test_trace_scenarios import row, trace, verdicts
from tests.kit.poll import poll_until

FUNCTIONS = Path(__file__).parents[2] / "topologies" / "edge_functions.py"


def test_what_a_cdn_saves(tmp_path: Path) -> None:
    for lab in a_lab(tmp_path):
        found = trace(lab, "cdn", topology="middle")
        told = verdicts(found)
        for name in (
            "cdn-hit",
            "cdn-miss",
            "cdn-validate",
            "cdn-purge",
            "cdn-vary",
            "cdn-collapse",
            "cdn-shield",
            "cdn-offload",
            "cdn-warm-origin",
            "cdn-near-edge",
        ):
            assert told[name] == "holds", (name, found["claims"])
        assert told["cdn-latency"] in {"holds", "partly"}, found["claims"]
        assert told["cdn-stale-while-revalidate"] in {"holds", "partly"}, found["claims"]
        origin = row(found, 1, cache="shield")["sent on"]
        assert origin == 60, "each object once, for both edges"
        for one in found["claims"]:
            assert one["evidence"], one


def test_a_disk_outlives_the_role_and_functions_come_from_beside_the_topology(lab: Lab) -> None:
    text = find("middle").read_text(encoding="utf-8")
    changed = text.replace(
        "        shield: shield:443\n",
        "        shield: shield:443\n        disk: { bytes: 10mb }\n        compress: true\n"
        "        functions: [{ call: edge_functions.py:check_token }]\n",
        1,
    )
    assert changed != text
    shutil.copy(FUNCTIONS, lab.directory)
    path = lab.directory / "middle.yaml"
    path.write_text(changed, encoding="utf-8")
    assert lab.netlab("up", str(path), "--name", lab.name).status == 0
    curl = ("exec", "client-1", "--lab", lab.name, "--", "curl", "-sS", "-i", "--http1.1", "-o-")
    url = "https://api.example.com/cached/a?max_age=3600&size=3000&type=text"
    first = lab.netlab(*curl, url)
    assert "fwd=uri-miss" in first.stdout, first
    refused = lab.netlab(*curl, "https://api.example.com/members/a")
    assert "HTTP/1.1 401" in refused.stdout, refused
    curl2 = (*curl[:-2], "--http2", "-o-")
    echoed = lab.netlab(*curl2, "-d", "hello", "https://api.example.com/echo")
    assert "HTTP/2 200" in echoed.stdout, echoed
    assert echoed.stdout.endswith("hello"), echoed
    assert "HTTP/2 401" in lab.netlab(*curl2, "https://api.example.com/members/a").stdout
    killed = lab.netlab("fault", "kill", "edge-london", "--for", "200ms", "--lab", lab.name)
    assert killed.status == 0, killed
    poll_until(lambda: lab.netlab(*curl, url).status == 0, "the edge is back", timeout_s=20)
    again = lab.netlab(*curl, "--compressed", url)
    assert "edge-london; hit" in again.stdout, again
    assert "content-encoding: gzip" in again.stdout.lower(), again
