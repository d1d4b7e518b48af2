"""Requests for the web application firewall, written without a look at its rules, in two halves.

Rules may be tuned on the tuning half. The hold-out half only measures them: whoever looks at what is missed
or stopped there, and mends the rules by it, must write another.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Literal
from urllib.parse import quote_plus

from netlab.proto.http import Headers, RequestHead

Half = Literal["tuning", "hold-out"]
_BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Sample:
    """`kind` is the heading that the text stands under; `half`, by a hash of it and the text."""

    kind: str
    text: str
    half: Half
    head: RequestHead
    body: bytes


@cache
def benign(half: Half) -> tuple[Sample, ...]:
    return tuple(sample for sample in _read("waf_benign.txt") if sample.half == half)


@cache
def attacks(half: Half) -> tuple[Sample, ...]:
    return tuple(sample for sample in _read("waf_attacks.txt") if sample.half == half)


def _read(name: str) -> Iterator[Sample]:
    """A line is a text; `# kind place` says what those below are and where in a request they go."""
    kind = place = ""
    for line in (_HERE / name).read_text(encoding="utf-8").splitlines():
        if line.startswith("# ") and len(line.split()) == 3 and line.split()[2] in _PLACES:
            _, kind, place = line.split()
            continue
        digest = sha256(f"{kind} {line}".encode()).digest()
        half: Half = "hold-out" if digest[0] & 1 else "tuning"
        yield Sample(kind, line, half, *_placed(line, place, digest[1]))


_PLACES = ("any", "raw", "path", "json", "agent", "cookie", "referer")


def _placed(text: str, place: str, choice: int) -> tuple[RequestHead, bytes]:
    if place == "any":
        text = text.replace("\\r", "\r").replace("\\n", "\n")
        match choice % 3:
            case 0:
                return _request(f"/find?page=1&q={quote_plus(text)}"), b""
            case 1:
                form = f"lang=en&text={quote_plus(text)}".encode()
                return _request("/send", ("Content-Type", "application/x-www-form-urlencoded")), form
            case _:
                document = json.dumps({"id": 12, "text": text}).encode()
                return _request("/api/items", ("Content-Type", "application/json")), document
    match place:
        case "raw":
            return _request(f"/find?{text}"), b""
        case "path":
            return _request(text), b""
        case "json":
            return _request("/api/items", ("Content-Type", "application/json")), text.encode()
        case _:
            field = {"agent": "User-Agent", "cookie": "Cookie", "referer": "Referer"}[place]
            return _request("/", (field, text)), b""


def _request(target: str, *fields: tuple[str, str]) -> RequestHead:
    named = {name.lower() for name, _ in fields}
    usual = (("Host", "www.example.com"), ("User-Agent", _BROWSER), ("Accept", "*/*"))
    head = tuple(field for field in usual if field[0].lower() not in named)
    method = "POST" if "content-type" in named else "GET"
    return RequestHead(method, target, Headers((*head, *fields)))
