"""HTTP Alternative Services (RFC 7838): where else, and by which protocol, an origin is to be had."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote

from netlab.proto.http import members

_DEFAULT_MA_S = 86_400  # section 3.1
_LONGEST_S = 2**31
_NAME = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_ALTERNATIVE = re.compile(rf"({_NAME})=({_QUOTED})((?:\s*;\s*{_NAME}=(?:{_NAME}|{_QUOTED}))*)\s*$")
_PARAMETER = re.compile(rf"\s*;\s*({_NAME})=({_NAME}|{_QUOTED})")
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]/?#@\s]*):(\d{1,5})$")
_UNRESERVED = "!#$&'*+-.^_`|~"  # what of a token need not be encoded in a protocol's name


@dataclass(frozen=True, slots=True)
class Alternative:
    """`protocol` by its ALPN name ("h3"). `host` is empty where it is the origin's own."""

    protocol: str
    port: int
    host: str = ""
    max_age_s: int = _DEFAULT_MA_S
    persist: bool = False

    def __str__(self) -> str:
        return f'{quote(self.protocol, safe=_UNRESERVED)}="{self.host}:{self.port}"'


def parse(value: str) -> tuple[Alternative, ...] | None:
    """The alternatives of an Alt-Svc field, in its order; none where it says `clear` (section 3).

    Members that break the grammar are passed over, unknown parameters too. None where nothing is left,
    so that the field says nothing.
    """
    if value.strip() == "clear":
        return ()
    parsed = (_alternative(member) for member in members(value))
    found = tuple(one for one in parsed if one is not None)
    return found or None


def _alternative(member: str) -> Alternative | None:
    found = _ALTERNATIVE.match(member)
    if found is None:
        return None
    authority = _AUTHORITY.match(_unquoted(found[2]))
    if authority is None or not 1 <= int(authority[2]) <= 65_535:
        return None
    made = Alternative(unquote(found[1]), int(authority[2]), authority[1].lower())
    for name, raw in _PARAMETER.findall(found[3]):
        text = _unquoted(raw)
        if name.lower() == "ma":
            if not (text.isascii() and text.isdigit()):
                return None
            made = replace(made, max_age_s=min(int(text), _LONGEST_S))
        elif name.lower() == "persist":
            made = replace(made, persist=text == "1")
    return made


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def serialise(alternatives: Iterable[Alternative]) -> str:
    """An Alt-Svc field's value; `clear` for no alternatives."""
    return ", ".join(_serialised(one) for one in alternatives) or "clear"


def _serialised(one: Alternative) -> str:
    age = f"; ma={one.max_age_s}" if one.max_age_s != _DEFAULT_MA_S else ""
    return f"{one}{age}{'; persist=1' if one.persist else ''}"


class Cache:
    """Alternatives per origin, as long as they are fresh. `now` is in seconds of any steady clock."""

    def __init__(self) -> None:
        self._known: dict[Hashable, tuple[tuple[float, Alternative], ...]] = {}

    def store(
        self, origin: Hashable, alternatives: tuple[Alternative, ...], now: float, age_s: int = 0
    ) -> None:
        """What the origin says now is all that counts (section 3.1). `age_s`: the response's own age."""
        fresh = tuple((now + one.max_age_s - age_s, one) for one in alternatives if one.max_age_s > age_s)
        if fresh:
            self._known[origin] = fresh
        else:
            self._known.pop(origin, None)

    def get(self, origin: Hashable, now: float) -> tuple[Alternative, ...]:
        """The fresh alternatives, the preferred one first."""
        return tuple(one for until, one in self._known.get(origin, ()) if now < until)

    def drop(self, origin: Hashable) -> None:
        """Forget them: the alternative says that it is none (421, section 6)."""
        self._known.pop(origin, None)

    def network_changed(self) -> None:
        """Keep only those that persist (section 2.2)."""
        kept = {
            origin: tuple(pair for pair in pairs if pair[1].persist) for origin, pairs in self._known.items()
        }
        self._known = {origin: pairs for origin, pairs in kept.items() if pairs}
