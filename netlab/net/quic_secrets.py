"""The key log of QUIC connections (NSS key log format), into the process's SSLKEYLOGFILE."""

from __future__ import annotations

import io
import os
import weakref
from typing import TextIO, cast
from weakref import WeakKeyDictionary

from netlab.net.context import RoleContext
from netlab.net.tls import keylog_path


class _Appended(io.TextIOBase):
    """Each line in one write, for TLS over TCP appends to the same file."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        weakref.finalize(self, os.close, self._descriptor)

    def write(self, text: str) -> int:
        return os.write(self._descriptor, text.encode())


_files: WeakKeyDictionary[RoleContext, TextIO] = WeakKeyDictionary()


def secrets_of(ctx: RoleContext) -> TextIO | None:
    """The role's file; None where it has none."""
    path = keylog_path()
    if path and ctx not in _files:
        _files[ctx] = cast("TextIO", _Appended(path))
    return _files.get(ctx)
