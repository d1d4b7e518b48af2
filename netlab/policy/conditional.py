"""Conditional requests: has the client this response already? (RFC 9110 section 13)."""

from __future__ import annotations

from netlab.policy.cache_control import http_date
from netlab.proto.http import Headers, members


def client_has(asked: Headers, fields: Headers) -> bool:
    """True where 304 is right: If-None-Match matches the ETag of `fields` (weakly, section 13.1.2), or
    without it, If-Modified-Since is not before Last-Modified (section 13.1.3)."""
    if asked.has("if-none-match"):
        etag = _opaque(fields.get("etag"))
        tags = members(asked.get("if-none-match"))
        return tags == ["*"] or (etag != "" and etag in map(_opaque, tags))
    since = http_date(asked.get("if-modified-since"))
    modified = http_date(fields.get("last-modified"))
    return since is not None and modified is not None and modified <= since


def _opaque(etag: str) -> str:
    """For weak comparison (RFC 9110 section 8.8.3.2)."""
    return etag.removeprefix("W/")
