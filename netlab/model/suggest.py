"""The nearest right thing to what a user wrote."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(word: str, known: Iterable[str], what: str = "known") -> str:
    """`did you mean X?`, or the few things that exist, or nothing."""
    choices = list(dict.fromkeys(known))
    by_folded = {choice.lower(): choice for choice in choices}
    close = get_close_matches(word.lower(), by_folded, n=1, cutoff=0.6)
    if close:
        return f"did you mean `{by_folded[close[0]]}`?"
    if 0 < len(choices) <= 12:
        return f"{what}: " + ", ".join(choices)
    return ""
