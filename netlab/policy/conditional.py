"""Conditional requests: has the client this response already, or its beginning? (RFC 9110 section 13)."""

from __future__ import annotations

from netlab.policy.cache_control import http_date
from netlab.proto.http import Headers, members


def client_has(asked: Headers, fields: Headers) -> bool:
    """True where 304 is right: If-None-Match matches the ETag of `fields` (weakly, section 13.1.2), or
    without it, If-Modified-Since is not before Last-Modified (section 13.1.3), or where that is unknown,
    Date (RFC 9111 section 4.3.2)."""
    if asked.has("if-none-match"):
        etag = _opaque(fields.get("etag"))
        tags = members(asked.get("if-none-match"))
        return tags == ["*"] or (etag != "" and etag in map(_opaque, tags))
    if not asked.has("if-modified-since"):
        return False
    since = http_date(asked.get("if-modified-since"))
    modified = http_date(fields.get("last-modified") or fields.get("date"))
    return since is not None and modified is not None and modified <= since


def range_applies(asked: Headers, fields: Headers) -> bool:
    """Whether If-Range, if there is one, names what is stored: by a strong ETag, or by the very date of
    Last-Modified, which must be a second older than Date to be strong (sections 13.1.5 and 8.8.2.2)."""
    if not asked.has("if-range"):
        return True
    wanted = asked.get("if-range")
    if wanted.startswith(('"', "W/")):
        return is_strong(wanted) and wanted == fields.get("etag")
    modified, made = http_date(fields.get("last-modified")), http_date(fields.get("date"))
    known = modified is not None and made is not None and modified + 1 <= made
    return known and wanted == fields.get("last-modified")


def is_strong(etag: str) -> bool:
    return len(etag) >= 2 and etag.startswith('"') and etag.endswith('"')


def _opaque(etag: str) -> str:
    """For weak comparison (RFC 9110 section 8.8.3.2)."""
    return etag.removeprefix("W/")
