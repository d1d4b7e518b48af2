"""The floor under `netlab up` of a chain: the same namespaces, veths, addresses and routes by raw netlink.

No model, no plan, no checks and no errors with names: the least that any program must ask of the kernel,
with one send for all veths, and one for each namespace.

Run as root: python -m benchmarks.fabric_floor [NODES] [FILE]. FILE has the routes of the plan, a line
each: number of the node, network, prefix length, gateway. Prints the seconds.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import socket
import struct
import sys
import threading
import time
from pathlib import Path

CLONE_NEWNET = 0x4000_0000
SIOCGSKNS = 0x894C
CREATE_ACK = 0x605  # NLM_F_REQUEST | NLM_F_ACK | NLM_F_EXCL | NLM_F_CREATE
CREATE = 0x601
REQUEST = 0x1
HEADER = struct.Struct("=IHHII")
INFO = struct.Struct("=BxHiII")
ADDRESS = struct.Struct("=BBBBiHH4sHH4s")
ROUTE = struct.Struct("=BBBBBBBBIHH4sHH4s")
U32 = struct.Struct("=HHI")
RIGHT, LEFT = 1000, 2000  # interface indices: with one index at both ends, Linux is slow to see the carrier

Routes = list[tuple[int, bytes, int, bytes]]


def address(link: int, end: int) -> bytes:
    """The address of one end (1 or 2) of the chain's link: the /30s of 10.0.0.0/8, one after another."""
    return struct.pack("!I", (10 << 24) + 4 * link + end)


def message(kind: int, body: bytes, flags: int = CREATE) -> bytes:
    """A whole netlink message."""
    return HEADER.pack(16 + len(body), kind, flags, 0, 0) + body


def attribute(kind: int, value: bytes) -> bytes:
    """An attribute, padded."""
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def end(name: bytes, index: int, namespace_fd: int, flags: int) -> bytes:
    """ifinfomsg, name and namespace of one end of a veth."""
    return INFO.pack(0, 0, index, flags, flags) + attribute(3, name) + U32.pack(8, 28, namespace_fd)


def link(number: int, here: int, there: int) -> bytes:
    """RTM_NEWLINK of the chain's link from the namespace `here` to `there`."""
    peer = attribute(1, end(b"left\0", LEFT + number, there, 0))
    info = attribute(18, attribute(1, b"veth\0") + attribute(2, peer))
    return message(16, end(b"right\0", RIGHT + number, here, 1) + info)


def add_address(index: int, local: bytes) -> bytes:
    """RTM_NEWADDR of a /30."""
    return message(20, ADDRESS.pack(2, 30, 0, 0, index, 8, 2, local, 8, 1, local))


def add_route(network: bytes, bits: int, via: bytes) -> bytes:
    """RTM_NEWROUTE in the main table."""
    return message(24, ROUTE.pack(2, bits, 0, 0, 254, 4, 0, 1, 0, 8, 1, network, 8, 5, via))


def send(route: socket.socket, messages: list[bytes]) -> None:
    """Send all at once; what the kernel answers is an error."""
    for at in range(0, len(messages), 1000):
        route.sendall(b"".join(messages[at : at + 1000]))
    try:
        raise OSError(-struct.unpack_from("=i", route.recv(4096, socket.MSG_DONTWAIT), 16)[0], "refused")
    except BlockingIOError:
        return


def build(nodes: int, routes: Routes) -> list[tuple[socket.socket, int]]:
    """Make the chain. It lives as long as the sockets and descriptors that are returned."""
    libc = ctypes.CDLL(None, use_errno=True)
    spaces = []
    for _ in range(nodes):
        if libc.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        route = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        spaces.append((route, fcntl.ioctl(route.fileno(), SIOCGSKNS, 0)))
    send(spaces[0][0], [link(i, spaces[i][1], spaces[i + 1][1]) for i in range(nodes - 1)])
    queues = [[message(19, INFO.pack(0, 0, 1, 1, 1), REQUEST)] for _ in range(nodes)]
    for i in range(nodes - 1):
        queues[i].append(add_address(RIGHT + i, address(i, 1)))
        queues[i + 1].append(message(19, INFO.pack(0, 0, LEFT + i, 1, 1), REQUEST))
        queues[i + 1].append(add_address(LEFT + i, address(i, 2)))
    for node, network, bits, via in routes:
        queues[node].append(add_route(network, bits, via))
    for (route, _), queue in zip(spaces, queues, strict=True):
        send(route, queue)
    return spaces


def read_routes(path: str) -> Routes:
    """The routes of the file."""
    found = []
    for line in Path(path).read_text().splitlines():
        node, network, bits, via = line.split()
        found.append((int(node), socket.inet_aton(network), int(bits), socket.inet_aton(via)))
    return found


def measure(nodes: int, routes: Routes) -> tuple[float, float]:
    """Seconds to make the chain and to let go of it, in a thread that leaves the host's namespace."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    seconds: list[float] = []

    def work() -> None:
        started = time.perf_counter()
        spaces = build(nodes, routes)
        seconds.append(time.perf_counter() - started)
        started = time.perf_counter()
        for route, namespace_fd in spaces:
            route.close()
            os.close(namespace_fd)
        seconds.append(time.perf_counter() - started)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if len(seconds) < 2:
        sys.exit("the floor failed; see above")
    return seconds[0], seconds[1]


def main() -> None:
    """Print seconds up and seconds down."""
    if os.geteuid() != 0:
        sys.exit("the benchmark makes network namespaces: run it as root")
    nodes = int(sys.argv[1]) if len(sys.argv) > 1 else 250
    print(
        *(f"{value:.4f}" for value in measure(nodes, read_routes(sys.argv[2]) if len(sys.argv) > 2 else []))
    )


if __name__ == "__main__":
    main()
