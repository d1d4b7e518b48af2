"""The head of an HTTP/1.1 message (RFC 9112 sections 2 to 5): its text ⇄ the words of `proto.http`.

Strict where leniency lets two parsers disagree about where a message ends (request smuggling): lines end
in CRLF alone, no folding, no space before a colon, no control characters, one Host, one Content-Length.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from netlab.errors import LocalProtocolError, RemoteProtocolError
from netlab.proto.http import Headers, RequestHead, ResponseHead, members

MAX_HEAD = 16 * 1024  # bytes of a head, and of trailers
MAX_LINE = 8 * 1024  # bytes of a request line; RFC 9112 section 3 asks for 8000 at least
MAX_FIELDS = 100
_MAX_METHOD = 32

_TCHAR = r"!#$%&'*+.^_`|~0-9A-Za-z-"
_VALUE = r"\t\x20-\x7e\x80-\xff"
# Possessive quantifiers, so that no input makes them look back.
_FIELDS = re.compile(rf"(?:[{_TCHAR}]++:[{_VALUE}]*+\r\n)*+")
_REQUEST_LINE = re.compile(rf"([{_TCHAR}]+) ([\x21-\x7e]+) HTTP/([0-9])\.([0-9])")
_STATUS_LINE = re.compile(rf"HTTP/([0-9])\.([0-9]) ([1-9][0-9][0-9])(?: ([{_VALUE}]*))?")
_METHOD_BEGUN = re.compile(rb"[%s]+(?: |\Z)" % _TCHAR.encode())
_BARE_LF = re.compile(rb"(?<!\r)\n")
_BARE_CR = re.compile(rb"\r(?!\n|\Z)")

_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]+)(?::[0-9]*)?")
_ABSOLUTE = re.compile(r"([Hh][Tt][Tt][Pp][Ss]?)://([^/?]*)(.*)")
_LENGTH = re.compile("[0-9]{1,18}")
_FRAMING = frozenset(("host", "content-length", "transfer-encoding", "connection", "upgrade", "expect"))
_NOT_IN_TRAILERS = frozenset(("host", "content-length", "transfer-encoding", "trailer", "connection"))


@dataclass(frozen=True, slots=True)
class Framing:
    """How the bytes after a head are cut (RFC 9112 section 6.3). `length` None: to the connection's end."""

    chunked: bool = False
    length: int | None = 0

    @property
    def empty(self) -> bool:
        return not self.chunked and self.length == 0


NO_BODY = Framing()
CHUNKED = Framing(chunked=True)
UNTIL_CLOSE = Framing(length=None)

_Known = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class Request:
    """A head and what it says of its connection."""

    head: RequestHead
    framing: Framing
    keep_alive: bool
    expects_continue: bool


@dataclass(frozen=True, slots=True)
class ResponseStart:
    """A head and what it says of its connection; its framing depends on the request, too."""

    head: ResponseHead
    chunked: bool
    length: int | None
    keep_alive: bool


# Where a head ends.


def head_end(buffer: bytes, limit: int, what: str) -> int:
    """The offset behind the empty line; 0 where that has not come. Raises RemoteProtocolError."""
    end = buffer.find(b"\r\n\r\n")
    if (len(buffer) if end < 0 else end) > limit:
        raise RemoteProtocolError(f"{what} is longer than {limit} bytes", 431)
    if end < 0:
        _check_line_ends(buffer, what)
    return end + 4 if end >= 0 else 0


def _check_line_ends(buffer: bytes, what: str) -> None:
    """Else such a head would be waited for to its timeout (RFC 9112 section 2.2)."""
    if _BARE_LF.search(buffer) or _BARE_CR.search(buffer) or b"\0" in buffer:
        raise RemoteProtocolError(f"{what} has a line end other than CRLF, or a NUL", 400)


def check_request_begun(buffer: bytes) -> None:
    """What can be said of a head that is not whole: TLS, HTTP/0.9 and nonsense are answered at once."""
    end = buffer.find(b"\r\n")
    if (len(buffer) if end < 0 else end) > MAX_LINE:
        raise RemoteProtocolError(f"the request line is longer than {MAX_LINE} bytes", 414)
    if end >= 0:
        _request_line(buffer[:end].decode("latin-1"))
    elif buffer != b"\r" and not _METHOD_BEGUN.match(buffer):
        raise RemoteProtocolError("not an HTTP request", 400)


# Fields.


def parse_fields(text: str) -> Headers:
    """Field lines, each with its CRLF. Raises RemoteProtocolError."""
    if not text:
        return Headers()
    if not _FIELDS.fullmatch(text):
        raise RemoteProtocolError("a header field is malformed", 400)
    lines = text[:-2].split("\r\n")
    if len(lines) > MAX_FIELDS:
        raise RemoteProtocolError(f"more than {MAX_FIELDS} header fields", 431)
    fields = []
    for line in lines:
        name, _, value = line.partition(":")
        fields.append((name, value.strip(" \t")))
    return Headers(fields)


def parse_trailers(text: str) -> Headers:
    """As `parse_fields`; fields that frame or route a message may not come after it (RFC 9110 6.5.1)."""
    trailers = parse_fields(text)
    for name, _ in trailers:
        if name.lower() in _NOT_IN_TRAILERS:
            raise RemoteProtocolError(f"{name} is not allowed in trailers", 400)
    return trailers


def sendable_trailers(trailers: Headers) -> Headers:
    """Without fields that may not come after a message, which other versions may have let through."""
    return Headers(field for field in trailers if field[0].lower() not in _NOT_IN_TRAILERS)


def _known(headers: Headers) -> _Known:
    found: _Known = {}
    for name, value in headers:
        lowered = name.lower()
        if lowered in _FRAMING:
            found.setdefault(lowered, []).append(value)
    return found


def _tokens(known: _Known, name: str) -> list[str]:
    values = known.get(name)
    return [member.lower() for member in members(", ".join(values))] if values else []


def _length(known: _Known) -> int | None:
    """Content-Length; None without. Several are refused, also equal ones (RFC 9110 section 8.6)."""
    values = known.get("content-length")
    if values is None:
        return None
    if len(values) > 1 or not _LENGTH.fullmatch(values[0]):
        raise RemoteProtocolError(f"Content-Length: {', '.join(values)}", 400)
    return int(values[0])


def _chunked(known: _Known, version: str) -> bool:
    """Whether Transfer-Encoding says chunked and nothing else (RFC 9112 section 6.1)."""
    values = known.get("transfer-encoding")
    if values is None:
        return False
    if version == "1.0":
        raise RemoteProtocolError("Transfer-Encoding in HTTP/1.0", 400)
    if "content-length" in known:
        raise RemoteProtocolError("Transfer-Encoding beside Content-Length", 400)
    codings = _tokens(known, "transfer-encoding")
    if not codings or "chunked" in codings[:-1]:
        raise RemoteProtocolError("chunked is not the last transfer coding", 400)
    if len(values) > 1 or values[0].lower() != "chunked":
        raise RemoteProtocolError(f"unknown transfer coding: {', '.join(values)}", 501)
    return True


def _keep_alive(known: _Known, version: str) -> bool:
    """RFC 9112 section 9.3."""
    tokens = _tokens(known, "connection")
    return "close" not in tokens and (version != "1.0" or "keep-alive" in tokens)


def _version(major: str, minor: str) -> str:
    """A minor version that is higher than ours is as ours (RFC 9110 section 2.5)."""
    if major != "1":
        raise RemoteProtocolError(f"HTTP/{major}.{minor} is not spoken here", 505)
    return "1.0" if minor == "0" else "1.1"


# Requests.


def parse_request(text: str, scheme: str) -> Request:
    """A whole request head without its last, empty line. Raises RemoteProtocolError."""
    end = text.find("\r\n")
    if end > MAX_LINE:
        raise RemoteProtocolError(f"the request line is longer than {MAX_LINE} bytes", 414)
    method, target, version = _request_line(text[:end])
    headers = parse_fields(text[end + 2 :])
    known = _known(headers)
    chunked = _chunked(known, version)
    length = _length(known)
    host = _host(known, version)
    if not target.startswith("/") or method == "CONNECT":
        target, host = _other_form(method, target, host)
        headers = _first(headers, host)
    elif "#" in target:
        raise RemoteProtocolError("a target has no fragment", 400)
    return Request(
        RequestHead(method, target, headers, 0, version, scheme, _protocol(known, version)),
        CHUNKED if chunked else Framing(length=length) if length else NO_BODY,
        _keep_alive(known, version),
        version != "1.0" and "100-continue" in _tokens(known, "expect"),
    )


def _request_line(line: str) -> tuple[str, str, str]:
    """Method, target, version."""
    found = _REQUEST_LINE.fullmatch(line)
    if found is None:
        raise RemoteProtocolError("not an HTTP request line", 400)
    method, target, major, minor = found.groups()
    if len(method) > _MAX_METHOD:
        raise RemoteProtocolError("an unknown method", 501)
    return method, target, _version(major, minor)


def _host(known: _Known, version: str) -> str:
    """The one valid Host; in HTTP/1.0 it may lack (RFC 9112 section 3.2)."""
    values = known.get("host", [])
    if not values and version == "1.0":
        return ""
    if len(values) != 1 or not _HOST.fullmatch(values[0]):
        raise RemoteProtocolError(f"{len(values)} Host fields: {', '.join(values)}", 400)
    return values[0]


def _other_form(method: str, target: str, host: str) -> tuple[str, str]:
    """Target and host of a target that is no path (RFC 9112 sections 3.2.2 to 3.2.4)."""
    if method == "CONNECT" and _HOST.fullmatch(target) and ":" in target:
        raise RemoteProtocolError("CONNECT is not implemented", 501)
    if target == "*" and method == "OPTIONS":
        return target, host
    absolute = _ABSOLUTE.fullmatch(target)
    if method == "CONNECT" or absolute is None or "#" in target or not _HOST.fullmatch(absolute[2]):
        raise RemoteProtocolError(f"the target fits no form of {method}", 400)
    path = absolute[3] or ("*" if method == "OPTIONS" else "/")
    return path if path.startswith(("/", "*")) else f"/{path}", absolute[2]


def _first(headers: Headers, host: str) -> Headers:
    """An absolute-form target replaces Host (RFC 9112 section 3.2.2)."""
    return headers.having("Host", host) if host else headers


def _protocol(known: _Known, version: str) -> str:
    """What Upgrade asks for; HTTP/1.0 can't ask (RFC 9110 section 7.8), and h2c is gone (RFC 9113
    section 3.1)."""
    if version == "1.0" or "upgrade" not in known or "upgrade" not in _tokens(known, "connection"):
        return ""
    wanted = (token for token in _tokens(known, "upgrade") if not token.startswith(("h2", "http/", "tls/")))
    return next(wanted, "")


def request_text(head: RequestHead, headers: Headers) -> bytes:
    """The head's bytes with these fields. Raises LocalProtocolError."""
    line = f"{head.method} {head.target} HTTP/1.1"
    if not _REQUEST_LINE.fullmatch(line):
        raise LocalProtocolError(f"not a request line: {line!r}")
    return _head_bytes(line, headers)


# Responses.


def parse_response(text: str) -> ResponseStart:
    """A whole response head without its last, empty line. Raises RemoteProtocolError."""
    end = text.find("\r\n")
    found = _STATUS_LINE.fullmatch(text[:end])
    if found is None:
        raise RemoteProtocolError("not an HTTP status line")
    version = _version(found[1], found[2])
    headers = parse_fields(text[end + 2 :])
    known = _known(headers)
    status = int(found[3])
    bodiless = status < 200 or status in {204, 304}  # whatever their fields say (RFC 9112 section 6.3)
    return ResponseStart(
        ResponseHead(status, headers, found[4] or "", version=version),
        not bodiless and _chunked(known, version),
        0 if bodiless else _length(known),
        _keep_alive(known, version),
    )


def response_text(status: int, reason: str, headers: Headers) -> bytes:
    """The head's bytes. Raises LocalProtocolError."""
    if not 100 <= status <= 999:
        raise LocalProtocolError(f"not a status: {status}")
    if "\r" in reason or "\n" in reason:
        raise LocalProtocolError(f"not a reason phrase: {reason!r}")
    return _head_bytes(f"HTTP/1.1 {status} {reason}", headers)


def fields_bytes(headers: Headers) -> bytes:
    """Field lines. A value with a line end of its own would be a field more: LocalProtocolError."""
    text = "".join([f"{name}: {value}\r\n" for name, value in headers])
    if text.count("\r\n") != len(headers) or not _FIELDS.fullmatch(text):
        raise LocalProtocolError(f"not header fields: {headers!r}")
    return _latin(text)


def _head_bytes(line: str, headers: Headers) -> bytes:
    return _latin(f"{line}\r\n") + fields_bytes(headers) + b"\r\n"


def _latin(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise LocalProtocolError(f"{error}, sending {text!r}") from error
