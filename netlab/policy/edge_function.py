"""What a user's edge function gets, and may do with it.

A request function takes a request, may change its `target` and `headers`, and returns None, or what
`request.answer(…)` gives, which is the response then. A response function takes the request and the response
and may change the response's `status` and `headers`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from netlab.proto.http import Headers, RequestHead, ResponseHead

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_TARGET = re.compile(r"/[\x21-\x7e]*")
# What frames the message, or says whom it is for, is not a function's.
_FIXED = ("host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "cdn-loop")


class Fields:
    """Header fields that can be changed; names in any case, of several lines the values joined."""

    def __init__(self, headers: Headers) -> None:
        self._headers = headers

    def get(self, name: str, default: str = "") -> str:
        return self._headers.get(name, default)

    def __getitem__(self, name: str) -> str:
        """Raises KeyError where there is no such field."""
        if name not in self:
            raise KeyError(name)
        return self._headers.get(name)

    def __contains__(self, name: str) -> bool:
        return self._headers.has(name)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._headers)

    def __setitem__(self, name: str, value: str) -> None:
        """In place of all lines of this name. Raises ValueError."""
        self._headers = self._headers.without(name)
        self.add(name, value)

    def __delitem__(self, name: str) -> None:
        self._headers = self._headers.without(name)

    def add(self, name: str, value: str) -> None:
        """One more line. Raises ValueError where it can't be one."""
        if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(str(value)):
            raise ValueError(f"{name!r}: {value!r} is no header field")
        self._headers = self._headers.plus(name, str(value))

    def headers(self, original: Headers) -> Headers:
        """As they are now; those that are fixed as they were."""
        fixed = [one for one in original if one[0].lower() in _FIXED]
        return Headers((*fixed, *self._headers.without(*_FIXED)))


@dataclass(frozen=True, slots=True)
class EdgeAnswer:
    """The function's own response."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | bytes = b""


@dataclass(slots=True)
class EdgeRequest:
    """`client`: the address that asks."""

    method: str
    target: str
    headers: Fields
    client: str

    @classmethod
    def of(cls, head: RequestHead, client: str) -> EdgeRequest:
        return cls(head.method, head.target, Fields(head.headers), client)

    def cookie(self, name: str) -> str:
        """Its value; empty where there is none."""
        for pair in self.headers.get("cookie").split(";"):
            key, _, value = pair.strip().partition("=")
            if key == name:
                return value
        return ""

    @staticmethod
    def answer(status: int, headers: Mapping[str, str] | None = None, body: str | bytes = b"") -> EdgeAnswer:
        """To be returned, so that nobody is asked."""
        return EdgeAnswer(status, headers or {}, body)


@dataclass(slots=True)
class EdgeResponse:
    status: int
    headers: Fields


def changed_request(head: RequestHead, request: EdgeRequest) -> RequestHead:
    """Raises ValueError where the function has made a target that is none."""
    if not isinstance(request.target, str) or not _TARGET.fullmatch(request.target):
        raise ValueError(f"{request.target!r} is no target")
    changed = head.with_headers(request.headers.headers(head.headers))
    if request.target == head.target:
        return changed
    return RequestHead(
        head.method, request.target, changed.headers, head.stream, head.version, head.scheme, head.protocol
    )


def changed_response(head: ResponseHead, response: EdgeResponse) -> ResponseHead:
    """Raises ValueError. The status may only become another of a final response with a body, or stay."""
    headers = response.headers.headers(head.headers)
    if response.status == head.status:
        return head.with_headers(headers)
    bodiless = {204, 205, 206, 304}
    if response.status not in range(200, 600) or {response.status, head.status} & bodiless:
        raise ValueError(f"status {head.status} can't become {response.status!r}")
    return ResponseHead(response.status, headers, "", head.stream, head.version)


def own_response(answer: EdgeAnswer) -> tuple[ResponseHead, bytes]:
    """Raises ValueError."""
    if not isinstance(answer.status, int) or answer.status not in range(200, 600):
        raise ValueError(f"{answer.status!r} is no status of a response")
    fields = Fields(Headers())
    for name, value in answer.headers.items():
        fields.add(name, value)
    if "cache-control" not in fields:
        fields.add("Cache-Control", "no-store")
    body = answer.body.encode() if isinstance(answer.body, str) else bytes(answer.body)
    return ResponseHead(answer.status, fields.headers(Headers())), body
