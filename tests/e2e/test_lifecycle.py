"""The life of a lab: up, ps, exec, logs, down; and that nothing is left of it."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from netlab.lab.client import LabClient
from tests.e2e.conftest import NETLAB, Lab, holders_of
from tests.kit.poll import poll_until

TWO_HOSTS = """
name: two
nodes:
  a: {interfaces: {eth0: 10.77.0.1/24}, location: London}
  b: {interfaces: {eth0: 10.77.0.2/24}}
links:
  - {ends: [a:eth0, b:eth0]}
"""

SERVER = """
name: server
nodes:
  a:
    interfaces: {eth0: 10.77.0.1/24}
    roles: [{kind: client}]
  b:
    interfaces: {eth0: 10.77.0.2/24}
    roles:
      - kind: command
        argv: [python3, -u, -c, "import http.server as h; print('started NAME', flush=True);
               h.test(h.SimpleHTTPRequestHandler, port=8000)"]
        ready_port: 8000
links:
  - {ends: [a:eth0, b:eth0], delay: 1ms}
"""


@pytest.mark.usefixtures("host_unchanged")
def test_a_lab_comes_up_serves_and_leaves_nothing(lab: Lab) -> None:
    up = lab.up(SERVER)
    assert "command (ready" in up.stdout, up

    status = lab.status()
    assert status["state"] == "up"
    assert status["healthy"] is True
    roles = {role["role"]: role for node in status["nodes"] for role in node["roles"]}
    assert roles["client"]["state"] == "on demand"
    role = roles["command"]
    assert role["state"] == "ready"
    process = Path(f"/proc/{role['pid']}/status").read_text(encoding="utf-8")
    assert "CapEff:\t0000000000000000" in process
    assert "NoNewPrivs:\t1" in process
    assert "Uid:\t65534\t65534\t65534\t65534" in process

    fetched = lab.netlab("exec", "a", "--lab", lab.name, "--", "curl", "-sf", "http://b:8000/")
    assert fetched.status == 0, fetched
    assert "Directory listing" in fetched.stdout
    logs = lab.netlab("logs", "b", "--lab", lab.name)
    assert f"b.command: started {lab.name}" in logs.stdout, logs
    events = lab.netlab("logs", "b.command", "--events", "--lab", lab.name)
    assert "ready port=8000" in events.stdout, events

    descriptor = LabClient.connect(lab.name).namespace("b")
    inode = os.fstat(descriptor).st_ino
    os.close(descriptor)
    assert holders_of("net", inode)
    down = lab.netlab("down", lab.name)
    assert down.status == 0, down
    lab.assert_gone()
    assert holders_of("net", inode) == []


def test_two_labs_of_one_file_side_by_side(lab: Lab) -> None:
    lab.up(TWO_HOSTS)
    second = Lab(f"{lab.name}-2", lab.directory)
    second.up(TWO_HOSTS)
    try:
        for one in (lab, second):
            ping = one.netlab("exec", "a", "--lab", one.name, "--", "ping", "-c1", "-W2", "10.77.0.2")
            assert ping.status == 0, ping
        listed = lab.netlab("ps", "--json").json()
        assert {lab.name, second.name} <= {found["name"] for found in listed["labs"]}
    finally:
        assert second.netlab("down", second.name).status == 0
    assert not second.state.exists()
    assert lab.status()["state"] == "up"


def test_a_name_that_is_taken(lab: Lab) -> None:
    lab.up(TWO_HOSTS)
    again = lab.netlab("up", str(lab.write(TWO_HOSTS)), "--name", lab.name)
    assert again.status == 1, again
    assert "is taken" in again.stderr
    assert f"netlab down {lab.name}" in again.stderr
    assert lab.status()["state"] == "up"


@pytest.mark.parametrize("name", ["Über", "a/b", "../x", "", "a" * 33, "-x"])
def test_a_name_that_no_lab_can_have(lab: Lab, name: str) -> None:
    done = lab.netlab("up", str(lab.write(TWO_HOSTS)), f"--name={name}")
    assert done.status == 2, done
    assert "name of a lab" in done.stderr


def test_a_lab_that_does_not_exist(lab: Lab) -> None:
    for verb in (("ps",), ("down",)):
        done = lab.netlab(*verb, lab.name)
        assert done.status == 1, done
        assert f"there is no lab '{lab.name}'" in done.stderr


def test_exec_passes_status_and_input_and_knows_its_node(lab: Lab) -> None:
    lab.up(TWO_HOSTS)

    def execute(*words: str, node: str = "a") -> tuple[int, str, str]:
        done = lab.netlab("exec", node, "--lab", lab.name, "--", *words)
        return done.status, done.stdout.strip(), done.stderr

    assert execute("sh", "-c", "exit 7")[0] == 7
    assert execute("sh", "-c", "kill -TERM $$")[0] == 128 + signal.SIGTERM
    assert execute("no-such-program")[0] == 127
    assert execute("/etc/hostname")[0] == 126
    assert execute("hostname")[:2] == (0, "a")
    assert execute("sh", "-c", "echo $NETLAB_LAB $NETLAB_NODE; cat $SSL_CERT_FILE")[1] == f"{lab.name} a"
    assert execute("getent", "hosts", "b")[1].split() == ["10.77.0.2", "b"]
    assert execute("ls", "/sys/class/net")[1].split() == ["eth0", "lo"]
    status, _, stderr = execute("true", node="c")
    assert status == 1
    assert "no node 'c'" in stderr
    assert "a, b" in stderr


def test_exec_ends_with_its_command_line_and_with_the_lab(lab: Lab) -> None:
    lab.up(TWO_HOSTS)

    def sleeping() -> list[int]:
        return [pid for pid, command in lab.processes().items() if command.startswith("sh -c")]

    script = f"trap 'exit 9' INT; echo started {lab.name}; while :; do sleep 0.1; done"
    for number, status in ((signal.SIGINT, 9), (signal.SIGKILL, -signal.SIGKILL)):
        running = lab.start("exec", "a", "--lab", lab.name, "--", "sh", "-c", script)
        assert running.stdout is not None
        assert running.stdout.readline() == f"started {lab.name}\n"
        running.send_signal(number)
        assert running.wait(timeout=10) == status
        running.communicate()
        poll_until(lambda: not sleeping(), f"the command ended with {number.name}", 10)

    running = lab.start("exec", "a", "--lab", lab.name, "--", "sh", "-c", script)
    assert running.stdout is not None
    running.stdout.readline()
    assert lab.netlab("down", lab.name).status == 0
    assert running.wait(timeout=10) == 128 + signal.SIGKILL
    running.communicate()
    lab.assert_gone()


def test_a_command_has_the_terminal(lab: Lab) -> None:
    lab.up(TWO_HOSTS)
    command = f"{NETLAB} exec a --lab {lab.name} -- sh -c 'tty; read line; echo got $line; exit 5'"
    done = subprocess.run(
        ("script", "--quiet", "--return", "--command", command, "/dev/null"),
        input="hello\n",
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert "/dev/pts/" in done.stdout, done
    assert "got hello" in done.stdout
    assert done.returncode == 5


def test_output_of_up_can_be_piped(lab: Lab) -> None:
    """The supervisor holds none of the caller's descriptors: a pipe's reader sees its end."""
    path = lab.write(TWO_HOSTS)
    shell = f"{NETLAB} up {path} --name {lab.name} 2>/dev/null | cat"
    done = subprocess.run(shell, shell=True, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.startswith("NODE"), done
    assert lab.netlab("down", lab.name).status == 0


def test_doctor_names_what_it_found(lab: Lab) -> None:
    done = lab.netlab("doctor", "--json")
    findings = {finding["name"]: finding for finding in done.json()["findings"]}
    missing = [name for name, found in findings.items() if found["required"] and not found["ok"]]
    assert done.status == (3 if missing else 0), done
    assert findings["root"]["ok"] is True
    assert any(word in findings["links"]["found"] for word in ("netem", "wire"))


@pytest.mark.parametrize("verb", ["ps", "up", "down", "gc", "exec", "doctor"])
def test_without_root_it_says_so(lab: Lab, verb: str) -> None:
    lab.up(TWO_HOSTS)
    arguments = {"up": ("minimal",), "exec": ("a", "--", "true")}.get(verb, ())
    argv = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", str(NETLAB), verb, *arguments)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    if "Permission denied" in done.stderr and "setpriv" in done.stderr:
        pytest.skip("nobody can't read the Python environment")
    assert done.returncode == 3, done
    assert "sudo" in done.stdout + done.stderr, done
