"""Settings of a running role, as the command line writes them."""

from __future__ import annotations

from collections.abc import Iterable

from netlab.errors import InputError


def parse_settings(words: Iterable[str]) -> dict[str, str]:
    """`KEY=VALUE` words ─► key ─► value; a value may be empty, and may have `=` in it.

    Raises InputError where a word has no key, or a key comes twice.
    """
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not key or not equals:
            raise InputError(f"{word!r} is not KEY=VALUE", "such as: weights=app-1:3,app-2:1")
        if key in found:
            raise InputError(f"{key} is given twice", "give it once")
        found[key] = value
    return found
