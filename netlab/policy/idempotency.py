"""Idempotency-Key: the same request twice is acted on once (draft-ietf-httpapi-idempotency-key-header-07).

`now` is in seconds of any steady clock.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

LONGEST = 255  # characters of a key


@dataclass(frozen=True, slots=True)
class New:
    """Act on it, then `finish`; or `abandon`, where it was not acted on."""


@dataclass(frozen=True, slots=True)
class Known:
    """It was acted on before, with this answer."""

    answer: object


@dataclass(frozen=True, slots=True)
class Refused:
    """409: the first is still being worked on; 422: the key was of another request; 503: no room."""

    status: int
    cause: str


Verdict = New | Known | Refused


def key_of(field: str) -> str:
    """The key in a field's value: a structured string (RFC 8941 section 3.3.3), or bare as in the guide.
    Empty where it is none."""
    text = field.strip()
    if len(text) >= 2 and text[0] == text[-1] == '"':
        text = text[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    usable = text.isascii() and text.isprintable() and len(text) <= LONGEST
    return text if usable else ""


@dataclass(slots=True)
class _Entry:
    fingerprint: Hashable
    expires: float
    done: bool = False
    answer: object = None


class Store:
    """Answers by key, each for `lifetime_s`; of more than `most` the oldest finished one is forgotten."""

    def __init__(self, most: int, lifetime_s: float) -> None:
        self._most = most
        self._lifetime_s = lifetime_s
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def begin(self, key: Hashable, fingerprint: Hashable, now: float) -> Verdict:
        """A request with this key has come; `fingerprint` tells requests with one key apart."""
        found = self._entries.get(key)
        if found is not None and found.done and found.expires <= now:
            del self._entries[key]
            found = None
        if found is None:
            if not self._make_room():
                return Refused(503, "too many requests are being worked on")
            self._entries[key] = _Entry(fingerprint, now + self._lifetime_s)
            return New()
        if found.fingerprint != fingerprint:
            return Refused(422, "this Idempotency-Key was used for another request")
        return Known(found.answer) if found.done else Refused(409, "the first request is being worked on")

    def finish(self, key: Hashable, answer: object, now: float) -> None:
        """It was acted on: from now on this is the answer."""
        entry = self._entries[key]
        entry.done, entry.answer, entry.expires = True, answer, now + self._lifetime_s
        self._entries.move_to_end(key)

    def abandon(self, key: Hashable) -> None:
        """It was not acted on: the next with this key is new."""
        del self._entries[key]

    def _make_room(self) -> bool:
        if len(self._entries) < self._most:
            return True
        oldest = next((key for key, entry in self._entries.items() if entry.done), None)
        if oldest is not None:
            del self._entries[oldest]
        return oldest is not None
