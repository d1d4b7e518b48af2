"""Where libpcap's loop writes packets: one pcap file, a pipe, or a ring of files that keeps the newest."""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
from pathlib import Path
from threading import Lock

from netlab.capture.files import piece
from netlab.capture.libpcap import libc, library
from netlab.errors import HostError

_FILE_BUFFER_BYTES = 1024 * 1024
_PIPE_BUFFER_BYTES = 64 * 1024
_IOFBF = 0
_BATCH = 1024  # packets between two looks at what came; Python runs then
_HEADER_BYTES = 24  # of the file
_RECORD_BYTES = 16  # of a packet's header
_length = struct.Struct("=I").unpack


class Dump:
    """One pcap file as libpcap writes it, behind a buffer of stdio."""

    def __init__(self, handle: int, target: Path | int) -> None:
        """`target`: a new file, or a descriptor that is closed with it. Raises HostError."""
        self._name = str(target) if isinstance(target, Path) else "the pipe"
        if isinstance(target, Path):
            self._file = libc().fopen(os.fsencode(target), b"wxe")
        else:
            self._file = libc().fdopen(target, b"w")
        if not self._file:
            raise HostError(f"{self._name}: {os.strerror(ctypes.get_errno())}")
        # Memory that becomes real as it is used: most interfaces never fill it.
        size = _FILE_BUFFER_BYTES if isinstance(target, Path) else _PIPE_BUFFER_BYTES
        self._buffer = mmap.mmap(-1, size)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._buffer))
        libc().setvbuf(self._file, start, _IOFBF, size)
        self.pointer: int | None = library().pcap_dump_fopen(handle, self._file)
        if not self.pointer:
            libc().fclose(self._file)
            raise HostError(f"{self._name}: {library().pcap_geterr(handle).decode()}")

    def size(self) -> int:
        """Bytes so far, with those that are still in the buffer."""
        return int(library().pcap_dump_ftell64(self.pointer))

    def failed(self) -> bool:
        """Whether anything could not be written; stdio has thrown it away then."""
        return bool(libc().ferror(self._file))

    def flush(self) -> None:
        """Writes out what is buffered. Raises HostError where that, or anything before, failed."""
        if library().pcap_dump_flush(self.pointer) != 0 or self.failed():
            remedy = "is the disk full? What was written before can be read"
            raise HostError(f"{self._name}: the packets could not all be written", remedy)

    def close(self) -> None:
        library().pcap_dump_close(self.pointer)


class Pipe:
    """The write end of a pipe; whoever reads it counts the packets."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def open(self, handle: int, largest: int) -> None:
        """Before anything else. `largest`: bytes that may be kept of a packet. Raises HostError."""
        self.dump = Dump(handle, self._descriptor)

    def batch(self) -> int:
        """How many packets may come before `written` must be called."""
        return _BATCH

    def written(self, packets: int) -> None:
        """So many have come. Raises HostError where they could not be written."""
        if self.dump.failed():
            self.dump.flush()

    def close(self) -> int:
        """Closes the file; how many packets have come since the last `written`, if that can be known."""
        self.dump.close()
        return 0


class File(Pipe):
    """One file, however long."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = _HEADER_BYTES

    def open(self, handle: int, largest: int) -> None:
        self.dump = Dump(handle, self._path)

    def written(self, packets: int) -> None:
        super().written(packets)
        self._seen = self.dump.size()

    def close(self) -> int:
        self.dump.close()
        return _records(self._path, self._seen)


class Budget:
    """How many finished files of a ring both directions of an interface may keep; the oldest go first."""

    def __init__(self, files: int) -> None:
        self._most = files
        self._finished: list[Path] = []
        self._lock = Lock()

    def add(self, path: Path) -> None:
        """This file is finished now."""
        with self._lock:
            self._finished.append(path)
            if len(self._finished) > self._most:
                self._finished.pop(0).unlink(missing_ok=True)


class Ring(File):
    """Files of at most `size` bytes, of which the newest stay, as far as the budget goes."""

    def __init__(self, whole: Path, size: int, budget: Budget) -> None:
        """`whole`: what the file would be called without a ring."""
        super().__init__(piece(whole, 0, 0))
        self._whole = whole
        self._size = size
        self._budget = budget
        self._number = self._packets = 0

    def open(self, handle: int, largest: int) -> None:
        self._handle = handle
        self._largest = largest + _RECORD_BYTES
        super().open(handle, largest)

    def batch(self) -> int:
        return max(1, min(_BATCH, (self._size - self._seen) // self._largest))

    def written(self, packets: int) -> None:
        super().written(packets)
        self._packets += packets
        if self._size - self._seen < self._largest:
            self.dump.close()
            self._budget.add(self._path)
            self._number += 1
            self._path = piece(self._whole, self._number, self._packets)
            self._seen = _HEADER_BYTES
            self.dump = Dump(self._handle, self._path)


def _records(path: Path, start: int) -> int:
    """How many whole packets there are from this byte on."""
    count = 0
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        while start + _RECORD_BYTES <= size:
            file.seek(start + 8)
            start += _RECORD_BYTES + _length(file.read(4))[0]
            count += start <= size
    return count
