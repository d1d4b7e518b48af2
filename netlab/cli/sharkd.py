"""Wireshark's engine for one packet: `netlab decode --deep`."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from tempfile import NamedTemporaryFile

from netlab.errors import CaptureError, HostError, InputError
from netlab.proto import pcapng
from netlab.proto.capture_file import CaptureFile
from netlab.report.deep_tree import DeepTree, answered, conversation

_WITHIN_S = 120.0


def deep_tree(file: CaptureFile, number: int, keys: str) -> DeepTree:
    """What sharkd says of a packet. It reads what the packet's interface saw: Wireshark before 4.4 takes the
    sighting at another one for a retransmission. `keys`: secrets beside those of the file.

    Raises InputError where the capture has no such packet, HostError where sharkd isn't installed or doesn't
    answer, CaptureError with its words where it can't read the file.
    """
    program = shutil.which("sharkd")
    if program is None:
        remedy = "install Wireshark's tools (Debian: wireshark-common), or use --tree, netlab's own decode"
        raise HostError("--deep needs sharkd, which isn't installed", remedy)
    wanted = next((one.interface for at, one in enumerate(file.places(), 1) if at == number), None)
    if wanted is None:
        raise InputError(f"{file.source}: no packet {number}")
    with NamedTemporaryFile(suffix=".pcapng") as copy, NamedTemporaryFile("w", suffix=".keys") as secrets:
        at = 0
        for other, block in _of_interface(file, wanted):
            at += 0 < other <= number
            copy.write(block)
        secrets.write(keys)
        copy.flush()
        secrets.flush()
        return _asked(program, conversation(copy.name, at, secrets.name if keys else ""))


def _of_interface(file: CaptureFile, interface: int) -> Iterator[tuple[int, bytes]]:
    """A file of one interface, block by block, each with the number of its packet in `file`, 0 for none. Of a
    damaged file, what comes before the damage."""
    described = file.interfaces[interface]
    yield 0, pcapng.section() + pcapng.interface(described.name, linktype=described.linktype)
    for one in dict.fromkeys(file.secrets):
        yield 0, pcapng.secrets(one)
    with suppress(CaptureError):
        for number, place in enumerate(file.places(), 1):
            if place.interface == interface:
                data = file.data[place.start : place.end]
                yield number, pcapng.packet(0, place.time_ns, data, place.length)


def _asked(program: str, said: str) -> DeepTree:
    try:
        done = subprocess.run(
            [program, "-"], input=said, capture_output=True, text=True, timeout=_WITHIN_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise HostError(f"sharkd gave no answer within {_WITHIN_S:g} s", "use --tree") from error
    except OSError as error:
        raise HostError(f"sharkd: {error.strerror}", "use --tree") from error
    try:
        return answered(done.stdout)
    except CaptureError as error:
        last = done.stderr.strip().splitlines()[-1:] or [""]
        raise CaptureError(f"{error}{f': {last[0]}' if last[0] else ''}", "use --tree") from error
