"""Heads of HTTP/2 and HTTP/3 messages from their fields, as a capture shows them: read, not judged.

Sources: RFC 9113, section 8.3; RFC 9114, section 4.3; RFC 8441 (extended CONNECT).
"""

from __future__ import annotations

from netlab.proto.http import Headers, RequestHead, ResponseHead

Fields = tuple[tuple[str, str], ...]


def request_head(fields: Fields, stream: int, version: str) -> RequestHead:
    """`version` "2" or "3". A pseudo-header field that isn't there is ""; a repeated one counts once."""
    pseudo = _pseudo(fields)
    headers = [one for one in fields if not one[0].startswith(":")]
    if ":authority" in pseudo:
        headers = [("host", pseudo[":authority"]), *(one for one in headers if one[0].lower() != "host")]
    protocol = pseudo.get(":protocol", "").lower()
    method = "GET" if protocol else pseudo.get(":method", "")
    target = pseudo.get(":path", pseudo.get(":authority", ""))
    scheme = pseudo.get(":scheme", "")
    return RequestHead(method, target, Headers(headers), stream, version, scheme, protocol)


def response_head(fields: Fields, stream: int, version: str) -> ResponseHead | None:
    """None where there is no status: these are trailers."""
    status = _pseudo(fields).get(":status", "")
    if not (status.isascii() and status.isdecimal() and len(status) == 3):
        return None
    headers = Headers(one for one in fields if not one[0].startswith(":"))
    return ResponseHead(int(status), headers, "", stream, version)


def _pseudo(fields: Fields) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in fields:
        if name.startswith(":"):
            found.setdefault(name, value)
    return found
