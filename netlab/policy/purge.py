"""What a PURGE request means, of the kind that caches in production obey from those that may."""

from __future__ import annotations

from collections.abc import Callable

from netlab.policy.cache_key import Key
from netlab.policy.stored import Stored
from netlab.proto.http import Headers, members

Condition = Callable[[Key, Stored], bool]


def purge_condition(wanted: Key, headers: Headers) -> Condition:
    """By the tags of Cache-Tag, if it is there; else all whose URL starts with the target, where that ends
    in `*`; else the one URL, in all its variants. Always within one authority."""
    authority, target = wanted[0], wanted[1].partition("\n")[0]
    tags = {tag for member in members(headers.get("cache-tag")) for tag in member.split()}

    def chosen(key: Key, entry: Stored) -> bool:
        if key[0] != authority:
            return False
        if tags:
            return bool(tags & entry.tags)
        path = key[1].partition("\n")[0]
        return path.startswith(target[:-1]) if target.endswith("*") else path == target

    return chosen


def is_soft(headers: Headers) -> bool:
    return headers.get("soft-purge").strip() == "1"
