"""What goes wrong with a lab: crashes, kills and interrupts at any moment. Afterwards nothing is left."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.e2e.conftest import Lab
from tests.e2e.test_lifecycle import SERVER, TWO_HOSTS
from tests.kit.poll import poll_until


def with_command(script: str, ready_port: str = "") -> str:
    """Two hosts; one runs a shell script."""
    ready = f", ready_port: {ready_port}" if ready_port else ""
    return TWO_HOSTS.replace(
        "  b: {interfaces: {eth0: 10.77.0.2/24}}",
        "  b:\n    interfaces: {eth0: 10.77.0.2/24}\n"
        f"    roles: [{{kind: command, argv: [sh, -c, '{script} # NAME']{ready}}}]",
    )


NEVER_READY = with_command("sleep 1000", ready_port="9")


@pytest.mark.usefixtures("host_unchanged")
def test_a_role_that_crashes_at_start_undoes_the_lab(lab: Lab) -> None:
    path = lab.write(with_command("echo the disk is on fire >&2; exit 5", ready_port="80"))
    done = lab.netlab("up", str(path), "--name", lab.name)
    assert done.status == 1, done
    assert "b: role command exited with 5" in done.stderr
    assert "the disk is on fire" in done.stderr
    lab.assert_gone()


def test_a_program_that_is_missing(lab: Lab) -> None:
    path = lab.write(with_command("x").replace("argv: [sh, -c,", "argv: [no-such-program,"))
    done = lab.netlab("up", str(path), "--name", lab.name)
    assert done.status == 1, done
    assert "no-such-program" in done.stderr
    lab.assert_gone()


def test_a_role_that_crashes_later_is_shown(lab: Lab) -> None:
    lab.up(SERVER)
    role = next(role for node in lab.status()["nodes"] for role in node["roles"] if role["pid"])
    os.kill(role["pid"], signal.SIGKILL)

    def failed() -> str:
        shown = lab.netlab("ps", lab.name)
        return shown.stdout if shown.status == 1 else ""

    shown = poll_until(failed, "ps says that it is unhealthy")
    assert "command (failed: was killed by SIGKILL)" in shown
    events = lab.netlab("logs", "b", "--events", "--lab", lab.name)
    assert 'exited status="was killed by SIGKILL"' in events.stdout, events
    assert lab.netlab("down", lab.name).status == 0
    lab.assert_gone()


@pytest.mark.parametrize("name", ["zygote", "wire"])
def test_a_process_of_the_lab_that_dies_is_shown(lab: Lab, name: str) -> None:
    lab.up(SERVER)
    found = {process["name"]: process for process in lab.status()["processes"]}
    if name not in found:
        pytest.skip("this kernel has netem: nothing is relayed")
    os.kill(found[name]["pid"], signal.SIGKILL)
    poll_until(lambda: not lab.status()["healthy"], f"unhealthy without the {name}")
    shown = lab.netlab("ps", lab.name)
    assert f"{name} process was killed by SIGKILL" in shown.stderr, shown
    assert lab.netlab("down", lab.name).status == 0
    lab.assert_gone()


@pytest.mark.usefixtures("host_unchanged")
def test_a_killed_supervisor_takes_everything_along(lab: Lab) -> None:
    lab.up(SERVER)
    os.kill(lab.supervisor(), signal.SIGKILL)
    lab.assert_no_process()
    assert lab.state.exists()
    shown = lab.netlab("exec", "a", "--lab", lab.name, "--", "true")
    assert shown.status == 1, shown
    assert "netlab gc" in shown.stderr
    collected = lab.netlab("gc")
    assert collected.status == 0
    assert lab.name in collected.stdout
    lab.assert_gone()


def test_the_next_up_cleans_after_a_killed_supervisor(lab: Lab) -> None:
    lab.up(TWO_HOSTS)
    os.kill(lab.supervisor(), signal.SIGKILL)
    lab.assert_no_process()
    lab.up(TWO_HOSTS)
    assert lab.netlab("down", lab.name).status == 0
    lab.assert_gone()


def test_sigterm_to_the_supervisor_is_down(lab: Lab) -> None:
    lab.up(SERVER)
    os.kill(lab.supervisor(), signal.SIGTERM)
    poll_until(lambda: not lab.state.exists(), "the state directory is removed")
    lab.assert_gone()


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, -15), (signal.SIGKILL, -9)]
)
@pytest.mark.usefixtures("host_unchanged")
def test_an_interrupted_up_undoes_the_lab(lab: Lab, number: signal.Signals, status: int) -> None:
    command = lab.start("up", str(lab.write(NEVER_READY)), "--name", lab.name)

    def waits_for_the_role() -> bool:
        return any(command.startswith("sh -c") for command in lab.processes().values())

    poll_until(waits_for_the_role, "the role runs, and isn't ready", 20)
    command.send_signal(number)
    _, stderr = command.communicate(timeout=20)
    assert command.returncode == status, stderr
    poll_until(lambda: not lab.state.exists(), "the state directory is removed", 10)
    lab.assert_gone()


@pytest.mark.parametrize("delay_ms", [20, 80, 120, 160, 200, 250, 300, 400, 600])
def test_a_kill_at_any_moment(lab: Lab, delay_ms: int) -> None:
    """Whatever the moment hits (imports, the claim, forks, the kernel's part, the roles): gc is enough."""
    command = lab.start("up", str(lab.write(NEVER_READY)), "--name", lab.name)
    time.sleep(delay_ms / 1000)  # the moment is what is tested; no condition is waited for
    command.kill()
    command.communicate()
    lab.assert_no_process()
    assert lab.netlab("gc").status == 0
    lab.assert_gone()


def test_down_while_the_lab_comes_up(lab: Lab) -> None:
    command = lab.start("up", str(lab.write(NEVER_READY)), "--name", lab.name)
    poll_until((lab.state / "control.sock").exists, "the supervisor listens", 20)
    down = lab.netlab("down", lab.name)
    assert down.status == 0, down
    _, stderr = command.communicate(timeout=20)
    assert command.returncode == 1
    assert "was taken down" in stderr
    lab.assert_gone()
