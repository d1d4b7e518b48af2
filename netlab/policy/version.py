"""Which version of HTTP a client tries, and what it remembers of QUIC that did not get through.

ALPN chooses between HTTP/2 and 1.1 in the TLS handshake. HTTP/3 is tried where the origin told of it, and
races against TCP with a head start, as addresses do in RFC 8305: where UDP is blocked, a client must not
wait for a timeout to learn it.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from netlab.model.roles import HttpVersion

HEAD_START_S = 0.25  # the Connection Attempt Delay that RFC 8305 section 5 recommends
FIRST_BREAK_S = 60.0
LONGEST_BREAK_S = 3600.0


@dataclass(frozen=True, slots=True)
class Choice:
    """What to try. `quic`: HTTP/3, first. `tcp`: versions to offer over TCP; empty: TCP is not allowed.

    `avoided`: why HTTP/3 is not tried though the origin told of it.
    """

    quic: bool
    tcp: tuple[HttpVersion, ...]
    avoided: str = ""


def choose(wanted: HttpVersion | None, *, tls: bool, told: bool, broken: str = "") -> Choice:
    """`wanted`: the one version that the user wants. `told`: Alt-Svc or an HTTPS record told of HTTP/3.
    `broken`: why HTTP/3 is not to be tried at the moment."""
    if wanted is not None:
        return Choice(wanted == "3", () if wanted == "3" else (wanted,))
    if not tls:
        return Choice(False, ("1.1",))
    quic = told and not broken
    return Choice(quic, ("2", "1.1"), broken if told else "")


@dataclass(frozen=True, slots=True)
class _Break:
    until: float
    length_s: float
    cause: str


class Broken:
    """Servers that QUIC did not reach, each left alone for a while, twice as long each time.

    `now` is in seconds of any steady clock.
    """

    def __init__(self) -> None:
        self._breaks: dict[Hashable, _Break] = {}

    def failed(self, server: Hashable, cause: str, now: float) -> float:
        """QUIC to `server` lost or failed; for how many seconds it is not tried again. Several requests
        that fail at the same time say it once."""
        last = self._breaks.get(server)
        if last is not None and now < last.until:
            return last.until - now
        length_s = min(last.length_s * 2, LONGEST_BREAK_S) if last is not None else FIRST_BREAK_S
        self._breaks[server] = _Break(now + length_s, length_s, cause)
        return length_s

    def worked(self, server: Hashable) -> None:
        """QUIC reached it: what was before is forgotten."""
        self._breaks.pop(server, None)

    def cause(self, server: Hashable, now: float) -> str:
        """Why HTTP/3 is not to be tried now; empty where it may."""
        found = self._breaks.get(server)
        return found.cause if found is not None and now < found.until else ""
