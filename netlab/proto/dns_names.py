"""Domain names as text: without the final dot, except the root, which is "." (RFC 1035, 5.1).

Names compare without regard to the case of ASCII letters (RFC 4343); a dot inside a label is written `\\.`.
"""

from __future__ import annotations

import re

ROOT = "."
_LABEL = re.compile(r"(?:\\.|[^\\.])+", re.DOTALL)


def fold(name: str) -> str:
    """The form in which equal names are the same text: `API.Example.com.` ─► `api.example.com`."""
    lowered = name.lower()
    if lowered.endswith(".") and len(lowered) > 1 and not lowered.endswith("\\."):
        return lowered[:-1]
    return lowered


def labels(name: str) -> tuple[str, ...]:
    """The labels, the leftmost first; none for the root."""
    return tuple(_LABEL.findall(name))


def parent(name: str) -> str:
    """The name without its leftmost label; the root's parent is the root."""
    return ".".join(labels(name)[1:]) or ROOT


def is_within(name: str, zone: str) -> bool:
    """Whether `name` is `zone` or below it."""
    inner, outer = labels(fold(name)), labels(fold(zone))
    return len(inner) >= len(outer) and inner[len(inner) - len(outer) :] == outer


def ancestors(name: str) -> tuple[str, ...]:
    """`name` and every name above it, the root last: a.b ─► (a.b, b, .)."""
    parts = labels(name)
    return (*(".".join(parts[start:]) for start in range(len(parts))), ROOT)
