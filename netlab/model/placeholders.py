"""`{{name}}` in the files, arguments and environment of a program: a node's address, or what is its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

# What a `command` role has of its own, in its environment too. No node can have such a name.
DIRECTORY = "NETLAB_DIR"
CERTIFICATE = ("NETLAB_CERT", "NETLAB_KEY", "NETLAB_PEM")
OWN = (DIRECTORY, *CERTIFICATE, "NETLAB_TRUST", "NETLAB_KEYLOG_FD")
_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z0-9_-]+)\s*\}\}")


def placeholders(text: str) -> Iterator[tuple[int, int, str]]:
    """(line, column, name) of each, from 1."""
    for found in _PLACEHOLDER.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        yield line, found.start() - text.rfind("\n", 0, found.start()), found[1]


def fill(text: str, value_of: Callable[[str], str | None]) -> str:
    """`text` with the values of names; those without one stay as they are."""

    def value(found: re.Match[str]) -> str:
        known = value_of(found[1])
        return found[0] if known is None else known

    return _PLACEHOLDER.sub(value, text)
