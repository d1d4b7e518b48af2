"""Recorders that are killed while packets come: what they leave can be read to the last whole packet."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from netlab.capture.assemble import assemble, salvage
from netlab.capture.files import RingSize
from netlab.capture.recorder import Target, serve
from netlab.decode.frame import frames
from netlab.errors import CaptureError
from netlab.fabric.kernel import Kernel
from tests.kernel.test_capture import hosts
from tests.kit.inside import udp_socket
from tests.kit.poll import poll_until

MOMENTS_S = (0.0, 0.13, 0.55, 0.91)  # before, about and between the recorder's flushes


@contextmanager
def forked(kernel: Kernel, directory: Path, ring: RingSize | None) -> Iterator[int]:
    """A recorder of a0:eth0 in a process of its own, that records already."""
    target = Target("a0", "eth0", kernel.namespace("a0"))
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            ours.close()
            serve([target], directory, 65535, "udp", theirs, ring)
        finally:
            os._exit(0)
    theirs.close()
    with ours:
        ours.settimeout(20)
        assert ours.recv(100) == b'{"ready": true}\n'
        yield pid


@contextmanager
def chatting(kernel: Kernel) -> Iterator[None]:
    """Numbered datagrams of many sizes, at most ten thousand in a second."""
    done = threading.Event()

    def body() -> None:
        with udp_socket(kernel.namespace("a0")) as udp:
            number = 0
            while not done.is_set():
                udp.sendto(b"%d" % number + bytes(number % 1400), ("10.0.0.2", 9))
                number += 1
                if not number % 100:
                    done.wait(0.01)

    thread = threading.Thread(target=body)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def whole(path: Path) -> list[bytes]:
    """The packets before the place where a file ends too early, as our reader has them."""
    found: list[bytes] = []
    try:
        for frame in frames(path.read_bytes(), path.name):
            found.append(frame.data)  # noqa: PERF401  what comes before an error counts
    except CaptureError:
        pass
    return found


def seen_by_tshark(path: Path) -> int:
    """It says that the file is cut short, and ends with 2, if it is."""
    done = subprocess.run(
        ["tshark", "-r", str(path), "-T", "fields", "-e", "frame.number"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode in (0, 2), done.stderr
    return len(done.stdout.splitlines())


@pytest.mark.needs("tshark")
@pytest.mark.parametrize("ring", [None, RingSize(256 * 1024, 4)], ids=["files", "ring"])
def test_a_recorder_that_is_killed_at_any_moment(
    kernel: Kernel, tmp_path: Path, ring: RingSize | None
) -> None:
    kernel.apply(hosts())
    cut = 0
    for number, moment_s in enumerate(MOMENTS_S if ring is None else MOMENTS_S[1::2]):
        directory = tmp_path / str(number)
        directory.mkdir()
        with forked(kernel, directory, ring) as pid, chatting(kernel):
            poll_until(lambda: any(path.stat().st_size > 24 for path in directory.iterdir()), "it writes")  # noqa: B023
            time.sleep(moment_s)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        left = sorted(directory.glob("*.pcap"))
        packets = {path: whole(path) for path in left if path.stat().st_size >= 24}
        for path, found in packets.items():
            cut += path.stat().st_size > 24 + sum(16 + len(data) for data in found)
            assert seen_by_tshark(path) == len(found), path
        summary = assemble(directory, salvage(directory, [("a0", "eth0")]), "", {}, {})
        sent = [frame.data for frame in frames(summary.files[0].read_bytes()) if frame.direction == "out"]
        numbers = [int(data[42:].rstrip(b"\0") or b"0") for data in sent]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "no hole before the end"
        assert ring is not None or numbers[0] == 0
        assert seen_by_tshark(summary.files[1]) == summary.packets
    assert cut or ring is not None, "one was killed within a packet, or this shows nothing"
