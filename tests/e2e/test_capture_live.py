"""`netlab capture live`: a stream that Wireshark's programs read while it is made; and secrets of programs
that honour SSLKEYLOGFILE."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from netlab.proto import pcapng
from tests.e2e.conftest import NETLAB, Lab
from tests.kit.poll import poll_until

PAIR = """
name: pair
nodes:
  a:
    interfaces: {eth0: [10.77.0.1/24]}
    roles:
      - kind: command
        argv: [sh, -c, "while sleep 0.3; do curl -sk -o /dev/null https://10.77.0.2/role; done"]
  b:
    interfaces: {eth0: [10.77.0.2/24]}
    roles:
      - kind: command
        argv: [sh, -c, "exec openssl s_server -quiet -accept 443 -cert $NETLAB_CERT -key $NETLAB_KEY -www"]
        names: [b.example]
        ready_port: 443
links:
  - {ends: [a:eth0, b:eth0], rate: 100mbit, delay: 1ms}
"""
HTTP = ("-Y", "http.request.uri", "-T", "fields", "-e", "frame.interface_name", "-e", "http.request.uri")
HTTP_SENT = (*HTTP, "-e", "frame.packet_flags_direction")


@pytest.fixture
def pair(lab: Lab) -> Iterator[Lab]:
    lab.up(PAIR)
    yield lab
    assert lab.netlab("down", lab.name).status == 0
    lab.assert_gone()


def live(lab: Lab, *words: str) -> list[str]:
    return [str(NETLAB), "capture", "live", "--lab", lab.name, *words]


def ask(lab: Lab, path: str) -> None:
    done = lab.netlab(
        "exec", "a", "--lab", lab.name, "--", "curl", "-sk", "-o", "/dev/null", f"https://10.77.0.2{path}"
    )
    assert done.status == 0, done


@contextmanager
def asking(lab: Lab, path: str) -> Iterator[None]:
    """Asks again and again until the context is left."""
    done = threading.Event()

    def body() -> None:
        while not done.wait(0.1):
            ask(lab, path)

    thread = threading.Thread(target=body)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def captures(lab: Lab) -> list[str]:
    done = lab.netlab("capture", "list", "--lab", lab.name, "--json")
    return [one["state"] for one in done.json()["captures"]] if done.status == 0 else []


@pytest.mark.needs("tshark")
@pytest.mark.parametrize("source", [("-r", "-"), ("-i", "-")], ids=["file", "interface"])
def test_wireshark_reads_it_decrypted_while_it_happens(pair: Lab, source: tuple[str, str]) -> None:
    """`wireshark -k -i -` reads as `tshark -i -` does. The secrets come before what they decrypt."""
    with (
        subprocess.Popen(live(pair, "--on", "a"), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as stream,
        subprocess.Popen(
            ["tshark", "-l", *source, *HTTP_SENT],
            stdin=stream.stdout,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as reader,
    ):
        assert reader.stdout is not None
        assert stream.stdout is not None
        stream.stdout.close()  # the reader has it
        with asking(pair, "/exec"):
            seen: set[str] = set()
            while len(seen) < 2:
                line = reader.stdout.readline()
                assert line, (seen, stream.stderr.read() if stream.stderr else "")
                seen.add(line.strip())
        assert seen == {"a:eth0\t/exec\t0x00000002", "a:eth0\t/role\t0x00000002"}
        stream.send_signal(signal.SIGINT)
        reader.communicate(timeout=20)
        assert stream.wait(20) == 0
    assert captures(pair) == []


@pytest.mark.needs("tshark")
def test_an_interrupt_ends_it_with_everything_in_it(pair: Lab, tmp_path: Path) -> None:
    path = tmp_path / "live.pcapng"
    with path.open("wb") as file, subprocess.Popen(live(pair, "--filter", "tcp"), stdout=file) as stream:
        poll_until(lambda: captures(pair) == ["running"], "it captures")
        ask(pair, "/before")
        stream.send_signal(signal.SIGTERM)
        assert stream.wait(20) == 0
    blocks = list(pcapng.read(path.read_bytes()))
    packets = [one for one in blocks if isinstance(one, pcapng.Packet)]
    assert [one.time_ns for one in packets] == sorted(one.time_ns for one in packets)
    interfaces = [(one.name, one.speed_bps) for one in blocks if isinstance(one, pcapng.Interface)]
    assert interfaces == [("a:eth0", 100_000_000), ("b:eth0", 100_000_000)]
    told = [(one.received, one.dropped) for one in blocks if isinstance(one, pcapng.Statistics)]
    seen = [sum(one.interface == number for one in packets) for number in (0, 1)]
    assert told == [(count, 0) for count in seen], "what came until the end is in it"
    assert {one.comment for one in packets} >= {"TCP SYN, a ─► b", "TLS ClientHello, a ─► b"}
    shown = subprocess.run(
        ["tshark", "-r", str(path), *HTTP], capture_output=True, text=True, check=True, timeout=60
    )
    assert "a:eth0\t/before" in shown.stdout.splitlines(), shown.stdout  # b's is a second sighting to 4.0


def test_it_ends_when_nobody_reads_any_more(pair: Lab) -> None:
    with subprocess.Popen(live(pair, "--filter", "icmp"), stdout=subprocess.PIPE) as stream:
        assert stream.stdout is not None
        stream.stdout.read(4)
        stream.stdout.close()
        assert stream.wait(20) == 0, "though no packet came"
    poll_until(lambda: captures(pair) == [], "its recorder has ended")


def test_a_killed_reader_leaves_nothing(pair: Lab) -> None:
    with subprocess.Popen(live(pair), stdout=subprocess.PIPE) as stream:
        poll_until(lambda: captures(pair) == ["running"], "it captures")
        stream.kill()
    poll_until(lambda: captures(pair) == [], "its recorder has ended")


@pytest.mark.parametrize("end", ["down", "kill"])
def test_it_ends_with_the_lab(lab: Lab, tmp_path: Path, end: str) -> None:
    lab.up(PAIR)
    path = tmp_path / "live.pcapng"
    with path.open("wb") as file, subprocess.Popen(live(lab), stdout=file, stderr=subprocess.PIPE) as stream:
        poll_until(lambda: path.stat().st_size > 3000, "packets come")
        if end == "down":
            assert lab.netlab("down", lab.name).status == 0
        else:
            os.kill(lab.supervisor(), signal.SIGKILL)
        _, said = stream.communicate(timeout=20)
    assert stream.returncode == (0 if end == "down" else 1), said
    blocks = list(pcapng.read(path.read_bytes()))
    assert any(isinstance(one, pcapng.Statistics) for one in blocks) == (end == "down")
    assert lab.netlab("gc").status == 0
    lab.assert_gone()


def test_a_reader_that_pauses_costs_packets_and_no_memory(pair: Lab) -> None:
    """What the stream has no room for waits in pipes, then in the kernel's rings; the drops are told."""
    with subprocess.Popen(live(pair, "--on", "a", "--filter", "udp"), stdout=subprocess.PIPE) as stream:
        poll_until(lambda: captures(pair) == ["running"], "it captures")
        script = (
            "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            "for n in range(120000): s.sendto(bytes(1000), ('10.77.0.2', 9))"
        )
        done = pair.netlab("exec", "a", "--lab", pair.name, "--", "python3", "-c", script)
        assert done.status == 0, done
        (recorder,) = [one for one in pair.status()["processes"] if one["name"] == "recorder"]
        status = Path(f"/proc/{recorder['pid']}/status").read_text()
        anonymous_kb = int(status.partition("RssAnon:")[2].split()[0])
        assert anonymous_kb < 250_000, "of 120 MB that came, at most 64 MB may wait here"
        stream.send_signal(signal.SIGINT)
        assert stream.stdout is not None
        blocks = list(pcapng.read(stream.stdout.read()))
        assert stream.wait(20) == 0
    (told,) = [one for one in blocks if isinstance(one, pcapng.Statistics)]
    packets = sum(isinstance(one, pcapng.Packet) for one in blocks)
    assert (told.received - told.dropped, told.received >= 120_000) == (packets, True), told


def test_a_terminal_is_refused(pair: Lab) -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run(
        live(pair), stdout=theirs, stderr=subprocess.PIPE, text=True, check=False, timeout=20
    )
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 2, done
    assert "wireshark -k -i -" in done.stderr


def test_what_makes_no_sense(pair: Lab) -> None:
    cases: list[tuple[tuple[str, ...], int, str]] = [
        (("--filter", "tcp porrt 80"), 2, "capture filter 'tcp porrt 80'"),
        (("--on", "a,c"), 2, "no interface of the lab matches 'c'"),
        (("--snaplen", "300000"), 2, "1 to 262144"),
        ((), 3, "No space left on device"),
    ]
    for words, status, expected in cases:
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(
                live(pair, *words), stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=20
            )
        assert (done.returncode, expected in done.stderr) == (status, True), done
    poll_until(lambda: captures(pair) == [], "no recorder is left")


@pytest.mark.needs("tshark")
def test_programs_that_honour_sslkeylogfile_are_decrypted(pair: Lab, tmp_path: Path) -> None:
    """curl as `netlab exec` and as a role of kind `command`. The server logs nothing."""
    out = tmp_path / "seen"
    lab = ("--lab", pair.name)
    assert pair.netlab("capture", "start", "--out", str(out), *lab).status == 0
    ask(pair, "/exec")
    time.sleep(1)  # in which the role asks too
    stopped = pair.netlab("capture", "stop", *lab)
    assert stopped.status == 0, stopped
    for node in "ab":
        path = out / "hops" / f"{node}.eth0.pcapng"
        shown = subprocess.run(
            ["tshark", "-r", str(path), *HTTP], capture_output=True, text=True, check=True, timeout=60
        )
        wanted = {f"{node}:eth0\t/exec", f"{node}:eth0\t/role"}
        assert set(shown.stdout.splitlines()) == wanted, shown.stdout
        said = {one.comment for one in pcapng.read(path.read_bytes()) if isinstance(one, pcapng.Packet)}
        assert said >= {"HTTP/1.1 GET /exec, a ─► b", "HTTP/1.1 GET /role, a ─► b"}, said
