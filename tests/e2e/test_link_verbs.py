"""Links of a live lab, changed by the installed command: on whatever backend this kernel has."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netlab.errors import InputError, LabError
from netlab.lab.client import LabClient
from tests.e2e.conftest import Done, Lab
from tests.kit.poll import poll_until

# a ── 10 ms ── r ── plain ── b; both families everywhere
ROUTED = """
name: routed
nodes:
  a: {interfaces: {eth0: [10.77.0.1/24, "fd00:77::1/64"]}}
  r:
    kind: router
    interfaces: {left: [10.77.0.254/24, "fd00:77::254/64"], right: [10.78.0.254/24, "fd00:78::254/64"]}
  b: {interfaces: {eth0: [10.78.0.1/24, "fd00:78::1/64"]}}
links:
  - {ends: [a:eth0, r:left], delay: 10ms}
  - {ends: [r:right, b:eth0]}
"""
B4, B6 = "10.78.0.1", "fd00:78::1"


@pytest.fixture
def routed(lab: Lab) -> Iterator[Lab]:
    lab.up(ROUTED)
    yield lab
    assert lab.netlab("down", lab.name).status == 0
    lab.assert_gone()


def link(lab: Lab, *words: str) -> Done:
    return lab.netlab("link", *words, "--lab", lab.name)


def show(lab: Lab, end: str) -> Any:
    return link(lab, "show", end, "--json").json()["links"][0]


def ping(lab: Lab, *options: str, to: str = B4) -> Done:
    return lab.netlab("exec", "a", "--lab", lab.name, "--", "ping", *options, to)


def rtt_ms(lab: Lab) -> float:
    """The least of some: what the machine adds is no less than 0."""
    done = ping(lab, "-c", "5", "-i", "0.05", "-W", "2")
    found = re.search(r"= ([\d.]+)/", done.stdout)
    assert found, done
    return float(found[1])


def received(lab: Lab, to: str = B4) -> int:
    """Of five packets. Where `a` has lost its route, ping sends none and says so."""
    done = ping(lab, "-c", "5", "-i", "0.05", "-W", "1", to=to)
    if "Network is unreachable" in done.stderr:
        return 0
    found = re.search(r"(\d+) received", done.stdout)
    assert found, done
    return int(found[1])


def test_set_changes_the_delay_and_the_loss(routed: Lab) -> None:
    assert 20 <= rtt_ms(routed) < 40
    changed = link(routed, "set", "a:eth0", "delay=60ms")
    assert changed.status == 0, changed
    assert "delay 60ms" in changed.stdout
    assert 120 <= rtt_ms(routed) < 150

    one_way = link(routed, "set", "a", "delay=1ms", "--direction", "up")
    assert one_way.status == 0, one_way
    assert 61 <= rtt_ms(routed) < 90
    shown = show(routed, "a:eth0")
    assert shown["up"]["from"] == "a:eth0"
    assert shown["up"]["impairment"]["delay_ns"] == 1_000_000
    assert shown["down"]["impairment"]["delay_ns"] == 60_000_000

    assert link(routed, "set", "r:left", "loss=100%").status == 0
    assert received(routed) == 0
    shown = show(routed, "a:eth0")
    assert shown["state"] == "up"
    counters = shown["up"]["counters"]
    assert counters["dropped" if shown["backend"] == "netem" else "lost"] >= 5, shown
    assert link(routed, "set", "r:left", "loss=0%").status == 0
    assert received(routed) == 5


def test_frames_under_way_survive_a_set(routed: Lab) -> None:
    """They keep the delay that they met: the change is for what comes later."""
    assert link(routed, "set", "a:eth0", "delay=1500ms").status == 0

    def sent() -> int:
        path = "/sys/class/net/eth0/statistics/tx_packets"
        return int(routed.netlab("exec", "a", "--lab", routed.name, "--", "cat", path).stdout)

    before = sent()
    burst = ("ping", "-c", "10", "-i", "0.01", "-W", "6", B4)
    running = routed.start("exec", "a", "--lab", routed.name, "--", *burst)
    poll_until(lambda: sent() >= before + 10, "all of them are under way", 10)
    assert link(routed, "set", "a:eth0", "delay=5ms").status == 0
    stdout, stderr = running.communicate(timeout=30)
    assert " 10 received" in stdout, (stdout, stderr)
    round_trips = [float(found) for found in re.findall(r"time=([\d.]+)", stdout)]
    assert min(round_trips) >= 1500, stdout
    assert rtt_ms(routed) < 100


@pytest.mark.parametrize("end", ["a:eth0", "r:left", "b:eth0", "r:right"])
def test_a_cable_is_pulled_and_plugged_in(routed: Lab, end: str) -> None:
    """Whichever end is named, afterwards both families go through, by routers and hosts alike."""
    assert [received(routed, to) for to in (B4, B6)] == [5, 5]
    down = link(routed, "down", end)
    assert down.status == 0, down
    shown = show(routed, end)
    assert shown["state"] == "down"
    assert [one["carrier"] for one in shown["interfaces"].values()] == [False, False]
    assert received(routed) == 0
    listed = routed.netlab("ps", routed.name)
    assert f"link {shown['name']}: down" in listed.stderr, listed
    assert link(routed, "down", end).status == 0, "down twice is down"

    up = link(routed, "up", end)
    assert up.status == 0, up
    assert show(routed, end)["state"] == "up"
    assert [received(routed, to) for to in (B4, B6)] == [5, 5]


@pytest.mark.parametrize(("node", "interface", "far"), [("a", "eth0", "r:left"), ("r", "left", "a:eth0")])
def test_an_interface_that_goes_down_is_seen_at_the_other_end(
    routed: Lab, node: str, interface: str, far: str
) -> None:
    """As on a cable, though the lab's own interfaces are in between."""

    def carrier() -> bool:
        return bool(show(routed, "a:eth0")["interfaces"][far]["carrier"])

    for state, seen in (("down", False), ("up", True), ("down", False), ("up", True)):
        words = ("ip", "link", "set", interface, state)
        done = routed.netlab("exec", node, "--lab", routed.name, "--", *words)
        assert done.status == 0, done
        poll_until(lambda seen=seen: carrier() is seen, f"{far} sees {node}:{interface} {state}")  # type: ignore[misc]
    assert show(routed, "a:eth0")["state"] == "up"
    assert received(routed, "10.77.0.254") == 5


def test_flap_counts_and_ends_up(routed: Lab) -> None:
    started = time.monotonic()
    done = link(routed, "flap", "b", "--every", "400ms", "--for", "100ms", "--count", "3")
    assert done.status == 0, done
    assert done.stderr.splitlines() == ["down 1", "down 2", "down 3"]
    assert time.monotonic() - started >= 0.9, "two periods, and a part of the third"
    assert show(routed, "b")["state"] == "up"
    assert received(routed) == 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_flap_that_is_interrupted_leaves_the_link_up(routed: Lab, number: signal.Signals) -> None:
    running = routed.start("link", "flap", "a", "--every", "60s", "--for", "50s", "--lab", routed.name)
    assert running.stderr is not None
    assert running.stderr.readline() == "down 1\n"
    assert show(routed, "a")["state"] == "down"
    running.send_signal(number)
    running.communicate(timeout=20)
    if number is signal.SIGINT:
        assert running.returncode == 130
        assert show(routed, "a")["state"] == "up"
    poll_until(lambda: show(routed, "a")["state"] == "up", "whoever wanted it is gone: it is up again")
    assert received(routed) == 5


def test_a_trace_is_played(routed: Lab, tmp_path: Path) -> None:
    path = tmp_path / "walk.csv"
    path.write_text("time,delay,loss\n0,40ms,0%\n4,80ms,0%\n8,,\n")
    begun = link(routed, "play", "a", str(path), "--direction", "down")
    assert begun.status == 0, begun
    assert "down plays walk.csv: step 1 of 2" in begun.stderr
    up, down = begun.stdout.splitlines()[1:]
    assert "delay 10ms" in up, begun
    assert "delay 40ms" in down, begun
    poll_until(lambda: show(routed, "a")["down"]["words"].startswith("delay 80ms"), "the second step", 20)
    poll_until(lambda: show(routed, "a")["playing"] == {}, "its end", 20)
    assert show(routed, "a")["down"]["words"].startswith("delay 10ms"), "what it was before"


def test_a_trace_is_looped_stopped_and_replaced(routed: Lab, tmp_path: Path) -> None:
    path = tmp_path / "cell.trace"
    path.write_text("".join(f"{ms}\n" for ms in range(1, 201)))  # 1500 bytes a millisecond: 12 Mbit/s
    assert link(routed, "play", "a", str(path), "--loop").status == 0
    shown = show(routed, "a")
    assert shown["up"]["impairment"]["rate_bps"] == 12_000_000
    assert shown["playing"]["down"]["repeat"] is True
    time.sleep(0.5)  # two rounds of the trace; what is waited for is that nothing changes
    assert show(routed, "a")["playing"] != {}
    assert link(routed, "play", "a", "--stop").status == 0
    assert show(routed, "a")["up"]["impairment"]["rate_bps"] == 0
    assert link(routed, "play", "a", "--stop").status == 1, "nothing is played any more"

    assert link(routed, "play", "a", str(path), "--loop").status == 0
    assert link(routed, "set", "a", "delay=20ms").status == 0
    shown = show(routed, "a")
    assert shown["playing"] == {}
    assert (shown["up"]["impairment"]["rate_bps"], shown["up"]["impairment"]["delay_ns"]) == (0, 20_000_000)


def test_a_trace_of_the_topology_is_played_from_the_start(lab: Lab) -> None:
    """Also against a link that would be a plain one without it."""
    (lab.directory / "walk.csv").write_text("time,delay\n0,45ms\n3600,\n")
    plain = "  - {ends: [r:right, b:eth0]"
    lab.up(ROUTED.replace(plain, f"{plain}, playback: {{down: walk.csv}}"))
    shown = show(lab, "b")
    assert shown["down"]["words"].startswith("delay 45ms"), shown
    assert shown["up"]["impairment"]["delay_ns"] == 0
    assert shown["playing"]["down"]["repeat"] is True
    assert 65 <= rtt_ms(lab) < 95
    assert link(lab, "play", "b", "--stop").status == 0
    assert 20 <= rtt_ms(lab) < 45
    assert lab.netlab("down", lab.name).status == 0


def test_show_and_status(routed: Lab) -> None:
    shown = link(routed, "show")
    heads, *rows = shown.stdout.splitlines()
    assert heads.split()[:6] == ["FROM", "TO", "MEDIUM", "BACKEND", "STATE", "IMPAIRMENT"]
    assert [row.split()[0] for row in rows] == ["a:eth0", "r:left", "r:right", "b:eth0"]
    assert received(routed) == 5
    documents = {one["name"]: one for one in link(routed, "show", "--json").json()["links"]}
    far = documents["r:right--b:eth0"]
    assert far["backend"] == "none"
    assert far["up"]["counters"]["frames"] >= 5
    status = routed.status()
    assert [one["state"] for one in status["links"]] == ["up", "up"]
    relayed = documents["a:eth0--r:left"]["backend"] == "wire"
    totals = LabClient.connect(routed.name).link_stats()["totals"]
    if relayed:
        assert totals["frames"] >= 10, totals
        assert set(totals) == {"frames", "bytes", "lost", "overlimit", "late", "unable", "in_flight"} | set(
            totals
        )
        assert set(status["relay"]) == set(totals)
    else:
        assert totals is None
        assert status["relay"] is None


def test_rare_counters_are_shown_where_they_count(routed: Lab) -> None:
    assert "DUPLICATED" not in link(routed, "show", "a").stdout
    assert link(routed, "set", "a", "duplicate=100%").status == 0
    assert received(routed) == 5
    table = link(routed, "show", "a").stdout
    if show(routed, "a")["backend"] == "wire":
        heads, *rows = table.splitlines()
        assert heads.split()[-1] == "DUPLICATED", table
        assert all(int(row.split()[-1]) >= 5 for row in rows), table
    else:
        assert "DUPLICATED" not in table, "netem doesn't count them"


def test_what_makes_no_sense(routed: Lab, tmp_path: Path) -> None:
    backwards = tmp_path / "bad.csv"
    backwards.write_text("time,delay\n0,1ms\n2,2ms\n1,3ms\n")
    cases: list[tuple[tuple[str, ...], str]] = [
        (("set", "a:eth1", "delay=1ms"), "did you mean `a:eth0`?"),
        (("set", "r", "delay=1ms"), "r:left, r:right"),
        (("set", "a", "dely=1ms"), "delay"),
        (("set", "a", "delay=1"), "delay"),
        (("set", "a", "loss=150%"), "150%"),
        (("flap", "a", "--every", "1s", "--for", "2s"), "--every 5s --for 1s"),
        (("flap", "a", "--every", "x", "--for", "2s"), "20ms"),
        (("play", "a"), "--stop"),
        (("play", "a", str(backwards)), "bad.csv:4"),
        (("play", "a", str(tmp_path / "none")), "none"),
        (("down", "x"), "no link ends at 'x'"),
    ]
    for words, expected in cases:
        done = link(routed, *words)
        assert done.status == 2, done
        assert expected in done.stderr, done
    assert show(routed, "a")["up"]["words"].startswith("delay 10ms"), "nothing was changed"


def test_a_lab_that_is_not_and_another_that_is(routed: Lab) -> None:
    gone = routed.netlab("link", "show", "--lab", "no-such-lab")
    assert gone.status == 1, gone
    assert "there is no lab 'no-such-lab'" in gone.stderr
    other = Lab(f"{routed.name}-2", routed.directory)
    other.up(ROUTED.replace("b:", "c:").replace("b:eth0", "c:eth0"))
    try:
        elsewhere = link(other, "down", "b:eth0")
        assert elsewhere.status == 2, elsewhere
        assert f"--lab {routed.name}" in elsewhere.stderr
    finally:
        assert other.netlab("down", other.name).status == 0


def test_a_plain_link_is_changed_or_says_why_not(routed: Lab) -> None:
    done = link(routed, "set", "b", "delay=30ms", "--direction", "up")
    if show(routed, "a")["backend"] == "wire":
        assert done.status == 1, done
        assert "backend: wire" in done.stderr
        assert show(routed, "b")["up"]["words"] == "perfect"
    else:
        assert done.status == 0, done
        assert "captures see its frames after the delay" in done.stderr
        assert rtt_ms(routed) >= 50
        assert show(routed, "b")["down"]["words"] == "perfect"
        assert link(routed, "set", "b", "delay=30ms").status == 0
        assert rtt_ms(routed) >= 80


def test_a_relay_that_dies_takes_its_carriers_along(routed: Lab) -> None:
    wires = [one for one in routed.status()["processes"] if one["name"] == "wire"]
    if not wires:
        pytest.skip("this kernel has netem: nothing is relayed")
    os.kill(wires[0]["pid"], signal.SIGKILL)
    poll_until(lambda: show(routed, "a")["state"] == "relay ended", "it is shown")
    assert [one["carrier"] for one in show(routed, "a")["interfaces"].values()] == [False, False]
    assert show(routed, "b")["state"] == "up"
    listed = routed.netlab("ps", routed.name)
    assert listed.status == 1
    assert "link a:eth0--r:left: relay ended" in listed.stderr, listed
    refused = link(routed, "set", "a", "delay=30ms")
    assert refused.status == 1, refused
    assert "relay was killed by SIGKILL" in refused.stderr
    assert "netlab link up a:eth0" in refused.stderr

    up = link(routed, "up", "a")  # starts it again
    assert up.status == 0, up
    assert show(routed, "a")["state"] == "up"
    assert received(routed) == 5
    assert 20 <= rtt_ms(routed) < 40
    again = routed.netlab("ps", routed.name)
    assert again.status == 0, again
    assert "the relay ended and was started again 1 time" in again.stderr


def test_an_interface_that_a_user_deleted(routed: Lab) -> None:
    gone = routed.netlab("exec", "a", "--lab", routed.name, "--", "ip", "link", "delete", "eth0")
    assert gone.status == 0, gone
    assert show(routed, "a")["interfaces"].keys() <= {"r:left"}
    for words in (("down", "r:left"), ("up", "r:left"), ("set", "a", "delay=1ms"), ("show",)):
        assert link(routed, *words).status in (0, 1), "it may fail, but the lab lives on"
    assert routed.status()["state"] == "up"


def test_from_python(routed: Lab, tmp_path: Path) -> None:
    lab = LabClient.connect(routed.name)
    one = lab.link("a:eth0")
    shown = one.set(delay="30ms", loss="0.5%", direction="down")
    assert shown["down"]["impairment"]["loss"] == 0.005
    assert shown["up"]["impairment"]["delay_ns"] == 10_000_000
    assert one.down()["state"] == "down"
    assert one.up()["state"] == "up"
    told: list[int] = []
    assert one.flap(0.2, 0.05, 2, told.append)["state"] == "up"
    assert told == [1, 2]
    path = tmp_path / "short.csv"
    path.write_text("time,delay\n0,70ms\n60,\n")
    assert one.play(path)["up"]["words"].startswith("delay 70ms")
    assert one.stop()["up"]["words"].startswith("delay 10ms")
    assert [found["name"] for found in lab.links()] == ["a:eth0--r:left", "r:right--b:eth0"]
    with pytest.raises(InputError, match="no link ends"):
        lab.link("z").show()
    with pytest.raises(LabError, match="plays nothing"):
        one.stop()
