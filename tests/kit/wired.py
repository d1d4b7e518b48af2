"""Two hosts, the relay between them, and frames through it."""

from __future__ import annotations

import json
import os
import socket
import struct
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from netlab.fabric.kernel import Kernel
from netlab.model.impairment import Impairment
from netlab.plan.ops import (
    WIRE,
    AddAddress,
    CreateNamespace,
    CreateVeth,
    Operation,
    Port,
    SetOffloads,
    SetSysctl,
    StartWire,
    WireLink,
)
from netlab.wire.relay import serve
from tests.kit.inside import inside

LINK = "a:eth0--b:eth0"
ECHO = 7
MACS = bytes.fromhex("020000000002020000000001")
ETH_P_ALL = 3


def two_hosts(mtu: int, *, offload: bool) -> list[Operation]:
    """a:eth0 10.0.0.1 -- (wire) -- b:eth0 10.0.0.2, neither knowing IPv6."""
    operations: list[Operation] = [CreateNamespace(WIRE)]
    for number, node in enumerate("ab", start=1):
        operations += [
            CreateNamespace(node),
            CreateVeth(
                Port(node, "eth0", f"02:00:00:00:00:0{number}", mtu),
                Port(WIRE, f"w{number}", f"02:00:00:00:01:0{number}", mtu),
            ),
            SetSysctl(node, "net.ipv6.conf.eth0.disable_ipv6", "1"),
            SetSysctl(WIRE, f"net.ipv6.conf.w{number}.disable_ipv6", "1"),
            SetOffloads(node, "eth0", offload),
            AddAddress(node, "eth0", f"10.0.0.{number}/24"),
        ]
    return operations


class Wired:
    """Two hosts and the relay between them."""

    def __init__(self, kernel: Kernel, up: Impairment, down: Impairment, mtu: int, *, offload: bool) -> None:
        kernel.apply(two_hosts(mtu, offload=offload))
        self.a, self.b = kernel.namespace("a"), kernel.namespace("b")
        self.control, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            self.control.close()
            start = StartWire((WireLink(LINK, "w1", "w2", up, down),))
            run_child(lambda: serve(start, kernel.namespace(WIRE), theirs, seed=1))
        theirs.close()
        self.control.settimeout(10)
        self._answers = self.control.makefile("r")
        assert json.loads(self._answers.readline()) == {"ready": True}

    def ask(self, **request: object) -> dict[str, Any]:
        self.control.sendall(json.dumps(request).encode() + b"\n")
        answer: dict[str, Any] = json.loads(self._answers.readline())
        return answer

    def counters(self, direction: str) -> dict[str, int]:
        found: dict[str, int] = self.ask(op="stats")["ok"]["links"][LINK][direction]
        return found

    def close(self) -> int:
        """End the relay; its exit status."""
        self._answers.close()
        self.control.close()
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def run_child(body: Callable[[], None]) -> None:
    status = 1
    try:
        body()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


Start = Callable[..., Wired]


@contextmanager
def starting(kernel: Kernel) -> Iterator[Start]:
    """Starts relays; ends them, and says so if one didn't end well."""
    started: list[Wired] = []

    def begin(
        up: Impairment, down: Impairment | None = None, mtu: int = 1500, *, offload: bool = False
    ) -> Wired:
        started.append(Wired(kernel, up, down or up, mtu, offload=offload))
        return started[-1]

    yield begin
    assert [wired.close() for wired in started] == [0] * len(started)


def pour(source: socket.socket, sink: socket.socket, count: int, length: int, group: int = 50) -> list[bytes]:
    """Send `count` datagrams from 10.0.0.1 to 10.0.0.2, `group` at a time, and receive what comes."""
    got: list[bytes] = []
    sink.setblocking(False)
    for first in range(0, count, group):
        for number in range(first, min(first + group, count)):
            source.sendto(struct.pack("!I", number).ljust(length, b"."), ("10.0.0.2", ECHO))
        got += received(sink)
    return got


def received(sink: socket.socket) -> list[bytes]:
    got: list[bytes] = []
    while True:
        try:
            got.append(sink.recv(65536))
        except BlockingIOError:
            return got


def frame_of(kind: int, payload: bytes) -> bytes:
    return MACS + struct.pack("!H", kind) + payload


def packet_socket(namespace_fd: int, kind: int) -> socket.socket:
    def opened() -> socket.socket:
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(kind))
        raw.bind(("eth0", kind))
        raw.settimeout(5)
        return raw

    return inside(namespace_fd, opened)


def carried(wired: Wired, frames: list[bytes]) -> list[bytes]:
    """What arrives at b of the frames that a sends, all of one Ethernet type."""
    with packet_socket(wired.a, 0) as source, packet_socket(wired.b, 0x88B5) as sink:
        for frame in frames:
            source.send(frame)
        return [sink.recv(65536) for _ in frames]
