"""What the recorder leaves in a directory for the assembly: a pcap file and counts per interface."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict
from urllib.parse import quote


class Counts(TypedDict):
    """`packets` are in the file; `dropped` were lost, as the kernel had no room for them; -1:
    unknown, as the recorder died."""

    node: str
    interface: str
    packets: int
    dropped: int


def stem(node: str, interface: str) -> str:
    """NODE.INTERFACE as a file name: what is not a letter, digit, `-`, `_`, `.` or `~` becomes %XX."""
    return f"{quote(node, safe='')}.{quote(interface, safe='')}"


def raw(directory: Path, node: str, interface: str) -> Path:
    """The pcap file of one interface's capture."""
    return directory / f"{stem(node, interface)}.pcap"
