"""A lab as scenarios use it: one-shot roles, captures, link statistics, leashed labs, hidden source files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import netlab
from netlab.errors import LabError, RoleError
from netlab.lab.client import LabClient
from netlab.model.roles import ClientSpec, CommandSpec, Request
from tests.e2e.conftest import NETLAB, Lab
from tests.e2e.test_lifecycle import SERVER, TWO_HOSTS
from tests.kit.poll import poll_until

GET = ClientSpec(requests=(Request(url="http://10.77.0.2:8000/"),))


def test_a_request_is_run_captured_and_counted(lab: Lab, tmp_path: Path) -> None:
    lab.up(SERVER)
    client = LabClient.connect(lab.name)
    offset = client.events_size()
    client.start_capture(tmp_path, ["a:eth0"])
    (running,) = client.status()["captures"]
    assert (running["directory"], running["interfaces"]) == (str(tmp_path), ["a:eth0"]), running
    with pytest.raises(LabError, match="writes to"):
        client.start_capture(tmp_path)
    events = client.run("a", GET)
    stopped = client.stop_capture()

    done = next(event for event in events if event.event == "request-done")
    assert done.data["status"] == 200, events
    assert [event for event in client.events_since(offset) if event.node == "a"] == events
    assert [(entry["node"], entry["interface"], entry["dropped"]) for entry in stopped] == [("a", "eth0", 0)]
    assert stopped[0]["packets"] >= 8, "SYN, SYN-ACK, ACK, request, response, FINs"
    files = {path.name: path.stat().st_size for path in tmp_path.glob("a.eth0.*.pcap")}
    assert files.keys() == {"a.eth0.in.pcap", "a.eth0.out.pcap"}, files
    assert min(files.values()) > 24, "more than the header"
    assert client.status()["captures"] == []
    for link in client.link_stats()["links"]:  # none where the kernel has netem
        assert link["up"]["frames"] > 0, link


def test_one_shot_roles_that_fail_hang_or_can_not_be(lab: Lab) -> None:
    lab.up(SERVER)
    client = LabClient.connect(lab.name)
    failing = CommandSpec(argv=("sh", "-c", "echo no luck >&2; exit 3"))
    with pytest.raises(RoleError, match="no luck"):
        client.run("a", failing)
    with pytest.raises(LabError, match="no node 'c'"):
        client.run("c", GET)
    with pytest.raises(LabError, match=r"within 0\.5 s"):
        client.run("a", CommandSpec(argv=("sh", "-c", f"sleep 1000; : {lab.name}")), timeout_s=0.5)

    def sleeping() -> list[str]:
        return [command for command in lab.processes().values() if command.startswith("sh -c")]

    poll_until(lambda: not sleeping(), "a role whose caller gave up is killed")
    assert client.status()["healthy"] is True


def test_a_bare_lab_can_run_roles(lab: Lab) -> None:
    """Its zygote is started when the first role needs it."""
    lab.up(TWO_HOSTS)
    client = LabClient.connect(lab.name)
    assert client.status()["processes"] == []
    events = client.run("a", CommandSpec(argv=("true",)))
    assert [event.event for event in events] == ["ready", "exited"]


LEASHED = """
import os, signal, sys
from pathlib import Path
from netlab.lab.up import up
up(Path(sys.argv[1]), sys.argv[2], leashed=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_leashed_lab_ends_with_its_owner(lab: Lab) -> None:
    argv = (sys.executable, "-c", LEASHED, str(lab.write(SERVER)), lab.name)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -9, done.stderr
    poll_until(lambda: not lab.state.exists(), "the state directory is removed", 10)
    lab.assert_gone()


# Over the directory that holds netlab, one that only root may enter, in a mount namespace of its own.
# Once it is covered, only the working directory still leads to netlab (-c: so "." must stay ".").
HIDDEN = """
set -eu
parent=$1; name=$2; shift 2
cd "$parent/$name"
mount -t tmpfs -o mode=0700 tmpfs "$parent"
mkdir "$parent/$name"
mount -c --bind . "$parent/$name"
cd "$parent/$name"
"$@"
"""


def test_roles_need_no_file_of_netlab_once_they_run(lab: Lab) -> None:
    """netlab in a home directory that only its owner may enter: roles are `nobody` and can't import."""
    home = Path(netlab.__file__).resolve().parent.parent
    if home.parent == Path("/") or not Path(sys.prefix).is_relative_to(home):
        pytest.skip("netlab and its Python environment are not in one directory that can be hidden")
    hide = ("unshare", "--mount", "sh", "-c", HIDDEN, "sh", str(home.parent), home.name)
    up = (*hide, str(NETLAB), "up", "internet", "--name", lab.name)
    done = subprocess.run(up, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    client = LabClient.connect(lab.name)
    assert Path(f"/proc/{lab.supervisor()}/root{home.parent}").stat().st_mode & 0o777 == 0o700
    url = "https://api.example.com/user/42"
    events = client.run("client-a", ClientSpec(requests=(Request(url=url),), bearer="42"))
    assert [event.data["status"] for event in events if event.event == "request-done"] == [200], events
    keys = client.keys()
    assert "CLIENT_TRAFFIC_SECRET_0" in keys
    client.down()
    lab.assert_gone()
