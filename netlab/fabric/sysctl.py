"""Network sysctls of the calling thread's namespace."""

from __future__ import annotations

import os

_SWAP = str.maketrans("./", "/.")


def path(key: str) -> str:
    """The file of "net.ipv4.ip_forward" under /proc/sys.

    As in sysctl(8), a slash in the key stands for a dot in a name: "net.ipv4.conf.eth0/100.forwarding".
    ValueError for what isn't of the network, and so not of the namespace.
    """
    parts = key.translate(_SWAP).split("/")
    if len(parts) < 2 or parts[0] != "net" or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"{key!r} is not a network sysctl (net.…)")
    return "/proc/sys/" + "/".join(parts)


def write(key: str, value: str) -> None:
    """Set it in the namespace of the calling thread. ValueError as for `path`; OSError of the file."""
    fd = os.open(path(key), os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)
