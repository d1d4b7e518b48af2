"""What `links` measures on: two hosts, a link of a backend between them, and the relay if it is wire."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from netlab.fabric.enter import enter, in_thread
from netlab.fabric.kernel import Kernel
from netlab.model.impairment import Impairment
from netlab.plan.ops import (
    MIDDLE,
    WIRE,
    AddAddress,
    CreateNamespace,
    CreateVeth,
    CrossConnect,
    Operation,
    Port,
    SetOffloads,
    SetQdisc,
    SetSysctl,
    StartWire,
    WireLink,
)
from netlab.wire.relay import serve

Backend = Literal["none", "netem", "wire"]


@dataclass
class Rig:
    """Two hosts, a:eth0 10.0.0.1 and b:eth0 10.0.0.2, the link between them, and idle links beside it."""

    a: int
    b: int
    relay: int | None = None  # process id
    control: socket.socket | None = None

    def stats(self) -> dict[str, int]:
        """The relay's counters from a to b, and the lab's `unable`; empty without a relay."""
        if self.control is None:
            return {}
        self.control.sendall(b'{"op":"stats"}\n')
        answer = json.loads(self.control.makefile().readline())["ok"]
        counters: dict[str, int] = answer["links"]["link0"]["up"]
        counters["unable"] += answer["unable"]
        return counters


def hosts(number: int) -> list[Operation]:
    """Node `a` or `b` of link `number`, without its link."""
    return [CreateNamespace(f"a{number}"), CreateNamespace(f"b{number}")]


def link(backend: Backend, number: int, impairment: Impairment) -> list[Operation]:
    """The link of `a` and `b`, through a namespace in its middle or not."""
    ends = [Port(f"{side}{number}", "eth0", f"02:00:00:00:{number:02x}:0{at}", 1500) for at, side in _SIDES]
    node = _MIDDLES.get(backend, "")
    middle = [Port(node, f"{side}{number}", f"02:00:00:01:{number:02x}:0{at}", 1500) for at, side in _SIDES]
    pairs = list(zip(ends, middle, strict=True)) if node else [(ends[0], ends[1])]
    operations: list[Operation] = [CreateVeth(one, other) for one, other in pairs]
    ports = [port for pair in pairs for port in pair]
    for port in ports:
        key = f"net.ipv6.conf.{port.interface}.disable_ipv6"
        operations.append(SetSysctl(port.node, key, "1"))
    for port, (at, _) in zip(ends, _SIDES, strict=True):
        operations += [
            SetOffloads(port.node, port.interface, enabled=False),
            AddAddress(port.node, port.interface, f"10.0.0.{at}/24"),
        ]
    if backend == "netem":
        inner = [port.interface for port in middle]
        operations.append(CrossConnect(f"link{number}", MIDDLE, inner[0], inner[1]))
        operations += [SetQdisc(MIDDLE, name, impairment) for name in inner]
    return operations


_MIDDLES = {"wire": WIRE, "netem": MIDDLE}
_SIDES = ((1, "a"), (2, "b"))


@contextmanager
def rig(backend: Backend, impairment: Impairment, idle_links: int = 0) -> Iterator[Rig]:
    """A link of that impairment both ways, and `idle_links` more in the same relay."""
    kernel, numbers = Kernel(), range(1 + idle_links)
    operations: list[Operation] = [CreateNamespace(_MIDDLES[backend])] if backend in _MIDDLES else []
    for number in numbers:
        operations += hosts(number) + link(backend, number, impairment)
    kernel.apply(operations)
    made = Rig(kernel.namespace("a0"), kernel.namespace("b0"))
    try:
        if backend == "wire":
            wires = tuple(WireLink(f"link{n}", f"a{n}", f"b{n}", impairment, impairment) for n in numbers)
            made.control, theirs = socket.socketpair()
            made.relay = child(
                lambda: serve(StartWire(wires), kernel.namespace(WIRE), theirs, 1), made.control
            )
            theirs.close()
            made.control.makefile().readline()
        warm(made.a)
        yield made
    finally:
        if made.control is not None and made.relay is not None:
            made.control.close()
            os.waitpid(made.relay, 0)
        kernel.close()


def child(body: Callable[[], None], unwanted: socket.socket | None = None) -> int:
    """A process that runs `body`; its id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        if unwanted is not None:
            unwanted.close()
        body()
        status = 0
    except BaseException:  # noqa: BLE001  (the child must never return into the parent's code)
        traceback.print_exc()
    finally:
        os._exit(status)


def inside(namespace_fd: int, opener: Callable[[], socket.socket]) -> socket.socket:
    """A socket of the namespace."""

    def opened() -> socket.socket:
        enter(namespace_fd)
        return opener()

    return in_thread(opened)


def warm(namespace_fd: int) -> None:
    """Let the hosts resolve each other's address."""

    def ping() -> None:
        enter(namespace_fd)
        subprocess.run(
            ["ping", "-n", "-c", "3", "-i", "0.01", "-w", "5", "10.0.0.2"], capture_output=True, check=True
        )

    in_thread(ping)
