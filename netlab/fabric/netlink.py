"""A NETLINK_ROUTE socket, and batches of messages that it sends at once.

The kernel carries out a batch inside sendmsg(2), message by message, and answers only what failed and what
asked for an answer. So a batch asks once, with its last message, and whatever comes before that answer is
an error of the message with that sequence number.
"""

from __future__ import annotations

import errno
import fcntl
import socket
import struct
import sys
from collections.abc import Iterator
from typing import NamedTuple

from netlab.errors import KernelError
from netlab.fabric.describe import describe
from netlab.fabric.message import HEADER, NLM_F_ACK, NLMSG_ERROR, attributes
from netlab.plan.ops import Operation

BATCH_BYTES = 64 * 1024  # well below the default send buffer (212,992), which bounds one send

_SOL_NETLINK = 270
_NETLINK_CAP_ACK = 10  # an error without a copy of the message that caused it
_NETLINK_EXT_ACK = 11  # an error with its text
_SIOCGSKNS = 0x894C  # <linux/sockios.h>: a descriptor of the socket's network namespace
_NLMSGERR_ATTR_MSG = 1
_NLMSGERR_BYTES = 4 + HEADER.size  # the error number and the header of what caused it
_NLM_F_ACK_TLVS = 0x200
_RECEIVE_BYTES = 32 * 1024


class Answer(NamedTuple):
    """A message from the kernel; `sequence` is of the message that it answers."""

    kind: int
    sequence: int
    flags: int
    payload: bytes


class RouteSocket:
    """A NETLINK_ROUTE socket in the network namespace of the thread that makes it. Any thread may use it."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)

    def fileno(self) -> int:
        return self._socket.fileno()

    def namespace(self) -> int:
        """A new descriptor (close-on-exec) of the socket's network namespace."""
        return fcntl.ioctl(self._socket.fileno(), _SIOCGSKNS, 0)

    def close(self) -> None:
        self._socket.close()

    def request(self, what: str, kind: int, flags: int, body: bytes) -> list[Answer]:
        """Send one message; what the kernel answers beside its acknowledgement. KernelError of `what`."""
        data = HEADER.pack(HEADER.size + len(body), kind, flags | NLM_F_ACK, 0, 0) + body
        found = []
        for answer in self.exchange(data, 0):
            if number := error_number(answer):
                raise KernelError(what, number, failure_text(answer))
            if answer.kind != NLMSG_ERROR:
                found.append(answer)
        return found

    def exchange(self, data: bytes | bytearray, last: int) -> Iterator[Answer]:
        """Send whole messages, and yield the answers, the last of them to sequence number `last`.

        By then the kernel has carried out all of them. Where more of them failed than the receive buffer
        holds, the first failures come, and then OSError ENOBUFS.
        """
        self._socket.sendall(data)
        lost = False
        while True:
            try:
                received = self._socket.recv(_RECEIVE_BYTES, socket.MSG_DONTWAIT)
            except OSError as error:
                if error.errno != errno.ENOBUFS or lost:
                    raise OSError(errno.ENOBUFS, "netlink answers were lost") from error
                lost = True
                continue
            for answer in answers(received):
                yield answer
                if answer.sequence == last and answer.kind == NLMSG_ERROR:
                    return


def answers(received: bytes) -> Iterator[Answer]:
    """The messages of one datagram from the kernel."""
    at = 0
    while at + HEADER.size <= len(received):
        length, kind, flags, sequence, _ = HEADER.unpack_from(received, at)
        yield Answer(kind, sequence, flags, received[at + HEADER.size : at + length])
        at += (length + 3) & ~3


def error_number(answer: Answer) -> int:
    """The errno of a failure; 0 where the answer is none."""
    return (
        -int.from_bytes(answer.payload[:4], sys.byteorder, signed=True) if answer.kind == NLMSG_ERROR else 0
    )


def failure_text(answer: Answer) -> str:
    """What the kernel says of a failure beside its number (NLMSGERR_ATTR_MSG), empty if nothing."""
    if not answer.flags & _NLM_F_ACK_TLVS:
        return ""
    message = attributes(answer.payload[_NLMSGERR_BYTES:]).get(_NLMSGERR_ATTR_MSG, b"")
    return message.rstrip(b"\0").decode(errors="replace")


class Batch:
    """Messages for one socket, each with the operation it is part of, so that an error can say so."""

    __slots__ = ("_data", "_last", "_purposes")

    def __init__(self) -> None:
        self._data = bytearray()
        self._last = 0
        self._purposes: list[Operation] = []

    def __len__(self) -> int:
        return len(self._data)

    def add(self, purpose: Operation, kind: int, flags: int, body: bytes) -> None:
        """Append a message of type `kind`."""
        data = self._data
        self._last = len(data)
        data += HEADER.pack(16 + len(body), kind, flags, len(self._purposes), 0)
        data += body
        self._purposes.append(purpose)

    def send(self, through: RouteSocket) -> None:
        """Send everything and forget it.

        KernelError names the first message that failed; the kernel tried the rest as well.
        """
        if not self._purposes:
            return
        data, purposes = self._data, self._purposes
        self._data, self._purposes = bytearray(), []
        flags = HEADER.unpack_from(data, self._last)[2]
        struct.pack_into("=H", data, self._last + 6, flags | NLM_F_ACK)
        failures: list[KernelError] = []
        try:
            for answer in through.exchange(data, len(purposes) - 1):
                if number := error_number(answer):
                    text = failure_text(answer)
                    failures.append(KernelError(describe(purposes[answer.sequence]), number, text))
        except OSError as error:
            failures.append(KernelError(describe(purposes[0]), error.errno or 0))
        if failures:
            raise failures[0]
