"""Frames out: sendmmsg(2) from arrays that are laid out once."""

from __future__ import annotations

import ctypes
import errno
import struct
from typing import Final

from netlab.wire.store import Kept
from netlab.wire.syscalls import libc

Frame = tuple[int, int, Kept]  # the lane, the length in bytes with its virtio_net_hdr, and where it is
BATCH: Final = 64  # frames in one system call at most
_MSG_DONTWAIT: Final = 0x40
_AF_PACKET: Final = 17
_HEADER_WORDS: Final = 8  # struct mmsghdr: name, its length, iov, its length, control, its length, flags
_VECTOR_WORDS: Final = 2  # struct iovec: address, length
_ADDRESS_BYTES: Final = 20  # struct sockaddr_ll


def _address(index: int) -> ctypes.Array[ctypes.c_char]:
    """A sockaddr_ll of one interface; protocol 0 makes the kernel take it from the frame."""
    return ctypes.create_string_buffer(struct.pack("=HHiHBB8x", _AF_PACKET, 0, index, 0, 0, 0), 20)


class Transmitter:
    """Sends frames through the packet socket `fd`; lane n of the relay ends in interface `indexes[n]`."""

    def __init__(self, fd: int, indexes: tuple[int, ...]) -> None:
        self._fd = fd
        self._addresses = [_address(index) for index in indexes]
        self._names = [ctypes.addressof(address) for address in self._addresses]
        self._vectors_memory = (ctypes.c_uint64 * (_VECTOR_WORDS * BATCH))()
        self._headers_memory = (ctypes.c_uint64 * (_HEADER_WORDS * BATCH))()
        self._vectors = memoryview(self._vectors_memory).cast("B").cast("Q")
        self._headers = memoryview(self._headers_memory).cast("B").cast("Q")
        self._start = ctypes.addressof(self._headers_memory)
        vectors = ctypes.addressof(self._vectors_memory)
        for number in range(BATCH):
            header = number * _HEADER_WORDS
            self._headers[header + 1] = _ADDRESS_BYTES
            self._headers[header + 2] = vectors + 8 * _VECTOR_WORDS * number
            self._headers[header + 3] = 1

    def send(self, frames: list[Frame]) -> list[tuple[int, int]]:
        """Send at most `BATCH` frames; of those that the kernel refused, their places and the errno."""
        headers, vectors, names, number = self._headers, self._vectors, self._names, 0
        for lane, length, (address, _) in frames:
            headers[number * _HEADER_WORDS] = names[lane]
            vectors[number * _VECTOR_WORDS] = address
            vectors[number * _VECTOR_WORDS + 1] = length
            number += 1
        return self._send(number)

    def _send(self, count: int) -> list[tuple[int, int]]:
        done, refused = 0, list[tuple[int, int]]()
        while done < count:
            at = self._start + done * _HEADER_WORDS * 8
            sent = libc.sendmmsg(self._fd, at, count - done, _MSG_DONTWAIT)
            if sent > 0:
                done += sent
            elif (number := ctypes.get_errno()) != errno.EINTR:
                refused.append((done, number))
                done += 1
        return refused
