"""`netlab follow`, `flows` and `where-lost` on runs of the default topology."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Lab
from tests.e2e.test_trace_rest import a_lab

pytestmark = pytest.mark.needs("postgres")


@pytest.fixture(scope="module")
def lossy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lab, Path]]:
    """A lab whose Atlantic loses 5%, and a run of `rest` in it over HTTP/2."""
    for lab in a_lab(tmp_path_factory.mktemp("correlate")):
        assert lab.netlab("up", "internet", "--name", lab.name).status == 0
        changed = lab.netlab("link", "set", "transit-eu:atlantic", "loss=5%", "--lab", lab.name)
        assert changed.status == 0, changed
        folder = lab.directory / "run"
        done = lab.netlab(
            "trace", "rest", "--http", "2", "--lab", lab.name, "--out", str(folder), timeout_s=180
        )
        assert done.status == 0, done
        yield lab, folder
        lab.netlab("down", lab.name)


def test_losses_are_on_the_line_that_loses(lossy: tuple[Lab, Path]) -> None:
    """Every loss that is found is the Atlantic's; a run so small may have had none."""
    lab, folder = lossy
    found = lab.netlab("where-lost", str(folder), "--json").json()
    for one in found["losses"]:
        assert {one["after"], one["before"]} == {"transit-eu:atlantic", "transit-us:atlantic"}, found
    assert found["flaws"] == []
    for one in found["losses"]:
        assert one["lost"] <= one["counted"]["lost"], "the link counts all its frames"
    assert {one["from"] for one in found["links"]} <= {"transit-eu:atlantic", "transit-us:atlantic"}, found
    text = lab.netlab("where-lost", str(folder))
    assert text.status == 0, text


def test_a_request_is_followed_through_nat_and_both_terminations(lossy: tuple[Lab, Path]) -> None:
    lab, folder = lossy
    text = lab.netlab("follow", str(folder), "--request", "miss").stdout
    for part in ("NAT 192.168.1.10:", "TLS terminated, new connection", "HTTP/2", "plain PostgreSQL", "edge"):
        assert part in text, text
    data = lab.netlab("follow", str(folder), "--request", "2", "--json").json()
    assert data["name"] == "miss"
    assert lab.netlab("follow", str(folder), "--request", "4").status == 2


def test_flows_name_what_each_connection_speaks(lossy: tuple[Lab, Path]) -> None:
    lab, folder = lossy
    found = lab.netlab("flows", str(folder), "--json").json()
    edge = next(one for one in found if one["names"] == ["client-a", "edge-london"])
    assert "HTTP/2" in edge["speaks"], edge
    assert edge["translated"].startswith("203.0.113.5:"), edge
    assert (edge["way"][0], edge["way"][-1]) == ("client-a:eth0", "edge-london:eth0")
    assert lab.netlab("flows", str(folder / "nowhere")).status == 2
