"""UDP sockets of QUIC: big enough buffers, datagrams without copies, errors that are only losses."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator

from netlab.net.datagrams import Control
from netlab.net.sockets import family_of

_BUFFER = 2 * 1024 * 1024  # bytes asked for, each way; the kernel gives what its limits allow
_LONGEST = 65_535
AT_ONCE = 64  # datagrams before anybody else has a turn


def enlarge(sock: socket.socket) -> None:
    """More room for bursts: what does not fit is lost."""
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, _BUFFER)


def connected(address: str, port: int, local: str = "", interface: str = "") -> socket.socket:
    """A non-blocking socket to a server, from `local` and out of `interface` where they are given.

    Raises OSError: no route, or not an address of ours.
    """
    sock = socket.socket(family_of(address), socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        enlarge(sock)
        if interface:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
        if local:
            sock.bind((local, 0))
        sock.connect((address, port))
    except OSError:
        sock.close()
        raise
    return sock


class Reader:
    """Takes what a socket has, up to AT_ONCE datagrams."""

    def __init__(self) -> None:
        self._buffer = bytearray(_LONGEST)
        self._view = memoryview(self._buffer)

    def datagrams(self, sock: socket.socket) -> Iterator[tuple[bytes, Control, tuple[str, int]]]:
        """Bytes, control messages, sender. Raises OSError for what the kernel has to say (ICMP)."""
        for _ in range(AT_ONCE):
            try:
                size, control, _, sender = sock.recvmsg_into([self._buffer], 256)
            except BlockingIOError:
                return
            yield bytes(self._view[:size]), control, sender


def lost_if_refused(send: Callable[[], object]) -> None:
    """A datagram that the kernel does not take (no route, a full buffer, ICMP for an earlier one) is lost,
    as any on the way may be; QUIC finds out and repairs."""
    with contextlib.suppress(OSError):
        send()
