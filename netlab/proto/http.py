"""The words of HTTP for every version: what a codec gives and takes. Each event has a stream id.

HTTP/1.1 has one stream at a time, with id 0.
"""

from __future__ import annotations

from dataclasses import dataclass


class Headers(tuple[tuple[str, str], ...]):
    """Header fields in order, names as they were on the wire; lookups ignore case (RFC 9110 section 5.1)."""

    _found: dict[str, list[str]]  # made by the first lookup: a request's fields are looked at many times

    @property
    def _by_name(self) -> dict[str, list[str]]:
        try:
            return self._found
        except AttributeError:
            found: dict[str, list[str]] = {}
            for key, value in self:
                found.setdefault(key.lower(), []).append(value)
            self._found = found
            return found

    def get(self, name: str, default: str = "") -> str:
        """The value of `name`, several lines joined by ", " (RFC 9110 section 5.3)."""
        values = self._by_name.get(name.lower())
        return ", ".join(values) if values else default

    def all(self, name: str) -> list[str]:
        """The value of each line called `name`."""
        return list(self._by_name.get(name.lower(), ()))

    def has(self, name: str) -> bool:
        return name.lower() in self._by_name

    def without(self, *names: str) -> Headers:
        dropped = {name.lower() for name in names}
        kept = [field for field in self if field[0].lower() not in dropped]
        return Headers(kept) if len(kept) < len(self) else self

    def plus(self, name: str, value: str) -> Headers:
        return Headers((*self, (name, value)))

    def having(self, name: str, value: str) -> Headers:
        """With `name` set to `value` and nothing else, in its old place or at the end."""
        wanted, fields = name.lower(), list[tuple[str, str]]()
        first = True
        for field in self:
            if field[0].lower() != wanted:
                fields.append(field)
            elif first:
                fields.append((field[0], value))
                first = False
        if first:
            fields.append((name, value))
        return Headers(fields)


NO_HEADERS = Headers()


def members(value: str) -> list[str]:
    """The members of a comma-separated field value, commas in quoted strings left alone
    (RFC 9110 section 5.6.1). Empty ones are dropped."""
    found: list[str] = []
    current, quoted, escaped = "", False, False
    for character in value:
        if character == "," and not quoted:
            found.append(current)
            current = ""
            continue
        current += character
        if escaped:
            escaped = False
        elif quoted and character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
    found.append(current)
    return [member.strip() for member in found if member.strip()]


@dataclass(frozen=True, slots=True)
class RequestHead:
    """`target` as it was on the request line: mostly the path and query. `version`: "1.1", "2", "3".

    Whatever the version, the authority is the field Host (first; :authority is turned into it and back,
    RFC 9113 section 8.3.1), and `headers` hold no pseudo-header fields. `protocol`: what the client wants
    instead of HTTP, in lower case ("websocket"); the method is then GET, also where an extended CONNECT
    (RFC 8441, RFC 9220) asked.
    """

    method: str
    target: str
    headers: Headers = NO_HEADERS
    stream: int = 0
    version: str = "1.1"
    scheme: str = "https"
    protocol: str = ""

    @property
    def authority(self) -> str:
        """The host and port that the request is for."""
        return self.headers.get("host")

    @property
    def path(self) -> str:
        """The target's path, without its query."""
        return self.target.partition("?")[0]

    def with_headers(self, headers: Headers) -> RequestHead:
        # Not by dataclasses.replace, which takes three times as long.
        return RequestHead(
            self.method, self.target, headers, self.stream, self.version, self.scheme, self.protocol
        )


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """A status below 200 is informational: the real response is still to come."""

    status: int
    headers: Headers = NO_HEADERS
    reason: str = ""
    stream: int = 0
    version: str = "1.1"

    @property
    def informational(self) -> bool:
        return self.status < 200

    def with_headers(self, headers: Headers) -> ResponseHead:
        return ResponseHead(self.status, headers, self.reason, self.stream, self.version)


@dataclass(frozen=True, slots=True)
class Data:
    """A part of a body, without chunk framing."""

    data: bytes
    stream: int = 0


@dataclass(frozen=True, slots=True)
class End:
    """The message is whole; `trailers` came after a chunked body."""

    trailers: Headers = NO_HEADERS
    stream: int = 0


@dataclass(frozen=True, slots=True)
class Reset:
    """One stream ended before its message did; the code is the version's own."""

    code: int
    stream: int = 0


@dataclass(frozen=True, slots=True)
class GoAway:
    """The peer takes no new requests here; `stream` is the last one that it answers."""

    code: int = 0
    stream: int = 0


@dataclass(frozen=True, slots=True)
class Promise:
    """The server will push the response to `head`, on the stream `head.stream`, for the one on `stream`
    (RFC 9113 section 8.4)."""

    head: RequestHead
    stream: int


HttpEvent = RequestHead | ResponseHead | Data | End | Reset | GoAway | Promise

# Fields that concern one connection, which a proxy does not forward (RFC 9110 section 7.6.1).
_HOP_BY_HOP = (
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
)


# Section 7.6.1: what is meant for all recipients is no connection option. Who names it there would have a
# request lose its host, its length, or the token that decides who may see the answer.
_FOR_ALL = frozenset(
    {
        "authorization",
        "cache-control",
        "cdn-loop",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "cookie",
        "host",
        "range",
        "vary",
        "via",
    }
)


def end_to_end(headers: Headers) -> Headers:
    """What a proxy forwards: without hop-by-hop fields and those that Connection may name, and does."""
    named = {member.lower() for member in members(headers.get("connection"))}
    return headers.without(*_HOP_BY_HOP, *named - _FOR_ALL)
