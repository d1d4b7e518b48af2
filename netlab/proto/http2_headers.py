"""Field sections of HTTP/2 (RFC 9113 section 8) ⇄ the heads of `proto.http`.

HTTP/3 has the same pseudo-header fields (RFC 9114 section 4.3).
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import chain

from hpack import HeaderTuple, NeverIndexedHeaderTuple

from netlab.proto.http import Headers, RequestHead, ResponseHead

Fields = list[tuple[bytes, bytes]]


class MalformedError(Exception):
    """The message is malformed: a stream error of type PROTOCOL_ERROR (RFC 9113 section 8.1.1)."""


# RFC 9110 section 5.6.2, without upper case (RFC 9113 section 8.2).
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# All control characters, which RFC 9110 section 5.5 lets us refuse, and not the three of RFC 9113 section
# 8.2.1 alone: a gateway could not pass them on in HTTP/1.1. A target is ASCII (RFC 3986 section 2).
_BAD_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]|^[ \t]|[ \t]\Z")
_SCHEME = re.compile(rb"[A-Za-z][A-Za-z0-9+.\-]*")
_BAD_TARGET = re.compile(rb"[^\x21-\x7e]|#")
_AUTHORITY = re.compile(rb"[A-Za-z0-9\-._~%!$&'()*+,;=:\[\]]+")  # RFC 3986 section 3.2, without userinfo
_CONNECTION = {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
_NOT_SENT = {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "host"}
_SECRET = {b"authorization", b"proxy-authorization"}
_REQUEST = {b":method", b":scheme", b":authority", b":path", b":protocol"}


def section_size(fields: Fields) -> int:
    """Bytes as SETTINGS_MAX_HEADER_LIST_SIZE counts them (RFC 9113 section 6.5.2)."""
    return sum(map(len, chain.from_iterable(fields))) + 32 * len(fields)


def _split(fields: Fields, allowed: set[bytes]) -> tuple[dict[bytes, bytes], Fields]:
    """Pseudo-header fields and the others, each checked (RFC 9113 sections 8.2 and 8.3)."""
    pseudo: dict[bytes, bytes] = {}
    regular: Fields = []
    for name, value in fields:
        if _BAD_VALUE.search(value):
            raise MalformedError(f"field {name!r} has a value that no field may have")
        if name[:1] == b":":
            if regular or name in pseudo or name not in allowed:
                raise MalformedError(f"pseudo-header field {name!r} is late, repeated or unknown")
            pseudo[name] = value
            continue
        if not _NAME.fullmatch(name) or name in _CONNECTION:
            raise MalformedError(f"field {name!r} is not allowed in HTTP/2")
        if name == b"te" and value.lower() != b"trailers":
            raise MalformedError("TE other than trailers")
        regular.append((name, value))
    return pseudo, regular


def _headers(regular: Fields, authority: str = "") -> Headers:
    """Cookie crumbs become one field again (RFC 9113 section 8.2.3)."""
    crumbs = [value for name, value in regular if name == b"cookie"]
    if len(crumbs) > 1:
        first = next(index for index, field in enumerate(regular) if field[0] == b"cookie")
        regular[first] = (b"cookie", b"; ".join(crumbs))
        regular = [field for index, field in enumerate(regular) if index == first or field[0] != b"cookie"]
    found = [(name.decode("ascii"), value.decode("latin-1")) for name, value in regular]
    return Headers([("host", authority), *found] if authority else found)


def content_length(headers: Headers) -> int | None:
    """None without one. Raises MalformedError where there are several, also equal ones, as HTTP/1.1 has it
    here too (RFC 9110 section 8.6), or one that is no number."""
    values = [value for name, value in headers if name == "content-length"]
    if not values:
        return None
    value = values[0]
    if len(values) > 1 or not (value.isascii() and value.isdigit()) or len(value) > 18:
        raise MalformedError("Content-Length is not one number")
    return int(value)


def read_request(fields: Fields, stream: int) -> RequestHead:
    """Raises MalformedError (RFC 9113 sections 8.3.1, 8.5; RFC 8441 section 4)."""
    pseudo, regular = _split(fields, _REQUEST)
    method, protocol = pseudo.get(b":method", b""), pseudo.get(b":protocol")
    if not _TOKEN.fullmatch(method):
        raise MalformedError("a request without a method")
    authority = _authority(pseudo, regular)
    headers = _headers(regular, authority)
    if method == b"CONNECT" and protocol is None:
        if not authority or b":path" in pseudo or b":scheme" in pseudo:
            raise MalformedError("CONNECT has an authority, and neither scheme nor path")
        return RequestHead("CONNECT", authority, headers, stream, "2", "")
    scheme, path = _scheme_and_path(pseudo, method)
    if protocol is None:
        return RequestHead(method.decode("ascii"), path, headers, stream, "2", scheme)
    if method != b"CONNECT" or not _TOKEN.fullmatch(protocol) or not authority:
        raise MalformedError(":protocol outside an extended CONNECT")
    return RequestHead("GET", path, headers, stream, "2", scheme, protocol.decode("ascii").lower())


def _authority(pseudo: dict[bytes, bytes], regular: Fields) -> str:
    """The authority, which Host must not contradict; Host is taken out of `regular`."""
    hosts = [value for name, value in regular if name == b"host"]
    if hosts:
        regular[:] = [field for field in regular if field[0] != b"host"]
    authority = pseudo.get(b":authority")
    for host in hosts:
        if authority is not None and host.lower() != authority.lower():
            raise MalformedError("Host is not :authority")
        authority = host
    if authority is None:
        return ""
    if not _AUTHORITY.fullmatch(authority):
        raise MalformedError("not an authority")
    return authority.decode("ascii")


def _scheme_and_path(pseudo: dict[bytes, bytes], method: bytes) -> tuple[str, str]:
    scheme, path = pseudo.get(b":scheme", b""), pseudo.get(b":path", b"")
    if not _SCHEME.fullmatch(scheme):
        raise MalformedError("a request without a scheme")
    if _BAD_TARGET.search(path) or not (path[:1] == b"/" or (path == b"*" and method == b"OPTIONS")):
        raise MalformedError("a request without a path")
    return scheme.decode("ascii").lower(), path.decode("ascii")


def read_response(fields: Fields, stream: int) -> ResponseHead:
    """Raises MalformedError (RFC 9113 section 8.3.2)."""
    pseudo, regular = _split(fields, {b":status"})
    status = pseudo.get(b":status", b"")
    if not re.fullmatch(rb"[1-9][0-9]{2}", status) or status == b"101":
        raise MalformedError("a response without a status")
    return ResponseHead(int(status), _headers(regular), "", stream, "2")


def read_trailers(fields: Fields) -> Headers:
    """Raises MalformedError where there are pseudo-header fields (RFC 9113 section 8.1)."""
    return _headers(_split(fields, set())[1])


@lru_cache(maxsize=512)
def _field(name: str, value: str) -> HeaderTuple:
    """Secrets stay out of the compression's table (RFC 7541 section 7.1.3). Most fields come again."""
    raw = name.lower().encode("ascii")
    kind = NeverIndexedHeaderTuple if raw in _SECRET else HeaderTuple
    return kind(raw, value.strip(" \t").encode("latin-1"))


def _fields(headers: Headers) -> list[HeaderTuple]:
    """Without the fields that HTTP/2 has other means for (RFC 9113 section 8.2.2)."""
    return [
        _field(name, value)
        for name, value in headers
        if (lower := name.lower()) not in _NOT_SENT and (lower != "te" or value.lower() == "trailers")
    ]


def write_request(head: RequestHead) -> list[HeaderTuple]:
    """Raises UnicodeEncodeError."""
    method = "CONNECT" if head.protocol else head.method
    pseudo = [(":method", method)]
    if head.protocol or head.method != "CONNECT":
        pseudo += [(":scheme", head.scheme), (":path", head.target)]
    if head.authority:
        pseudo.append((":authority", head.authority))
    if head.protocol:
        pseudo.append((":protocol", head.protocol))
    return [_field(*field) for field in pseudo] + _fields(head.headers)


def write_response(head: ResponseHead) -> list[HeaderTuple]:
    """Raises UnicodeEncodeError."""
    return [_field(":status", str(head.status)), *_fields(head.headers)]


def write_trailers(trailers: Headers) -> list[HeaderTuple]:
    """Raises UnicodeEncodeError."""
    return _fields(trailers)
