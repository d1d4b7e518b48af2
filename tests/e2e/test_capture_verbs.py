"""Captures of a running lab, started, listed and stopped by the installed command."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from netlab.decode.frame import frames
from netlab.errors import CaptureError
from netlab.lab.client import LabClient
from netlab.proto import pcapng
from tests.e2e.conftest import Done, Lab
from tests.kit.poll import poll_until

PAIR = """
name: pair
nodes:
  a: {interfaces: {eth0: [10.77.0.1/24]}}
  b: {interfaces: {eth0: [10.77.0.2/24]}}
links:
  - {ends: [a:eth0, b:eth0], rate: {up: 10mbit, down: 100mbit}, delay: 1ms}
"""


@pytest.fixture
def pair(lab: Lab) -> Iterator[Lab]:
    lab.up(PAIR)
    yield lab
    assert lab.netlab("down", lab.name).status == 0
    lab.assert_gone()


def capture(lab: Lab, *words: str) -> Done:
    return lab.netlab("capture", *words, "--lab", lab.name)


def flushed(directory: Path, node: str) -> int:
    """How many packets of the node's eth0 are in its files by now, while it is recorded."""
    found = [directory / f"{node}.eth0.{way}.pcap" for way in ("in", "out")]
    return sum(len(list(frames(path.read_bytes()))) for path in found if path.stat().st_size)


def ping(lab: Lab) -> None:
    done = lab.netlab(
        "exec", "a", "--lab", lab.name, "--", "ping", "-c", "3", "-i", "0.05", "-W", "2", "10.77.0.2"
    )
    assert done.status == 0, done


def test_two_captures_side_by_side(pair: Lab, tmp_path: Path) -> None:
    assert capture(pair, "start", "--out", str(tmp_path / "all")).status == 0
    one = capture(pair, "start", "--on", "?:eth*,a", "--filter", "icmp[0] == 8",
                  "--snaplen", "40", "--out", str(tmp_path / "one"))  # fmt: skip
    assert one.status == 0, one
    ping(pair)
    listed = capture(pair, "list", "--json").json()["captures"]
    assert [(found["id"], found["filter"], found["state"]) for found in listed] == [
        (1, "", "running"),
        (2, "icmp[0] == 8", "running"),
    ]
    unclear = capture(pair, "stop")
    assert unclear.status == 1, unclear
    assert "several captures are running: 1, 2" in unclear.stderr
    for number in ("1", "2"):
        stopped = capture(pair, "stop", number)
        assert stopped.status == 0, stopped
        assert "0 dropped" in stopped.stdout
    echoes = list(frames((tmp_path / "one" / "trace.pcapng").read_bytes()))
    assert [(len(frame.data), frame.node) for frame in echoes] == [(40, "a"), (40, "b")] * 3
    assert len(list(frames((tmp_path / "all" / "trace.pcapng").read_bytes()))) >= 12
    assert capture(pair, "list", "--json").json() == {"captures": []}


def test_a_recorder_that_is_killed_leaves_what_it_wrote(pair: Lab, tmp_path: Path) -> None:
    tmp_path /= "seen"
    assert capture(pair, "start", "--on", "a:eth0", "--filter", "icmp", "--out", str(tmp_path)).status == 0
    ping(pair)
    raw = tmp_path / "a.eth0.out.pcap"
    poll_until(lambda: flushed(tmp_path, "a") == 6, "the recorder flushes six packets")
    recorders = [one for one in pair.status()["processes"] if one["name"] == "recorder"]
    os.kill(recorders[0]["pid"], signal.SIGKILL)
    client = LabClient.connect(pair.name)
    poll_until(lambda: client.captures()[0]["state"] == "was killed by SIGKILL", "its end is seen")
    with raw.open("ab") as file:
        file.write(raw.read_bytes()[24:50])  # as a write that was cut off
    stopped = capture(pair, "stop")
    assert stopped.status == 1, stopped
    assert "was killed by SIGKILL" in stopped.stderr
    assert "6 packets, drops unknown" in stopped.stdout
    assert len(list(frames((tmp_path / "trace.pcapng").read_bytes()))) == 6
    assert pair.status()["healthy"]


def test_a_command_of_a_user_logs_its_keys(pair: Lab, tmp_path: Path) -> None:
    """Any program that honours SSLKEYLOGFILE; here, one that writes what another would."""
    line = f"CLIENT_RANDOM {'ab' * 32} {'cd' * 48}"
    tmp_path /= "seen"
    assert capture(pair, "start", "--out", str(tmp_path)).status == 0
    script = f'echo "{line}" >> "$SSLKEYLOGFILE"; ls /run/netlab'
    done = pair.netlab("exec", "a", "--lab", pair.name, "--", "sh", "-c", script)
    assert done.status == 0, done
    assert done.stdout.split() == ["keys.log", "trust.pem"], "and nothing else of the lab is seen"
    assert capture(pair, "stop").status == 0
    blocks = list(pcapng.read((tmp_path / "hops" / "a.eth0.pcapng").read_bytes()))
    assert [line.encode() in one.data for one in blocks if isinstance(one, pcapng.Secrets)] == [True]
    assert [one.speed_bps for one in blocks if isinstance(one, pcapng.Interface)] == [10_000_000]


def test_an_interface_that_vanishes_while_it_is_captured(pair: Lab, tmp_path: Path) -> None:
    tmp_path /= "seen"
    assert capture(pair, "start", "--filter", "icmp", "--out", str(tmp_path)).status == 0
    ping(pair)
    gone = pair.netlab("exec", "a", "--lab", pair.name, "--", "ip", "link", "delete", "eth0")
    assert gone.status == 0, gone
    stopped = capture(pair, "stop")
    assert stopped.status == 1, stopped
    assert "The interface disappeared" in stopped.stderr
    assert len(list(frames((tmp_path / "trace.pcapng").read_bytes()))) == 12


def test_packets_that_open_something_are_commented(pair: Lab, tmp_path: Path) -> None:
    tmp_path /= "seen"
    assert capture(pair, "start", "--filter", "tcp", "--out", str(tmp_path)).status == 0
    script = "exec 3<>/dev/tcp/10.77.0.2/9"  # refused: nothing listens
    assert pair.netlab("exec", "a", "--lab", pair.name, "--", "bash", "-c", script).status == 1
    assert capture(pair, "stop").status == 0
    for name, sightings in (("trace.pcapng", 2), ("hops/a.eth0.pcapng", 1)):
        blocks = pcapng.read((tmp_path / name).read_bytes())
        comments = [one.comment for one in blocks if isinstance(one, pcapng.Packet)]
        assert sorted(comments) == [""] * sightings + ["TCP SYN, a ─► b"] * sightings


def test_a_lab_that_is_killed_leaves_files_that_can_be_read(lab: Lab, tmp_path: Path) -> None:
    tmp_path /= "seen"
    lab.up(PAIR)
    assert capture(lab, "start", "--filter", "icmp", "--out", str(tmp_path)).status == 0
    ping(lab)
    poll_until(lambda: flushed(tmp_path, "b") == 6, "the recorder flushes six packets")
    os.kill(lab.status()["pid"], signal.SIGKILL)
    poll_until(lambda: capture(lab, "list").status == 1, "its end is seen")
    assert flushed(tmp_path, "b") == 6
    assert lab.netlab("gc").status == 0
    lab.assert_gone()


def test_what_makes_no_sense(pair: Lab, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    out = ("--out", str(tmp_path / "out"))
    ring = ("--ring", "100MB", *out)
    cases: list[tuple[tuple[str, ...], int, str]] = [
        (("start", "--filter", "tcp porrt 80", *out), 2, "capture filter 'tcp porrt 80'"),
        (("start", "--on", "a:eth9", *out), 2, "did you mean `a:eth0`?"),
        (("start", "--on", "edge-*", *out), 2, "no interface of the lab matches 'edge-*'"),
        (("start", "--snaplen", "300000", *out), 2, "1 to 262144"),
        (("start", "--out", str(tmp_path / "file" / "x")), 2, "Not a directory"),
        (("start", "--out", str(tmp_path)), 2, "has something in it"),
        (("start", *ring), 2, "a ring of '100MB'"),
        (("stop",), 1, "no capture is running"),
    ]
    for words, status, expected in cases:
        done = capture(pair, *words)
        assert done.status == status, done
        assert expected in done.stderr, done
    assert capture(pair, "list", "--json").json() == {"captures": []}
    assert not (tmp_path / "out").exists()


def test_a_ring_says_what_it_gave_up(pair: Lab, tmp_path: Path) -> None:
    out = tmp_path / "seen"
    begun = capture(pair, "start", "--on", "a", "--filter", "icmp", "--ring", "64KB×2", "--out", str(out))
    assert begun.status == 0, begun
    flood = ("ping", "-c", "400", "-i", "0.002", "-s", "1000", "-q", "10.77.0.2")
    done = pair.netlab("exec", "a", "--lab", pair.name, "--", *flood)
    assert done.status == 0, done
    stopped = capture(pair, "stop", "--json")
    assert stopped.status == 0, stopped
    (told,) = stopped.json()["interfaces"]
    assert told["missing"]["packets"] + told["packets"] == 800, told
    assert 0 < told["missing"]["seconds"] < 60, told
    assert told["packets"] * 1058 <= 128 * 1024, told
    blocks = list(pcapng.read((out / "hops" / "a.eth0.pcapng").read_bytes()))
    count, seconds = told["missing"]["packets"], told["missing"]["seconds"]
    said = f"the ring gave up {count} packets, of the first {seconds:.3f} s"
    assert [one.comment for one in blocks if isinstance(one, pcapng.Statistics)] == [said]


def test_results_belong_to_the_user_that_called_sudo(
    pair: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_UID", "1234")
    monkeypatch.setenv("SUDO_GID", "1235")
    out = tmp_path / "made" / "seen"
    assert capture(pair, "start", "--out", str(out)).status == 0
    assert capture(pair, "stop").status == 0
    owners = {path: (path.stat().st_uid, path.stat().st_gid) for path in (out.parent, out, *out.rglob("*"))}
    assert set(owners.values()) == {(1234, 1235)}, owners
    assert out / "hops" / "b.eth0.pcapng" in owners


def test_a_full_disk_is_told_and_the_pcap_files_can_be_read(pair: Lab, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(disk)], check=True)
    try:
        out = disk / "seen"
        assert capture(pair, "start", "--on", "a", "--filter", "icmp", "--out", str(out)).status == 0
        flood = ("ping", "-c", "600", "-i", "0.002", "-s", "1000", "-q", "10.77.0.2")
        assert pair.netlab("exec", "a", "--lab", pair.name, "--", *flood).status == 0
        stopped = capture(pair, "stop")
        assert stopped.status == 3, stopped
        assert "No space left on device" in stopped.stderr, stopped
        assert f"the pcap files are there: {out}/*.pcap" in stopped.stderr, stopped
        assert not list(out.rglob("*.pcapng")), "nothing that is half written"
        whole = 0
        for path in out.glob("*.pcap"):
            with suppress(CaptureError):
                for _ in frames(path.read_bytes(), path.name):
                    whole += 1
        assert 300 < whole < 600, whole
        assert capture(pair, "list", "--json").json() == {"captures": []}
    finally:
        subprocess.run(["umount", str(disk)], check=True)
