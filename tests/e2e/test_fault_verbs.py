"""Faults in a lab, by the installed command: what each does, and that it is undone however it ends."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netlab.errors import InputError
from netlab.lab.client import LabClient
from tests.e2e.conftest import Done, Lab, own_lab
from tests.kit.poll import poll_until

# c ── sw ── a (an app), b (an app, and a program with a child)
SHOP = """
name: shop
nodes:
  a: {interfaces: {eth0: 10.77.0.1/24}, roles: [{kind: app}]}
  b:
    interfaces: {eth0: 10.77.0.2/24}
    roles:
      - kind: app
      - {kind: command, argv: [sh, -c, "sleep 1234 & exec sleep 1234"]}
  c: {interfaces: {eth0: 10.77.0.3/24}}
  sw: {kind: switch}
links:
  - {ends: [a:eth0, sw]}
  - {ends: [b:eth0, sw]}
  - {ends: [c:eth0, sw]}
"""


@pytest.fixture(scope="module")
def brought_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    yield from own_lab(tmp_path_factory.mktemp("shop"), SHOP)


@pytest.fixture
def shop(brought_up: Lab) -> Iterator[Lab]:
    yield brought_up
    assert listed(brought_up) == []
    assert brought_up.status()["healthy"], brought_up.status()


def fault(lab: Lab, *words: str) -> Done:
    return lab.netlab("fault", *words, "--lab", lab.name)


def begin(lab: Lab, *words: str) -> None:
    done = fault(lab, *words)
    assert done.status == 0, done


def listed(lab: Lab) -> list[dict[str, Any]]:
    return LabClient.connect(lab.name).faults()


def until_none(lab: Lab) -> None:
    poll_until(lambda: not listed(lab), "no fault is left", 20)


def ask(lab: Lab, seconds: float = 3) -> tuple[str, float]:
    """The status of a's response, 000 without one, and how many seconds it took."""
    form = "%{http_code} %{time_total}"
    words = ("curl", "-s", "-o", "/dev/null", "-w", form, "--max-time", str(seconds))
    done = lab.netlab("exec", "c", "--lab", lab.name, "--", *words, "http://a:8080/health")
    status, took = done.stdout.split()
    return status, float(took)


def role(lab: Lab, node: str, name: str = "app") -> dict[str, Any]:
    found: dict[str, Any] = LabClient.connect(lab.name).role(f"{node}.{name}")[0]
    return found


def last_events(lab: Lab, count: int) -> list[dict[str, Any]]:
    """The last that were written of faults."""
    lines = (lab.state / "events.jsonl").read_text().splitlines()
    return [one for one in map(json.loads, lines) if one["event"].startswith("fault-")][-count:]


def stat_of(pid: int) -> list[str]:
    """/proc/PID/stat from the state on, as proc(5) has it."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def test_a_killed_role_is_gone_and_comes_back_by_itself(shop: Lab) -> None:
    before = role(shop, "a")["pid"]
    begin(shop, "kill", "a", "--for", "2s")
    assert ask(shop)[0] == "000"
    shown = shop.netlab("ps", shop.name)
    assert shown.status == 1, shown
    assert ": kill a\n" in shown.stderr, shown
    killed = role(shop, "a")
    assert (killed["state"], killed["status"]) == ("failed", "was killed by SIGKILL")
    until_none(shop)
    assert ask(shop)[0] == "200"
    assert role(shop, "a")["pid"] not in (0, before)
    began, ended = last_events(shop, 2)
    assert (began["node"], began["role"], began["fault"], began["for_s"]) == ("a", "app", ["kill", "a"], 2.0)
    assert (ended["fault"], ended["cause"]) == (["kill", "a"], "time")
    assert 1.9e9 < ended["time_ns"] - began["time_ns"] < 15e9


def test_a_paused_program_stops_with_its_children_and_goes_on(shop: Lab) -> None:
    top = role(shop, "b", "command")["pid"]

    def states() -> list[str]:
        found = [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/cmdline") if _is_sleep(path)]
        mine = [pid for pid in found if top in _ancestors(pid)]
        assert len(mine) == 2, mine
        return [stat_of(pid)[0] for pid in (top, *mine)]

    begin(shop, "pause", "b.command", "--for", "30s")
    assert states() == ["T", "T", "T"]
    again = fault(shop, "pause", "b.command")
    assert again.status == 1, again
    assert "has this fault already" in again.stderr
    begin(shop, "clear")
    assert "T" not in states()


def _is_sleep(path: Path) -> bool:
    try:
        return path.read_bytes() == b"sleep\x001234\x00"
    except OSError:
        return False


def _ancestors(pid: int) -> set[int]:
    found: set[int] = set()
    while pid > 1:
        pid = int(stat_of(pid)[1])
        found.add(pid)
    return found


def test_a_paused_role_takes_connections_and_answers_when_it_goes_on(shop: Lab) -> None:
    begin(shop, "pause", "a", "--for", "2s")
    status, took = ask(shop, seconds=10)
    assert status == "200"
    assert took > 0.3, took
    until_none(shop)


def test_a_slow_role_is_late_and_then_is_not(shop: Lab) -> None:
    begin(shop, "slow", "a", "400ms", "--for", "30s")
    status, took = ask(shop)
    assert status == "200"
    assert took > 0.4, took
    shown = fault(shop, "list", "--json").json()["faults"]
    assert [(one["fault"], one["role"]) for one in shown] == [(["slow", "a", "400ms"], "app")]
    begin(shop, "clear", str(shown[0]["id"]))
    assert ask(shop)[1] < 0.3


def test_a_share_of_requests_gets_errors_and_faults_are_independent(shop: Lab) -> None:
    begin(shop, "error", "a", "503", "50%", "--for", "30s")
    urls = [f"http://a:8080/health?{number}" for number in range(40)]
    outputs = [word for url in urls for word in ("-o", "/dev/null", url)]
    done = shop.netlab("exec", "c", "--lab", shop.name, "--", "curl", "-s", "-w", "%{http_code}\n", *outputs)
    statuses = done.stdout.split()
    assert set(statuses) == {"200", "503"}, statuses
    assert 8 <= statuses.count("503") <= 32, statuses
    begin(shop, "slow", "a", "400ms", "--for", "30s")
    begin(shop, "clear", str(listed(shop)[0]["id"]))
    assert ask(shop) > ("200", 0.4)  # the other goes on
    begin(shop, "clear")


def test_a_fault_of_requests_ends_with_its_role(shop: Lab) -> None:
    begin(shop, "slow", "a", "400ms", "--for", "30s")
    begin(shop, "kill", "a", "--for", "200ms")
    until_none(shop)
    assert ask(shop)[1] < 0.3
    assert [one.get("cause") for one in last_events(shop, 3)] == ["role ended", None, "time"]


def test_a_partition_takes_the_carrier_and_gives_back_what_was_there(shop: Lab) -> None:
    def states() -> list[str]:
        return [one["state"] for one in LabClient.connect(shop.name).links()]

    assert shop.netlab("link", "down", "b:eth0", "--lab", shop.name).status == 0
    begin(shop, "partition", "a", "sw", "--for", "60s")
    assert states() == ["down", "down", "up"]
    assert ask(shop, seconds=1)[0] == "000"
    begin(shop, "partition", "sw", "--for", "60s")
    assert states() == ["down", "down", "down"]
    first, second = (str(one["id"]) for one in listed(shop))
    begin(shop, "clear", first)
    assert states() == ["down", "down", "down"]  # the other still has it
    begin(shop, "clear", second)
    assert states() == ["up", "down", "up"]  # b's link was pulled before
    assert shop.netlab("link", "up", "b:eth0", "--lab", shop.name).status == 0
    assert ask(shop)[0] == "200"


def test_busy_processes_run_and_are_gone_afterwards(shop: Lab) -> None:
    def busy() -> list[int]:
        found = {one["name"]: one["pid"] for one in shop.status()["processes"]}
        return [pid for name, pid in found.items() if name.startswith("c.cpu-")]

    begin(shop, "cpu", "c", "2", "--for", "30s")
    pids = busy()
    assert len(pids) == 2
    poll_until(lambda: all(int(stat_of(pid)[11]) >= 5 for pid in pids), "both compute")
    begin(shop, "clear")
    assert busy() == []
    poll_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "both have ended")
    assert shop.status()["healthy"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_without_a_time_a_fault_ends_with_its_command(shop: Lab, number: int) -> None:
    holder = shop.start("fault", "slow", "a", "400ms", "--lab", shop.name)
    try:
        poll_until(lambda: bool(listed(shop)), "the fault is there")
        assert ask(shop)[1] > 0.4
        os.kill(holder.pid, number)
        _, said = holder.communicate(timeout=20)
    finally:
        holder.kill()
        holder.wait()
    until_none(shop)
    assert ask(shop)[1] < 0.3, said
    assert last_events(shop, 1)[0]["cause"] in ("cleared", "abandoned"), said


def test_whoever_holds_a_fault_ends_when_it_is_cleared_or_the_lab_is_taken_down(lab: Lab) -> None:
    lab.up(SHOP)
    for end in (("fault", "clear", "--lab", lab.name), ("down", lab.name)):
        holder = lab.start("fault", "pause", "a", "--lab", lab.name)
        poll_until(lambda: bool(listed(lab)), "the fault is there")
        started = time.monotonic()
        assert lab.netlab(*end).status == 0
        _, said = holder.communicate(timeout=20)
        assert holder.returncode == 0, said
        assert time.monotonic() - started < 15
    lab.assert_gone()


def test_a_role_that_cannot_come_back_says_why(lab: Lab) -> None:
    lab.up(SHOP)
    holder = lab.start("fault", "kill", "a", "--lab", lab.name)
    poll_until(lambda: bool(listed(lab)), "the fault is there")
    server = ("python3", "-m", "http.server", "8080")
    squatter = lab.start("exec", "a", "--lab", lab.name, "--", *server)
    poll_until(lambda: ask(lab)[0] == "404", "another has the port")
    done = fault(lab, "clear")
    assert done.status == 1, done
    assert "8080" in done.stderr, done
    _, said = holder.communicate(timeout=20)
    assert holder.returncode == 1, said
    assert "8080" in last_events(lab, 1)[0]["cause"]
    assert listed(lab) == []
    squatter.kill()
    squatter.communicate(timeout=20)
    assert lab.netlab("down", lab.name).status == 0
    lab.assert_gone()


def test_a_program_breaks_parts_of_a_lab_and_whoever_leaves_finds_them_mended(shop: Lab) -> None:
    client = LabClient.connect(shop.name)
    with client.holding_fault(("kill", "a")):
        assert ask(shop)[0] == "000"
    assert ask(shop)[0] == "200"
    with client.holding_fault(("error", "a", "500")):
        assert ask(shop)[0] == "500"
    assert ask(shop)[0] == "200"
    with pytest.raises(InputError, match="no fault"):
        client.fault(("dance", "a"))


WRONG = [
    (("slow", "b.command", "1s"), "slow its link: netlab link set b:eth0 delay=200ms"),
    (("error", "b.command", "503"), "whose responses netlab can't change"),
    (("kill", "b"), "say which one: b."),
    (("kill", "c"), "node c has no role"),
    (("kill", "zz"), "the lab has no node 'zz'"),
    (("partition", "a", "b"), "a has links to sw"),
    (("partition", "zz"), "the lab has no node 'zz'"),
    (("cpu", "zz"), "the lab has no node 'zz'"),
    (("cpu", "a", "1000"), "no number of processes from 1 to 64"),
    (("clear", "77"), "there never was a fault 77"),
    (("kill", "a", "--for", "1x"), "is not a duration"),
    (("kill", "a", "--for", "0"), "lasts for more than 0 s"),
]


def test_what_cannot_be_says_why_and_leaves_nothing(shop: Lab) -> None:
    for words, cause in WRONG:
        done = fault(shop, *words)
        assert done.status == 2, done
        assert cause in done.stderr, done
