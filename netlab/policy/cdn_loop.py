"""CDN-Loop (RFC 8586): a request that comes back to an edge through others must not go round for ever."""

from __future__ import annotations

from netlab.proto.http import Headers, members


def is_loop(headers: Headers, node: str) -> bool:
    """Whether the request has passed `node` already."""
    if not headers.has("cdn-loop"):
        return False
    return any(one.partition(";")[0].strip() == node for one in members(headers.get("cdn-loop")))


def with_loop(headers: Headers, node: str) -> str:
    """The field's value as it goes on: nobody's entry is ever taken out (section 2)."""
    return ", ".join((*headers.all("cdn-loop"), node))
