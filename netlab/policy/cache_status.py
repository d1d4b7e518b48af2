"""Cache-Status (RFC 9211): what a cache did with a request, told to whoever asks."""

from __future__ import annotations

import re

from netlab.policy.stored import Stored
from netlab.proto.http import Headers, ResponseHead

_TOKEN = re.compile(r"[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*")


def marked(head: ResponseHead, node: str, status: str) -> ResponseHead:
    """`head` with what the cache `node` did, after what caches nearer to the origin said."""
    name = node if _TOKEN.fullmatch(node) else f'"{node}"'
    before = head.headers.all("cache-status")
    value = ", ".join((*before, f"{name}; {status}"))
    return head.with_headers(Headers((*head.headers.without("cache-status"), ("Cache-Status", value))))


def hit(entry: Stored, now: float) -> str:
    return f"hit; ttl={int(entry.remaining(now))}"


def forwarded(cause: str, status: int | None = None, *, stored: bool = False, collapsed: bool = False) -> str:
    """`cause`: why the request went on; `status`: the origin's, None where it did not answer."""
    parts = [f"fwd={cause}"]
    if status is not None:
        parts.append(f"fwd-status={status}")
    parts += ["stored"] * stored + ["collapsed"] * collapsed
    return "; ".join(parts)
