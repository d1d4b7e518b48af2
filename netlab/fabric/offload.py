"""Offloads of an interface, by the ioctl of ethtool(8).

One ETHTOOL_SFEATURES sets all of them, where the older commands (ETHTOOL_STSO …) take one each. Layouts
and numbers are from <linux/ethtool.h>; the ioctl goes to any socket of the interface's namespace.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import struct

_SIOCETHTOOL = 0x8946
_ETHTOOL_GSTRINGS, _ETHTOOL_GSSET_INFO = 0x1B, 0x37
_ETHTOOL_GFEATURES, _ETHTOOL_SFEATURES = 0x3A, 0x3B
_ETH_SS_FEATURES = 4
_NAME_BYTES = 32

_ifreq = struct.Struct("=16sQ16x" if ctypes.sizeof(ctypes.c_void_p) == 8 else "=16sI12x")
_command = struct.Struct("=II")
_get_block = struct.Struct("=IIII")  # available, requested, active, never changed
_set_block = struct.Struct("=II")  # valid, requested


class Offloads:
    """Switches segmentation (TSO, GSO), receive (GRO, LRO), scatter-gather and checksum offloads.

    What the kernel calls its features, and which of them links have, is read once, from the first link.
    """

    def __init__(self) -> None:
        self._mask = 0
        self._blocks = 0

    def set(self, socket_fd: int, interface: str, *, enabled: bool) -> None:
        """Switch them at `interface` of the socket's namespace. OSError where the kernel refuses.

        EOPNOTSUPP: the kernel accepted, and yet one that should be off is on.
        """
        if not self._blocks:
            self._learn(socket_fd, interface)
        requested = self._mask if enabled else 0
        request = bytearray(_command.pack(_ETHTOOL_SFEATURES, self._blocks))
        for block in range(self._blocks):
            request += _set_block.pack(_word(self._mask, block), _word(requested, block))
        doubts = _ethtool(socket_fd, interface, request)  # ETHTOOL_F_UNSUPPORTED, ETHTOOL_F_WISH
        if doubts and not enabled and self._changeable(socket_fd, interface)[1] & self._mask:
            raise OSError(errno.EOPNOTSUPP, "offloads stay on")

    def _learn(self, socket_fd: int, interface: str) -> None:
        names = _feature_names(socket_fd, interface)
        self._blocks = (len(names) + 31) // 32
        offloads = sum(1 << bit for bit, name in enumerate(names) if _is_offload(name))
        self._mask = offloads & self._changeable(socket_fd, interface)[0]

    def _changeable(self, socket_fd: int, interface: str) -> tuple[int, int]:
        """The features that can be switched, and those of them that are on, as bits."""
        answer = bytearray(_command.pack(_ETHTOOL_GFEATURES, self._blocks))
        answer += bytes(_get_block.size * self._blocks)
        _ethtool(socket_fd, interface, answer)
        available = active = 0
        for block in range(self._blocks):
            can, _, on, _ = _get_block.unpack_from(answer, _command.size + block * _get_block.size)
            available |= can << 32 * block
            active |= on << 32 * block
        return available, available & active


def _is_offload(name: str) -> bool:
    """Whether a feature of this name (net/ethtool/common.c of Linux) makes a capture differ from a wire."""
    return (
        name.startswith(("tx-checksum-", "tx-scatter-gather", "tx-gso-", "rx-gro", "rx-lro", "rx-udp-gro"))
        or (name.startswith("tx-") and name.endswith("-segmentation"))
        or name == "rx-checksum"
    )


def _feature_names(socket_fd: int, interface: str) -> list[str]:
    info = bytearray(struct.pack("=IIQI", _ETHTOOL_GSSET_INFO, 0, 1 << _ETH_SS_FEATURES, 0))
    _ethtool(socket_fd, interface, info)
    count: int = struct.unpack_from("=I", info, 16)[0]
    names = bytearray(struct.pack("=III", _ETHTOOL_GSTRINGS, _ETH_SS_FEATURES, count)) + bytes(
        count * _NAME_BYTES
    )
    _ethtool(socket_fd, interface, names)
    return [
        bytes(names[at : at + _NAME_BYTES]).rstrip(b"\0").decode("ascii")
        for at in range(12, len(names), _NAME_BYTES)
    ]


def _word(bits: int, block: int) -> int:
    return bits >> 32 * block & 0xFFFF_FFFF


def _ethtool(socket_fd: int, interface: str, command: bytearray) -> int:
    """Have the kernel carry `command` out and write its answer into it; what the ioctl returns."""
    buffer = (ctypes.c_char * len(command)).from_buffer(command)
    request = bytearray(_ifreq.pack(interface.encode(), ctypes.addressof(buffer)))
    returned: int = fcntl.ioctl(socket_fd, _SIOCETHTOOL, request)
    return returned
