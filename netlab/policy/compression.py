"""Content coding at an edge: who gets gzip, of what, with which head (RFC 9110 sections 8.4, 12.5.3)."""

from __future__ import annotations

import re
import zlib

from netlab.policy.cache_control import directives
from netlab.proto.http import Headers, RequestHead, ResponseHead, members

LEAST = 256  # bytes; shorter bodies gain nothing
MOST_WHOLE = 1 << 20  # bytes that are compressed at once; what streams may be longer
_LEVEL = 6
_GZIP = 16 + zlib.MAX_WBITS  # zlib's way of asking for gzip
_TYPES = re.compile(
    r"text/(?!event-stream)[^;]*|application/(json|javascript|xml|wasm|manifest\+json|[^;]*\+(json|xml))"
    r"|image/(svg\+xml|bmp|x-icon)|font/(otf|ttf)",
    re.IGNORECASE,
)
_QVALUE = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?", re.ASCII)
_OF_THE_BYTES = ("content-length", "accept-ranges", "content-md5", "content-digest", "repr-digest", "digest")


def compressible(head: ResponseHead) -> bool:
    """Whether the edge may compress this: text of some length, whole, in no coding yet, and the origin
    does not forbid it (no-transform, RFC 9111 section 5.2.2.6)."""
    headers = head.headers
    if head.status != 200 or headers.has("content-encoding") or headers.has("content-range"):
        return False
    length = headers.get("content-length")
    if length.isdigit() and int(length) < LEAST:
        return False
    kind = headers.get("content-type").partition(";")[0].strip()
    return bool(_TYPES.fullmatch(kind)) and "no-transform" not in directives(headers)


def wants_gzip(request: RequestHead) -> bool:
    """Whether gzip is what Accept-Encoding likes best, of gzip and nothing. A range is of the bytes as they
    are stored, so who asks for one gets them as they are."""
    if not request.headers.has("accept-encoding") or request.headers.has("range"):
        return False
    liked = _qualities(request.headers.get("accept-encoding"))
    gzip = liked.get("gzip", liked.get("x-gzip", liked.get("*", 0.0)))
    return gzip > 0 and gzip >= liked.get("identity", 0.0)


def _qualities(value: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for member in members(value):
        name, *parameters = (part.strip() for part in member.split(";"))
        quality = 1.0
        for parameter in parameters:
            key, _, text = parameter.partition("=")
            if key.strip().lower() == "q":
                quality = float(text) if _QVALUE.fullmatch(text.strip()) else 0.0
        found.setdefault(name.lower(), quality)
    return found


def varying(head: ResponseHead) -> ResponseHead:
    """As it is, but it says that there is another form of it."""
    names = [name.lower() for name in members(head.headers.get("vary"))]
    if "accept-encoding" in names or "*" in names:
        return head
    value = ", ".join((*members(head.headers.get("vary")), "Accept-Encoding"))
    return head.with_headers(head.headers.having("Vary", value))


def gzipped_head(head: ResponseHead, size: int | None = None) -> ResponseHead:
    """Of the compressed form, whose ETag is weak: its bytes are others (RFC 9110 section 8.8.1). `size` None:
    not known yet."""
    headers = varying(head).headers.without(*_OF_THE_BYTES)
    headers = headers.having("Content-Encoding", "gzip")
    etag = headers.get("etag")
    if etag and not etag.startswith("W/"):
        headers = headers.having("ETag", f"W/{etag}")
    if size is not None:
        headers = Headers((*headers, ("Content-Length", str(size))))
    return head.with_headers(headers)


class Gzip:
    """A body that is compressed as it comes. The same bytes always give the same."""

    def __init__(self) -> None:
        self._compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)

    def add(self, part: bytes) -> bytes:
        return self._compressor.compress(part)

    def end(self) -> bytes:
        return self._compressor.flush()


def gzipped(body: bytes) -> bytes:
    gzip = Gzip()
    return gzip.add(body) + gzip.end()
