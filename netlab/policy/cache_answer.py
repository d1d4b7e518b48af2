"""What a cache answers from a stored response: whole, a part of it, or that the client has it already."""

from __future__ import annotations

from netlab.policy.cache_control import field_names
from netlab.policy.conditional import client_has, range_applies
from netlab.policy.ranges import Span, multipart, requested
from netlab.policy.stored import Stored
from netlab.proto.http import Headers, RequestHead, ResponseHead

# RFC 9110 section 15.4.5, and what tells clients of the cache itself.
_NOT_MODIFIED_FIELDS = frozenset(
    {
        "age",
        "cache-control",
        "cdn-cache-control",
        "content-location",
        "date",
        "etag",
        "expires",
        "last-modified",
        "vary",
    }
)


def answer(
    request: RequestHead, entry: Stored, now: float, *, validated: bool = False
) -> tuple[ResponseHead, bytes]:
    """The response, with Age: 304 where the client has the same (RFC 9111 section 4.3.2), 206 or 416 where
    it wants parts (RFC 9110 section 14). `validated`: the origin has just confirmed it, so that also the
    fields go out that `no-cache` names (RFC 9111 section 5.2.2.4)."""
    headers = entry.head.headers.having("Age", str(int(entry.age(now))))
    if not validated:
        headers = headers.without(*field_names(entry.told.get("no-cache", "")))
    if entry.head.status in {200, 206}:
        if client_has(request.headers, entry.head.headers):
            kept = Headers((n, v) for n, v in headers if n.lower() in _NOT_MODIFIED_FIELDS)
            return ResponseHead(304, kept, "Not Modified"), b""
        return _cut(request, entry, headers)
    return entry.head.with_headers(headers), entry.body


def is_whole_answer(request: RequestHead, entry: Stored) -> bool:
    """Whether the answer is all of `entry`, whatever else the request says: no conditions, no ranges."""
    fields = request.headers
    return entry.part is None and not (
        fields.has("if-none-match") or fields.has("if-modified-since") or fields.has("range")
    )


def serves(request: RequestHead, entry: Stored) -> bool:
    """Whether an incomplete response has all bytes of the one range that is asked for."""
    if entry.part is None:
        return True
    spans = _spans(request, entry)
    held = entry.part[0]
    return spans is not None and len(spans) == 1 and _within(spans[0], held)


def _within(span: Span, held: Span) -> bool:
    return held.first <= span.first and span.last <= held.last


def _spans(request: RequestHead, entry: Stored) -> list[Span] | None:
    """Range is for GET alone (RFC 9110 section 14.2)."""
    if request.method != "GET" or not range_applies(request.headers, entry.head.headers):
        return None
    return requested(request.headers, entry.part[1] if entry.part else len(entry.body))


def _cut(request: RequestHead, entry: Stored, headers: Headers) -> tuple[ResponseHead, bytes]:
    total = entry.part[1] if entry.part else len(entry.body)
    spans = _spans(request, entry)
    if spans is None:
        headers = headers.having("Accept-Ranges", "bytes") if not entry.part else headers
        return entry.head.with_headers(headers), entry.body
    bare = headers.without("content-length", "content-range")
    if not spans:
        unsatisfied = bare.without("content-type", "content-encoding", "etag", "last-modified")
        return ResponseHead(416, unsatisfied.plus("Content-Range", f"bytes */{total}")), b""
    offset = entry.part[0].first if entry.part else 0
    if len(spans) == 1:
        fields = bare.plus("Content-Range", spans[0].header(total))
        body = entry.body[spans[0].first - offset : spans[0].last - offset + 1]
    else:
        kind, body = multipart(spans, entry.body, offset, total, headers.get("content-type"))
        fields = bare.having("Content-Type", kind)
    return ResponseHead(206, fields.plus("Content-Length", str(len(body))), "Partial Content"), body
