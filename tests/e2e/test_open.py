"""`netlab open`: the profile that it makes, read by tshark."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Lab
from tests.e2e.test_trace_rest import a_lab

pytestmark = [pytest.mark.needs("postgres"), pytest.mark.needs("tshark")]


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lab, Path]]:
    for lab in a_lab(tmp_path_factory.mktemp("open")):
        folder = lab.directory / "run"
        done = lab.netlab("trace", "rest", "--lab", lab.name, "--out", str(folder), timeout_s=120)
        assert done.status == 0, done
        yield lab, folder


def test_tshark_reads_the_profile_and_shows_where_packets_were_seen(traced: tuple[Lab, Path]) -> None:
    lab, folder = traced
    said = lab.netlab("open", str(folder), "--at", "proxy:eth0", "--print")
    assert said.status == 0, said
    setting, program, capture = said.stdout.split()
    assert (program, capture) == ("wireshark", str(folder / "hops" / "proxy.eth0.pcapng"))
    name, _, place = setting.partition("=")
    read = subprocess.run(
        ("tshark", "-r", capture, "-Y", "http.request"),
        env=os.environ | {name: place},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "No such preference" not in read.stderr, read.stderr
    assert "proxy:eth0" in read.stdout, read.stdout
    assert "GET /user/42" in read.stdout, read.stdout
    assert "app-1" in read.stdout, "names of nodes, from the capture"


def test_one_interface_is_opened_where_wireshark_is_old_and_unknown_ones_are_refused(
    traced: tuple[Lab, Path],
) -> None:
    lab, folder = traced
    said = lab.netlab("open", str(folder), "--print").stdout
    assert "/hops/" in said or said.rstrip().endswith("trace.pcapng"), said
    done = lab.netlab("open", str(folder), "--at", "proxy:eth1", "--print")
    assert (done.status, "did you mean `proxy:eth0`" in done.stderr) == (2, True), done
