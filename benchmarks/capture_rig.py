"""What `capture` measures on: pairs of hosts, and one process that sends frames at a fixed rate from all.

Every interface sends and receives as much, and each frame is seen at two interfaces: once out, once in.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from netlab.fabric.enter import enter, in_thread
from netlab.fabric.kernel import Kernel
from netlab.plan.ops import CreateNamespace, CreateVeth, Operation, Port, SetOffloads, SetSysctl

FRAME_BYTES = 256
_TICK_S = 0.01
_ETH_P_IP = 0x0800

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Sent:
    """Frames that the kernel took, in how many seconds, and the processor time of the sending process."""

    frames: int
    seconds: float
    cpu_s: float


def nodes(pairs: int) -> list[str]:
    """The names of the hosts; each has eth0, and a0 is linked with b0."""
    return [f"{side}{number}" for number in range(pairs) for side in "ab"]


def mac(node: str) -> str:
    """Of the node's eth0."""
    return f"02:00:00:00:{int(node[1:]):02x}:{node[0]}0"


@contextmanager
def rig(pairs: int) -> Iterator[dict[str, int]]:
    """Node ─► descriptor of its namespace. IPv6 is off, so that the hosts themselves say nothing."""
    operations: list[Operation] = []
    for number in range(pairs):
        ends = [f"a{number}", f"b{number}"]
        operations += [CreateNamespace(node) for node in ends]
        operations += [SetSysctl(node, "net.ipv6.conf.all.disable_ipv6", "1") for node in ends]
        operations.append(CreateVeth(*(Port(node, "eth0", mac(node), 1500) for node in ends)))
        operations += [SetOffloads(node, "eth0", enabled=False) for node in ends]
    kernel = Kernel()
    try:
        kernel.apply(operations)
        yield {node: kernel.namespace(node) for node in nodes(pairs)}
    finally:
        kernel.close()


def send(namespaces: dict[str, int], packets_per_second: int, seconds: float) -> Sent:
    """Frames from every host to the other end of its link, at this rate over all, from a forked process."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            frames, elapsed = _body(namespaces, packets_per_second, seconds)
            os.write(write_end, struct.pack("=Qd", frames, elapsed))
        finally:
            os._exit(0)
    os.close(write_end)
    _, status, usage = os.wait4(child, 0)
    said = os.read(read_end, 16)
    os.close(read_end)
    if status or len(said) != 16:
        raise RuntimeError("the sending process failed")
    frames, elapsed = struct.unpack("=Qd", said)
    return Sent(frames, elapsed, usage.ru_utime + usage.ru_stime)


def _body(namespaces: dict[str, int], packets_per_second: int, seconds: float) -> tuple[int, float]:
    senders = [_Sender(node, namespace) for node, namespace in namespaces.items()]
    sent, started = 0, time.monotonic()
    each = packets_per_second * seconds / len(senders)
    while (elapsed := time.monotonic() - started) < seconds:
        due = int(each * elapsed / seconds) * len(senders)
        count = (due - sent) // len(senders)
        sent += sum(sender.send(count) for sender in senders) if count else 0
        time.sleep(_TICK_S)
    return sent, time.monotonic() - started


class _Sender:
    """One host's packet socket, and a batch of frames for sendmmsg(2)."""

    BATCH = 64

    def __init__(self, node: str, namespace: int) -> None:
        peer = ("b" if node[0] == "a" else "a") + node[1:]

        def bound() -> socket.socket:
            enter(namespace)
            opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            opened.bind(("eth0", 0))
            return opened

        self.socket = in_thread(bound)
        addresses = bytes.fromhex(mac(peer).replace(":", "") + mac(node).replace(":", ""))
        self.frame = ctypes.create_string_buffer(addresses + _datagram(), FRAME_BYTES)
        self.vector = (ctypes.c_uint64 * 2)(ctypes.addressof(self.frame), FRAME_BYTES)
        self.headers = (ctypes.c_uint64 * (8 * self.BATCH))()  # struct mmsghdr
        for number in range(self.BATCH):
            self.headers[8 * number + 2] = ctypes.addressof(self.vector)
            self.headers[8 * number + 3] = 1

    def send(self, count: int) -> int:
        done = 0
        while done < count:
            wanted = min(count - done, self.BATCH)
            sent = _libc.sendmmsg(self.socket.fileno(), ctypes.byref(self.headers), wanted, 0)
            if sent < 0:
                raise OSError(ctypes.get_errno(), "sendmmsg")
            done += sent
        return done


def _datagram() -> bytes:
    """EtherType, IPv4 and UDP headers, the rest zeros; nobody takes it."""
    size = FRAME_BYTES - 14
    ip = struct.pack(">BBHHHBBH4B4B", 0x45, 0, size, 1, 0, 64, 17, 0, *(10, 0, 0, 1), *(10, 0, 0, 2))
    return struct.pack(">H", _ETH_P_IP) + ip + struct.pack(">HHHH", 9, 9, size - 20, 0)


def spread(values: Sequence[float]) -> str:
    """The rounds, for who doubts the best of them."""
    return " ".join(f"{value:.2f}" for value in values)
