"""The disk behind a cache: a file for each stored response, of which memory knows the heads.

Files are written under another name and renamed when they are whole, so a process that is killed leaves no
half response. All reading and writing is done by one thread, in order.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from netlab.errors import LabError
from netlab.net.context import RoleContext
from netlab.policy.cache import Change, Dropped, Invalidated, Kept, Variant
from netlab.policy.cache_key import Key
from netlab.policy.purge import Condition
from netlab.policy.stored import Stored
from netlab.policy.stored_file import PREFIX, DamagedError, decode, decode_head, encode, head_size

_T = TypeVar("_T")
_UNFINISHED, _STALE = ".new", ".stale"
_BLOCK = 4096  # the least that a file takes
_WAITING_BYTES = 32 * 1024 * 1024  # of responses that are not written yet; beyond it they are not kept here


@dataclass(frozen=True, slots=True, eq=False)
class _File:
    """`entry` is without its body. `size`: bytes on the disk."""

    name: str
    key: Key
    entry: Stored
    size: int


def store_directory() -> Path:
    """Where this process may keep files (NETLAB_STORE). Raises LabError where there is no such place."""
    path = os.environ.get("NETLAB_STORE", "")
    if not path:
        raise LabError(
            "there is no directory for a disk cache", "set NETLAB_STORE, as the process contract says"
        )
    return Path(path)


class DiskStore:
    """At most `capacity` bytes in `directory`; what was written or read least recently goes first."""

    def __init__(self, ctx: RoleContext, directory: Path, capacity: int) -> None:
        self._ctx = ctx
        self._directory = directory
        self._capacity = capacity
        self._files: OrderedDict[Variant, _File] = OrderedDict()
        self._by_key: dict[Key, dict[Variant, None]] = {}
        self._size = 0
        self._waiting = 0
        self._closed = False
        self._reading: dict[Variant, asyncio.Task[Stored | None]] = {}
        self._thread = ThreadPoolExecutor(1, "disk")

    async def open(self) -> None:
        """Read the heads of what is there; what is damaged is deleted, with an event."""
        found, damaged = await self._do(lambda: _scan(self._directory))
        for one in found:
            self._add((one.key, one.entry.varied), one)
        for name, cause in damaged:
            self._ctx.emit("store-damaged", file=name, cause=cause)

    async def close(self) -> None:
        """Returns when all is written; what changes after it is for the memory alone."""
        self._closed = True
        await self._do(lambda: None)
        self._thread.shutdown()

    def follow(self, changes: Iterable[Change]) -> None:
        """Do to the files what was done to the cache."""
        for change in () if self._closed else changes:
            if isinstance(change, Kept):
                self._save(change.variant, change.entry)
            elif isinstance(change, Dropped):
                self._drop(change.variant)
            elif isinstance(change, Invalidated):
                for variant in list(self._by_key.get(change.key, ())):
                    self._drop(variant)
            else:
                self._purge(change.condition, soft=change.soft)

    def missing(self, key: Key, known: Iterable[Variant]) -> list[Variant]:
        """Variants of `key` that are here, and not among `known`."""
        here = self._by_key.get(key)
        return [variant for variant in here if variant not in set(known)] if here else []

    async def load(self, variant: Variant) -> Stored | None:
        """None where it is damaged, which drops it, or has been dropped or replaced meanwhile. Who asks while
        it is being read waits for the same reading."""
        reading = self._reading.get(variant)
        if reading is None:
            reading = self._reading[variant] = self._ctx.tasks.create_task(self._load(variant))
            reading.add_done_callback(lambda _: self._reading.pop(variant, None))
        return await asyncio.shield(reading)

    async def _load(self, variant: Variant) -> Stored | None:
        file = self._files.get(variant)
        if file is None:
            return None
        path = self._directory / file.name
        try:
            entry = _of(variant, await self._do(lambda: _read(path)))
        except (OSError, DamagedError) as error:
            if self._files.get(variant) is file:
                self._drop(variant)
                self._ctx.emit("store-damaged", file=file.name, cause=str(error))
            return None
        if self._files.get(variant) is not file:
            return None
        self._files.move_to_end(variant)
        return replace(entry, stale=file.entry.stale)

    def matching(self, condition: Condition) -> list[Variant]:
        return [variant for variant, file in self._files.items() if condition(variant[0], file.entry)]

    def _purge(self, condition: Condition, *, soft: bool) -> None:
        for variant in self.matching(condition):
            if soft:
                self._declare_stale(variant)
            else:
                self._drop(variant)

    def _declare_stale(self, variant: Variant) -> None:
        """It stays so after a restart too: the file's name says it."""
        file = self._files[variant]
        if file.entry.stale:
            return
        stale = replace(file, name=file.name + _STALE, entry=replace(file.entry, stale=True))
        self._files[variant] = stale
        self._later(lambda: _rename(self._directory, file.name, stale.name))

    def _save(self, variant: Variant, entry: Stored) -> None:
        data = encode(variant[0], entry)
        size = _taken(len(data))
        if variant in self._files:
            self._drop(variant)
        if size > self._capacity or self._waiting + len(data) > _WAITING_BYTES:
            return
        name = _name(variant) + _STALE * entry.stale
        self._add(variant, _File(name, variant[0], replace(entry, body=b""), size))
        self._waiting += len(data)

        def written(error: BaseException | None) -> None:
            self._waiting -= len(data)
            if error is not None:
                self._failed(variant, name, error)

        self._later(lambda: _write(self._directory, name, data), written)

    def _failed(self, variant: Variant, name: str, error: BaseException) -> None:
        file = self._files.get(variant)
        if file is not None and file.name == name:
            self._forget(variant)
        self._ctx.emit("store-failed", file=name, cause=str(error))

    def _add(self, variant: Variant, file: _File) -> None:
        if variant in self._files:
            self._drop(variant)
        self._files[variant] = file
        self._by_key.setdefault(variant[0], {})[variant] = None
        self._size += file.size
        while self._size > self._capacity:
            self._drop(next(iter(self._files)))

    def _forget(self, variant: Variant) -> _File:
        file = self._files.pop(variant)
        self._size -= file.size
        variants = self._by_key[variant[0]]
        del variants[variant]
        if not variants:
            del self._by_key[variant[0]]
        return file

    def _drop(self, variant: Variant) -> None:
        path = self._directory / self._forget(variant).name
        self._later(lambda: path.unlink(missing_ok=True))

    # The thread.

    async def _do(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _later(
        self, work: Callable[[], None], done: Callable[[BaseException | None], None] | None = None
    ) -> None:
        """`done` is called with the error, if there was one."""
        future = asyncio.get_running_loop().run_in_executor(self._thread, work)
        future.add_done_callback(lambda it: (done or self._say)(it.exception()))

    def _say(self, error: BaseException | None) -> None:
        if error is not None:
            self._ctx.emit("store-failed", file="", cause=str(error))


def _name(variant: Variant) -> str:
    return hashlib.sha256(repr(variant).encode()).hexdigest()[:40]


def _taken(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _of(variant: Variant, data: bytes) -> Stored:
    """Raises DamagedError."""
    key, entry = decode(data)
    if (key, entry.varied) != variant:
        raise DamagedError("it is another response")
    return entry


def _rename(directory: Path, old: str, new: str) -> None:
    (directory / old).replace(directory / new)


def _write(directory: Path, name: str, data: bytes) -> None:
    unfinished = directory / (name + _UNFINISHED)
    unfinished.write_bytes(data)
    unfinished.replace(directory / name)


def _read(path: Path) -> bytes:
    os.utime(path)  # what was read last, a restart shall know
    return path.read_bytes()


def _scan(directory: Path) -> tuple[list[_File], list[tuple[str, str]]]:
    """The good files, what was used last at the end; and those that were deleted, with the cause."""
    found: list[tuple[float, _File]] = []
    damaged: list[tuple[str, str]] = []
    for path in sorted(directory.iterdir()):
        try:
            found.append(_scanned(path))
        except (OSError, DamagedError) as error:
            path.unlink(missing_ok=True)
            damaged.append((path.name, str(error)))
    return [file for _, file in sorted(found, key=lambda one: one[0])], damaged


def _scanned(path: Path) -> tuple[float, _File]:
    """Raises OSError, DamagedError."""
    if path.suffix == _UNFINISHED:
        raise DamagedError("its writer was killed")
    with path.open("rb") as file:
        about = os.fstat(file.fileno())
        head = decode_head(file.read(head_size(file.read(PREFIX))), about.st_size)
    entry = replace(head.entry, stale=path.suffix == _STALE)
    return about.st_mtime, _File(path.name, head.key, entry, _taken(about.st_size))
