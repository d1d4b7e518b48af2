"""Requests as their clients saw them, as HAR 1.2.

Sources: the HTTP Archive format 1.2 (W3C Web Performance Working Group's draft); RFC 6265, section 5.2
(cookies).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from netlab.proto.http import Headers, ResponseHead
from netlab.trace.client_requests import ClientRequest, Interval

_HEAD_END = b"\r\n\r\n"


def har(requests: Sequence[ClientRequest]) -> dict[str, Any]:
    """Times in ms. Of an entry, `comment` is the client's name for it, `_frame` its first packet in
    trace.pcapng, `_node` who asked. A page a phase of the scenario."""
    pages = {one.phase: one for one in reversed(requests) if one.phase}
    return {
        "log": {
            "version": "1.2",
            "creator": {"name": "netlab", "version": "1"},
            "pages": [_page(name, one) for name, one in reversed(pages.items())],
            "entries": [_entry(one) for one in requests],
        }
    }


def _page(name: str, first: ClientRequest) -> dict[str, Any]:
    return {"startedDateTime": _date(first.start_ns), "id": name, "title": name, "pageTimings": {}}


def _date(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat(timespec="milliseconds")


def _entry(one: ClientRequest) -> dict[str, Any]:
    found = {
        "startedDateTime": _date(one.start_ns),
        "time": (one.end_ns - one.start_ns) / 1e6,
        "request": _request(one),
        "response": _response(one),
        "cache": {},
        "timings": timings(one),
        "serverIPAddress": one.connection.server.address,
        "connection": str(one.connection.client.port),
        "comment": one.name,
        "_node": one.node,
        "_frame": one.span.asked.frame,
    }
    return {"pageref": one.phase, **found} if one.phase else found


def _request(one: ClientRequest) -> dict[str, Any]:
    head, span = one.request, one.span
    sent = {
        "method": head.method,
        "url": one.url,
        "httpVersion": f"HTTP/{span.version}",
        "cookies": [_pair(cookie) for cookie in head.headers.get("cookie").split(";") if cookie.strip()],
        "headers": _fields(head.headers),
        "queryString": [
            {"name": name, "value": value}
            for name, value in parse_qsl(urlsplit(one.url).query, keep_blank_values=True)
        ],
        "headersSize": _head_size(one, 0),
        "bodySize": span.request_body,
    }
    if span.request_body:
        kind = head.headers.get("content-type")
        sent["postData"] = {"mimeType": kind, "params": [], "text": "", "comment": "see the capture"}
    return sent


def _response(one: ClientRequest) -> dict[str, Any]:
    """Of a request without an answer: status 0, and nothing in it."""
    head = one.response or ResponseHead(0, version=one.span.version)
    size = one.span.response_body
    made = {
        "status": head.status,
        "statusText": head.reason,
        "httpVersion": f"HTTP/{one.span.version}",
        "cookies": [_set_cookie(value) for value in head.headers.all("set-cookie")],
        "headers": _fields(head.headers),
        "content": {"size": size, "mimeType": head.headers.get("content-type")},
        "redirectURL": head.headers.get("location") if 300 <= head.status < 400 else "",
        "headersSize": _head_size(one, 1) if one.response is not None else -1,
        "bodySize": size if one.response is not None else -1,
    }
    if one.span.done is None:
        made["comment"] = "the capture has no end of it"
    return made


def _fields(headers: Headers) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in headers]


def _head_size(one: ClientRequest, side: int) -> int:
    """Up to the body, of HTTP/1.1; -1, as HAR says "unknown", of the later versions, which compress heads.
    `side`: 0 the client, 1 the server."""
    if one.span.version not in ("1.0", "1.1"):
        return -1
    exchange, data = one.span.exchange, one.connection.plain[side]
    extents = exchange.response_extents if side else exchange.request_extents
    start = extents[0].start
    end = data.find(_HEAD_END, start)
    while side and data[start:].startswith(b"HTTP/1.1 1") and not data[start:].startswith(b"HTTP/1.1 101"):
        start = end + len(_HEAD_END)  # an informational response
        end = data.find(_HEAD_END, start)
    return end + len(_HEAD_END) - start


# ----------------------------------------------------------------------------------------- cookies


def _pair(text: str) -> dict[str, str]:
    name, _, value = text.strip().partition("=")
    return {"name": name, "value": value}


def _set_cookie(text: str) -> dict[str, Any]:
    first, *attributes = text.split(";")
    made: dict[str, Any] = _pair(first) | {"httpOnly": False, "secure": False}
    for name, value in (_pair(one).values() for one in attributes):
        match name.lower():
            case "path" | "domain":
                made[name.lower()] = value
            case "httponly":
                made["httpOnly"] = True
            case "secure":
                made["secure"] = True
            case "samesite":
                made["sameSite"] = value
            case "expires":
                made |= _expires(value)
    return made


def _expires(value: str) -> Mapping[str, str]:
    try:
        return {"expires": parsedate_to_datetime(value).isoformat(timespec="milliseconds")}
    except ValueError:
        return {}  # no date: the cookie lives as long as the session (RFC 6265, section 5.2.1)


# ----------------------------------------------------------------------------------------- timings


def timings(one: ClientRequest) -> dict[str, float]:
    """ms, -1 for what wasn't done. `connect` has `ssl` in it; all but `ssl` add up to the whole."""
    took = {name: _ms(found) for name, found in one.exchange}
    dns, connect = (max(_ms(found), 0.0) for found in (one.lookup, one.connect))
    sent = sum(took.values())
    return {
        "blocked": max((one.end_ns - one.start_ns) / 1e6 - dns - connect - sent, 0.0),
        "dns": _ms(one.lookup),
        "connect": _ms(one.connect),
        "ssl": _ms(one.tls),
        "send": took.get("sending", 0.0),
        "wait": took.get("waiting", 0.0),
        "receive": took.get("receiving", 0.0),
    }


def _ms(found: Interval | None) -> float:
    return -1.0 if found is None else (found.end_ns - found.start_ns) / 1e6
