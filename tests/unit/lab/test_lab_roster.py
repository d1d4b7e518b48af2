"""What becomes of a role when it is ready, ends well, ends badly; and what is read of its log."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from netlab.lab.roster import RoleProcess, RoleState, describe_exit, host_pid, last_lines
from netlab.model.event import Event
from netlab.model.roles import AppSpec, ClientSpec, CommandSpec, Request, RoleSpec

APP = AppSpec(database="10.0.0.1:5432")
COMMAND = CommandSpec(argv=("true",))
CLIENT = ClientSpec(requests=(Request(url="http://a/"),))


@pytest.mark.parametrize(
    ("spec", "code", "state"),
    [
        (APP, 0, RoleState.FAILED),  # a server doesn't end by itself
        (APP, 1, RoleState.FAILED),
        (CLIENT, 0, RoleState.DONE),
        (CLIENT, 1, RoleState.FAILED),
        (COMMAND, 0, RoleState.DONE),
        (COMMAND, -9, RoleState.FAILED),
    ],
)
def test_how_a_role_ends(spec: RoleSpec, code: int, state: RoleState) -> None:
    role = RoleProcess("a", "r", spec, state=RoleState.READY, pid=7)
    role.ended(code)
    assert (role.state, role.pid, role.status) == (state, 0, describe_exit(code))
    assert role.healthy is (state is RoleState.DONE)


def test_ready_is_heard_only_while_it_starts() -> None:
    role = RoleProcess("a", "r", APP, state=RoleState.STARTING)
    states = []
    for event in ("connection-opened", "ready"):
        role.heard(Event(1, "a", "r", event))
        states.append(role.state)
    role.ended(1)
    role.heard(Event(1, "a", "r", "ready"))
    assert [*states, role.state] == [RoleState.STARTING, RoleState.READY, RoleState.FAILED]


def test_a_client_without_requests_is_started_on_demand() -> None:
    assert not RoleProcess("a", "client", ClientSpec()).starts_with_lab
    assert RoleProcess("a", "client", CLIENT).starts_with_lab
    assert RoleProcess("a", "app", APP).starts_with_lab


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (0, "exited with 0"),
        (127, "exited with 127"),
        (-11, "was killed by SIGSEGV"),
        (-40, "was killed by signal 40"),
    ],
)
def test_exits_in_words(code: int, text: str) -> None:
    assert describe_exit(code) == text


def test_the_last_lines_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    assert last_lines(log) == ()
    log.write_bytes(b"\xff\n" + b"".join(b"line %d\n" % number for number in range(5000)))
    assert last_lines(log, 2) == ("line 4998", "line 4999")


def test_pids_of_the_same_namespace_are_the_same() -> None:
    assert host_pid(os.getpid()) == os.getpid()
    assert host_pid(2**22 + 1) == 0
