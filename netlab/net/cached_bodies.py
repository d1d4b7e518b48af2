"""A resource whose caching its URL chooses: GET /cached/NAME.

`size` in bytes; `max_age`, `s_maxage`, `swr` (stale-while-revalidate) and `sie` (stale-if-error) in seconds;
`etag=1`: it has a validator, and If-None-Match is answered; `vary=FIELD`: the content is another for each
value of this request field; `tag=NAME`: a Cache-Tag; `type=text`: text, which compresses; `version=N`:
another content. Without a lifetime it is not to be stored.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

from netlab.net.answers import refuse
from netlab.net.exchange import Exchange
from netlab.policy.conditional import client_has
from netlab.proto.http import Headers, RequestHead, ResponseHead

_PATH = re.compile(r"/cached/[A-Za-z0-9._-]{1,64}")
_WORD = re.compile(r"[A-Za-z0-9-]{1,64}")
_MAX_SIZE = 1 << 20
_LONGEST_S = 31_536_000
_LIFETIMES = {
    "max_age": "max-age",
    "s_maxage": "s-maxage",
    "swr": "stale-while-revalidate",
    "sie": "stale-if-error",
}


async def answer_cached(exchange: Exchange) -> bool:
    """Answers what is asked below /cached/; False at any other path."""
    request = exchange.request
    if not _PATH.fullmatch(request.path):
        return False
    if request.method not in {"GET", "HEAD"}:
        await refuse(exchange, 405, "only GET and HEAD", ("Allow", "GET, HEAD"))
        return True
    try:
        head, body = _response(request)
    except ValueError as error:
        await refuse(exchange, 400, str(error))
        return True
    if head.headers.has("etag") and client_has(request.headers, head.headers):
        await exchange.respond(ResponseHead(304, head.headers.without("content-type")))
    else:
        await exchange.respond(head, body)
    return True


def _response(request: RequestHead) -> tuple[ResponseHead, bytes]:
    """Raises ValueError, which says what a parameter must be."""
    query = dict(parse_qsl(request.target.partition("?")[2], keep_blank_values=True, max_num_fields=16))
    text = query.get("type") == "text"
    vary = _word(query, "vary")
    seed = "\n".join((request.path, query.get("version", ""), request.headers.get(vary) if vary else ""))
    body = _content(seed, _number(query, "size", 1024, _MAX_SIZE), text=text)
    fields = [
        ("Content-Type", "text/plain; charset=utf-8" if text else "application/octet-stream"),
        ("Cache-Control", _cache_control(query)),
    ]
    if vary:
        fields.append(("Vary", vary))
    if tag := _word(query, "tag"):
        fields.append(("Cache-Tag", tag))
    if query.get("etag") == "1":
        fields.append(("ETag", f'"{hashlib.sha256(body).hexdigest()[:16]}"'))
    return ResponseHead(200, Headers(fields)), body


def _cache_control(query: Mapping[str, str]) -> str:
    told = [
        f"{directive}={_number(query, name, 0, _LONGEST_S)}"
        for name, directive in _LIFETIMES.items()
        if name in query
    ]
    return ", ".join(("public", *told)) if told else "no-store"


def _content(seed: str, size: int, *, text: bool) -> bytes:
    if not text:
        return hashlib.shake_256(seed.encode()).digest(size)
    line = f"{hashlib.sha256(seed.encode()).hexdigest()}, and again:\n".encode()
    return (line * (size // len(line) + 1))[:size]


def _number(query: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdigit()) or len(text) > 12 or int(text) > most:
        raise ValueError(f"{name} is a number up to {most}")
    return int(text)


def _word(query: Mapping[str, str], name: str) -> str:
    text = query.get(name, "")
    if text and not _WORD.fullmatch(text):
        raise ValueError(f"{name} is a word of letters, digits and -")
    return text
