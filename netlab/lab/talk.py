"""Asking a process of the lab, and hearing its answers: JSON lines over a socket pair."""

from __future__ import annotations

import socket
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from netlab.lab.control import Lines, Message, decode, encode
from netlab.lab.loop import Loop

Answer = Callable[[Message], None]


@dataclass
class Talk:
    """The supervisor's end. The other one answers in the order in which it was asked."""

    name: str
    channel: socket.socket
    _lines: Lines = field(default_factory=Lines, init=False)
    _waiting: deque[Answer] = field(default_factory=deque, init=False)
    _watched_by: Loop | None = field(default=None, init=False)

    def listen(self, loop: Loop) -> None:
        """Take answers from the loop, until the end of file."""

        def readable() -> None:
            if not self._receive():
                self._unwatch()

        loop.watch(self.channel, readable)
        self._watched_by = loop

    def close(self) -> None:
        """Who still waits for an answer gets {"error": …}."""
        self._unwatch()
        self.channel.close()
        self._give_up()

    def expect(self, answer: Answer) -> None:
        """Call `answer` with the next line that nobody else waits for, or {"error": …} at its end."""
        self._waiting.append(answer)

    def ask(self, request: Message, answer: Answer) -> None:
        """Send a request; `answer` hears the reply, or {"error": …}."""
        self.expect(answer)
        try:
            self.channel.sendall(encode(request))
        except OSError:
            self._give_up()

    def _unwatch(self) -> None:
        if self._watched_by is not None:
            self._watched_by.unwatch(self.channel)
            self._watched_by = None

    def _receive(self) -> bool:
        try:
            data = self.channel.recv(65536)
        except OSError:  # reset
            data = b""
        try:
            for line in self._lines.receive(data):
                self._hear(line)
        except ValueError as error:  # no JSON, or a line without end: what follows can't be read
            print(f"{self.name} said what can't be read: {str(error)[:200]}", file=sys.stderr)
            data = b""
        if not data:
            self._give_up()
        return bool(data)

    def _hear(self, line: bytes) -> None:
        answer = decode(line)  # before anybody is taken off the list, as it may raise
        if self._waiting:
            self._waiting.popleft()(answer)
        else:
            print(f"{self.name} said, unasked: {line[:200]!r}", file=sys.stderr)

    def _give_up(self) -> None:
        while self._waiting:
            self._waiting.popleft()({"error": "it ended"})
