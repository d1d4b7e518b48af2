"""A channel's messages: numbered, with the time they were published, kept for those who come back."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass

KEPT = 256
KEPT_BYTES = 1024 * 1024
MAX_TEXT = 64 * 1024  # bytes of one message


def flaw(data: bytes) -> str:
    """Why `data` can't be a message; empty where it can. (PostgreSQL's text has no NUL.)"""
    if len(data) > MAX_TEXT:
        return f"a message has at most {MAX_TEXT} bytes"
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return "a message is UTF-8 text"
    return "a message has no NUL" if "\0" in text else ""


@dataclass(frozen=True, slots=True)
class ChannelMessage:
    """`sent_ns`: CLOCK_REALTIME when the channel took it."""

    id: int
    sent_ns: int
    text: str

    def to_json(self) -> str:
        document = {"id": self.id, "sent_ns": self.sent_ns, "text": self.text}
        return json.dumps(document, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> ChannelMessage:
        """Raises ValueError where it is none."""
        try:
            document = json.loads(text)
            return cls(int(document["id"]), int(document["sent_ns"]), str(document["text"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a channel's message: {text!r}") from error


class History:
    """The last messages of one channel, by number and by size. Numbers only grow."""

    def __init__(self, kept: int = KEPT, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept = kept
        self._kept_bytes = kept_bytes
        self._messages: deque[ChannelMessage] = deque()
        self._size = 0
        self.last_id = 0

    def add(self, message: ChannelMessage) -> bool:
        """False where its number is not above the last one: it is known already."""
        if message.id <= self.last_id:
            return False
        self.last_id = message.id
        self._messages.append(message)
        self._size += len(message.text.encode())
        while len(self._messages) > self._kept or (self._size > self._kept_bytes and len(self._messages) > 1):
            self._size -= len(self._messages.popleft().text.encode())
        return True

    def since(self, last_id: int) -> list[ChannelMessage]:
        """Those after `last_id` that are still kept, in order."""
        found: list[ChannelMessage] = []
        for message in reversed(self._messages):
            if message.id <= last_id:
                break
            found.append(message)
        found.reverse()
        return found
