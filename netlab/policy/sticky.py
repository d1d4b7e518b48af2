"""Sticky sessions: a cookie that names the client's upstream, without saying its address."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from hashlib import blake2b


class StickyCookie:
    """`secret`: the same after a restart, so that clients find their upstreams again.

    A value that nobody has given out names no upstream; who guesses one of another upstream gets there,
    which is no more than chance would have given.
    """

    def __init__(self, name: str, max_age_s: int, path: str, secret: bytes, upstreams: Iterable[str]) -> None:
        self._name = name
        self._max_age_s = max_age_s
        self._path = path
        self._values = {
            one: blake2b(one.encode(), key=secret, digest_size=12).hexdigest() for one in upstreams
        }
        self._upstreams = {value: one for one, value in self._values.items()}

    def upstream_of(self, cookies: Iterable[str]) -> str:
        """Whom the Cookie fields of a request (RFC 6265 section 4.2) name; "" where nobody that is known."""
        for field in cookies:
            for pair in field.split(";"):
                name, _, value = pair.strip().partition("=")
                if name == self._name and value in self._upstreams:
                    return self._upstreams[value]
        return ""

    def set_cookie(self, upstream: str) -> str:
        """The Set-Cookie field that ties a client to it."""
        age = f"; Max-Age={self._max_age_s}" if self._max_age_s else ""
        value = f"{self._name}={self._values[upstream]}"
        return f"{value}; Path={self._path}{age}; HttpOnly; Secure; SameSite=Lax"


def preferring(wanted: str, allowed: Collection[str], order: list[str]) -> list[str]:
    """`order` with the wanted one first, where it is allowed."""
    return [wanted, *(one for one in order if one != wanted)] if wanted in allowed else order
