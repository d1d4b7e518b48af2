"""Elements of HTML and SVG, escaped; and data for scripts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import Any


class Markup(str):
    """Text that is markup already. What is no Markup is escaped wherever it is put into an element."""

    __slots__ = ()


def el(name: str, /, *children: str, **attributes: str | float) -> Markup:
    """`<name …>children</name>`. An attribute's underscores become hyphens (`class_`: class); those that
    are "" are left out."""
    made = "".join(_attribute(key, value) for key, value in attributes.items() if value != "")
    return Markup(f"<{name}{made}>{''.join(map(text, children))}</{name}>")


def text(value: str) -> Markup:
    """Escaped, if it isn't markup."""
    return value if isinstance(value, Markup) else Markup(escape(value))


def joined(parts: Sequence[str]) -> Markup:
    return Markup("".join(map(text, parts)))


def _attribute(key: str, value: str | float) -> str:
    name = key.rstrip("_").replace("_", "-").replace("viewbox", "viewBox")
    shown = f"{value:.1f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    return f' {name}="{escape(shown)}"'


def data(key: str, value: Any) -> Markup:
    """A JSON block that a script reads by `key`. No `<` in it, so that no text can end the block (HTML,
    "restrictions for contents of script elements")."""
    shown = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for sign, code in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        shown = shown.replace(sign, code)
    return Markup(f'<script type="application/json" id="{escape(key)}">{shown}</script>')


def frames(numbers: Sequence[int], shown: int = 8) -> Markup:
    """Buttons that show the packets."""
    made = [
        el("button", str(one), class_="frame", data_frame=str(one), type="button") for one in numbers[:shown]
    ]
    return joined([*made, *([f" and {len(numbers) - shown} more"] if len(numbers) > shown else [])])
