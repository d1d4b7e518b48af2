"""Header rules of a route: fields removed, set and added, with variables in their values."""

from __future__ import annotations

from collections.abc import Mapping

from netlab.model.roles.routing import VARIABLE, HeaderRules
from netlab.proto.http import Headers


def apply(rules: HeaderRules, headers: Headers, values: Mapping[str, str]) -> Headers:
    """`headers` after `rules`: first removed, then set, then added. `values` of each variable."""
    if rules.remove:
        headers = headers.without(*rules.remove)
    for name, text in rules.set.items():
        headers = headers.having(name, _filled(text, values))
    for name, text in rules.add.items():
        headers = headers.plus(name, _filled(text, values))
    return headers


def _filled(text: str, values: Mapping[str, str]) -> str:
    return VARIABLE.sub(lambda found: values[found[1]], text)
