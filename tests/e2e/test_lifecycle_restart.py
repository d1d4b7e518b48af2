"""A role of a live lab is restarted, by the API that scenarios use."""

from __future__ import annotations

import os
import signal

import pytest

from netlab.errors import LabError, RoleError
from netlab.lab.client import LabClient
from tests.e2e.conftest import Lab
from tests.e2e.test_lifecycle import SERVER
from tests.e2e.test_lifecycle_client import GET
from tests.kit.poll import poll_until


def command(lab: Lab) -> dict[str, object]:
    """The state of the lab's server."""
    nodes = lab.status()["nodes"]
    found: dict[str, object] = next(
        role for node in nodes for role in node["roles"] if role["kind"] == "command"
    )
    return found


def test_a_role_starts_anew_and_serves(lab: Lab) -> None:
    lab.up(SERVER)
    client = LabClient.connect(lab.name)
    before = command(lab)
    client.restart("b", "command")
    after = command(lab)
    assert (before["state"], after["state"]) == ("ready", "ready"), (before, after)
    assert before["pid"] != after["pid"], "it is another process"
    done = [event for event in client.run("a", GET) if event.event == "request-done"]
    assert [event.data["status"] for event in done] == [200], done


def test_a_role_that_crashed_is_well_again(lab: Lab) -> None:
    lab.up(SERVER)
    client = LabClient.connect(lab.name)
    os.kill(int(str(command(lab)["pid"])), signal.SIGKILL)
    poll_until(lambda: command(lab)["state"] == "failed", "the lab knows that the role has ended")
    assert client.status()["healthy"] is False
    client.restart("b", "command")
    assert client.status()["healthy"] is True, command(lab)


def test_what_can_not_be_restarted(lab: Lab) -> None:
    lab.up(SERVER)
    client = LabClient.connect(lab.name)
    with pytest.raises(LabError, match="node b has no role 'web'"):
        client.restart("b", "web")
    with pytest.raises(LabError, match="no node 'c'"):
        client.restart("c", "command")
    with pytest.raises(LabError, match="client is not running"):
        client.restart("a", "client")


# Its key log is what a role finds again when it is started a second time.
ONLY_ONCE = """
name: once
nodes:
  b:
    interfaces: {eth0: 10.77.0.2/24}
    roles:
      - kind: command
        argv: [python3, -c, "import os, sys, time; p = os.environ['SSLKEYLOGFILE']; seen = open(p).read();
               open(p, 'a').write('NAME'); sys.exit('no second time') if seen else time.sleep(1000)"]
  a: {interfaces: {eth0: 10.77.0.1/24}}
links:
  - {ends: [a:eth0, b:eth0]}
"""


def test_a_role_that_fails_to_start_again_says_why(lab: Lab) -> None:
    lab.up(ONLY_ONCE)
    client = LabClient.connect(lab.name)
    poll_until(lambda: "lab" if client.keys() else "", "it has started once")
    client_error: LabError | None = None
    try:
        client.restart("b", "command")
        poll_until(lambda: command(lab)["state"] == "failed", "it ends after it was ready")
    except RoleError as error:  # it may end before the lab hears that it is ready, or after
        client_error = error
    assert command(lab)["state"] == "failed"
    log = lab.netlab("logs", "b", "--lab", lab.name).stdout
    assert "no second time" in (str(client_error) + log), (client_error, log)
