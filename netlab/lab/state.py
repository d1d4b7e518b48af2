"""The state directory of a lab, and who owns it: the only trace that a killed lab can leave.

A process is identified by its PID, its start time (field 22 of /proc/PID/stat, proc(5)) and the boot, so
that a recycled PID is never taken for a live lab. Every change of who owns a name happens under a lock on
the directory of all labs: two commands that start the same lab at once can't both have it.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import select
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from netlab.errors import HostError, InputError, LabError

ROOT = Path("/run/netlab")
SUBDIRECTORIES = ("logs", "keys", "qlog", "files")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,30}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process that can't be mistaken for a later one of the same PID."""

    pid: int
    start_time: int  # clock ticks since boot
    boot: str

    @classmethod
    def of(cls, pid: int) -> ProcessId:
        """Raises ProcessLookupError where there is no such process."""
        start_time = _start_time(pid)
        if start_time is None:
            raise ProcessLookupError(pid)
        return cls(pid, start_time, boot_id())

    def alive(self) -> bool:
        """A zombie isn't: it owns nothing any more."""
        return self.boot == boot_id() and _start_time(self.pid) == self.start_time


@dataclass(frozen=True, slots=True)
class LabRecord:
    """`lab.json`. `created` is in seconds since 1970."""

    name: str
    owner: ProcessId
    topology: str
    created: int

    def to_json(self) -> str:
        return json.dumps(
            {
                "name": self.name,
                "pid": self.owner.pid,
                "start_time": self.owner.start_time,
                "boot": self.owner.boot,
                "topology": self.topology,
                "created": self.created,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> LabRecord:
        """Raises ValueError where it is no such record (a file cut short by a full disk, say)."""
        try:
            found = json.loads(text)
            owner = ProcessId(int(found["pid"]), int(found["start_time"]), str(found["boot"]))
            return cls(str(found["name"]), owner, str(found["topology"]), int(found["created"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a lab record: {text!r}") from error


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _start_time(pid: int) -> int | None:
    """Clock ticks since boot; None where the process is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return parse_start_time(stat)


def parse_start_time(stat: str) -> int | None:
    """Field 22 of a /proc/PID/stat line; None for a zombie. The name (field 2) may hold anything."""
    fields = stat[stat.rindex(")") + 2 :].split()
    return None if fields[0] in "ZX" else int(fields[19])


def check_name(name: str) -> str:
    """The name, if a lab can have it. Raises InputError."""
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} can't be the name of a lab",
            "use up to 32 lower-case letters, digits, - and _, with a letter or digit at both ends",
        )
    return name


def require_root() -> None:
    if os.geteuid() != 0:
        raise HostError("labs need root: they make network namespaces", "run it with sudo")


@contextmanager
def locked(root: Path = ROOT) -> Iterator[None]:
    """Hold the lock on all labs' directory; makes it first, and removes it at the end if it is empty."""
    descriptor = _lock(root)
    try:
        yield
        if not any(root.iterdir()):
            root.rmdir()
    finally:
        os.close(descriptor)


def _lock(root: Path) -> int:
    """Whoever held the lock before may have removed the directory: then the lock is on a dead one."""
    while True:
        root.mkdir(mode=0o755, exist_ok=True)
        try:
            descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            if os.fstat(descriptor).st_ino == root.stat().st_ino:
                return descriptor
        except FileNotFoundError:
            pass  # removed meanwhile: the next round makes it anew
        os.close(descriptor)


def read_record(directory: Path) -> LabRecord | None:
    """None where there is none that can be read: then nobody owns the directory."""
    try:
        return LabRecord.from_json((directory / "lab.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def write_record(directory: int, record: LabRecord) -> None:
    """Replaces `lab.json` at once in the directory of this descriptor. FileNotFoundError if it is gone."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    descriptor = os.open("lab.json.new", flags, 0o600, dir_fd=directory)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(record.to_json())
    os.rename("lab.json.new", "lab.json", src_dir_fd=directory, dst_dir_fd=directory)


def claim(name: str, topology: str, root: Path = ROOT) -> Path:
    """Make the state directory of a new lab, owned by this process until its supervisor takes over.

    What a dead lab of the name left is removed. Raises LabError where a live one has the name.
    """
    directory = root / check_name(name)
    with locked(root):
        record = read_record(directory)
        if record is not None and record.owner.alive():
            raise LabError(
                f"the name {name!r} is taken: a lab of this name is up",
                f"take it down (netlab down {name}) or give another (--name NAME)",
            )
        remove_directory(directory)
        directory.mkdir(mode=0o700)
        for subdirectory in SUBDIRECTORIES:
            (directory / subdirectory).mkdir(mode=0o700)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            write_record(descriptor, LabRecord(name, ProcessId.of(os.getpid()), topology, int(time.time())))
        finally:
            os.close(descriptor)
    return directory


def remove(directory: Path) -> None:
    """Remove a lab's state directory, under the lock."""
    with locked(directory.parent):
        remove_directory(directory)


def remove_if_dead(directory: Path) -> bool:
    """Remove it unless its owner lives; whether it did."""
    with locked(directory.parent):
        record = read_record(directory)
        if not directory.exists() or (record is not None and record.owner.alive()):
            return False
        remove_directory(directory)
        return True


def remove_directory(directory: Path) -> None:
    """The caller holds the lock. Nothing is ever mounted in here, so that removing stays inside."""
    if directory.exists():
        shutil.rmtree(directory)


def all_labs(root: Path = ROOT) -> list[tuple[Path, LabRecord | None, bool]]:
    """Every state directory, by name, with its record and whether its owner lives."""
    if not root.exists():
        return []
    found = []
    for directory in sorted(path for path in root.iterdir() if path.is_dir()):
        record = read_record(directory)
        found.append((directory, record, record is not None and record.owner.alive()))
    return found


def wait_for_end(process: ProcessId, timeout_s: float) -> bool:
    """Wait until the process has ended; whether it did in time."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        if not process.alive():  # the PID may have been another's already when it was opened
            return True
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        return bool(poller.poll(timeout_s * 1000))
    finally:
        os.close(descriptor)
