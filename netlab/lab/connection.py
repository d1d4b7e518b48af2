"""One peer of the control socket, as the supervisor sees it."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

from netlab.lab.control import Lines, Message, encode, encode_error

_SEND_S = 2.0  # a reader that takes nothing for so long is cut off, for the lab can't wait for it


class Connection:
    """One peer. `on_close` is called when it ends, whoever ends it."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(_SEND_S)
        self.socket = sock
        self.lines = Lines()
        self.on_close: list[Callable[[], None]] = []
        self.open = True

    def progress(self, content: object, descriptor: int | None = None) -> None:
        self._send({"progress": content}, descriptor)

    def ok(self, content: object, descriptor: int | None = None) -> None:
        self._send({"ok": content}, descriptor)

    def error(self, error: Exception) -> None:
        self._send(encode_error(error))

    def _send(self, message: Message, descriptor: int | None = None) -> None:
        if not self.open:
            return
        try:
            if descriptor is not None:
                socket.send_fds(self.socket, [encode(message)], [descriptor])
            else:
                self.socket.sendall(encode(message))
        except OSError:
            self.open = False  # the loop sees the end of file, and closes it
            self.socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.open = False
        self.socket.close()
        for callback in self.on_close:
            callback()


def peer_uid(connection: socket.socket) -> int:
    """Of who connected (SO_PEERCRED, unix(7))."""
    size = struct.calcsize("3i")
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return int(uid)
