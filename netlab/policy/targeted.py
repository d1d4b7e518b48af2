"""Targeted Cache-Control fields (RFC 9213): CDN-Cache-Control, a dictionary of structured fields (RFC 9651).

Such a field, where it is there and well-formed, stands in the place of Cache-Control and Expires.
"""

from __future__ import annotations

import re

FIELD = "cdn-cache-control"
_KEY = re.compile(r"[a-z*][a-z0-9_.*-]*")
_BARE = re.compile(
    r"""(?P<decimal>-?\d{1,12}\.\d{1,3})
    | (?P<integer>-?\d{1,15})
    | (?P<string>"(?:[ !\x23-\x5b\x5d-\x7e]|\\["\\])*")
    | (?P<token>[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*)
    | (?P<bytes>:[A-Za-z0-9+/=]*:)
    | (?P<boolean>\?[01])""",
    re.VERBOSE,
)
_NUMBERS = frozenset({"max-age", "s-maxage", "stale-while-revalidate", "stale-if-error"})


def targeted(value: str) -> dict[str, str] | None:
    """Directives and their values as text (`""` for those without one); None where the field is empty or is
    no dictionary, and so to be ignored (RFC 9213 section 2.1). A directive whose value is of the wrong
    type is left out; a directive that is false is not there."""
    found: dict[str, str] = {}
    position = 0
    text = value.strip(" ")
    while position < len(text):
        key = _KEY.match(text, position)
        if key is None:
            return None
        told, position = "", key.end()
        kind = "boolean"
        if text.startswith("=", position):
            bare = _BARE.match(text, position + 1)
            if bare is None:
                return None
            kind, told, position = str(bare.lastgroup), bare.group(), bare.end()
        parsed = _after_parameters(text, position)
        if parsed is None:
            return None
        position = parsed
        found.pop(key.group(), None)  # of a key given twice the last counts (RFC 9651 section 3.2)
        if told != "?0" and (key.group() not in _NUMBERS or kind == "integer"):
            found[key.group()] = _plain(kind, told)
    return found or None


def _plain(kind: str, told: str) -> str:
    if kind == "string":
        return re.sub(r"\\(.)", r"\1", told[1:-1])
    return "" if kind == "boolean" else told


def _after_parameters(text: str, position: int) -> int | None:
    """Behind a member's parameters, which mean nothing here, and its comma; None where neither comes."""
    while text.startswith(";", position):
        key = _KEY.match(text, position + 1 + _spaces(text, position + 1))
        if key is None:
            return None
        position = key.end()
        if text.startswith("=", position):
            bare = _BARE.match(text, position + 1)
            if bare is None:
                return None
            position = bare.end()
    position += _spaces(text, position)
    if position == len(text):
        return position
    if text[position] != ",":
        return None
    position += 1
    position += _spaces(text, position)
    return position if position < len(text) else None  # no comma at the end


def _spaces(text: str, position: int) -> int:
    return len(text) - position - len(text[position:].lstrip(" \t"))
