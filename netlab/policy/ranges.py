"""Byte ranges (RFC 9110 section 14): which parts a request asks for, and how they are answered."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from netlab.proto.http import Headers

_MOST_RANGES = 16  # section 17.15: many small or overlapping ranges are an attack
_SPEC = re.compile(r"(\d*)-(\d*)", re.ASCII)
_CONTENT = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", re.ASCII | re.IGNORECASE)
_DIGITS = 18  # more than any body has


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes `first` to `last`, which is in it."""

    first: int
    last: int

    @property
    def size(self) -> int:
        return self.last - self.first + 1

    def header(self, total: int) -> str:
        """As in Content-Range."""
        return f"bytes {self.first}-{self.last}/{total}"


def requested(headers: Headers, total: int) -> list[Span] | None:
    """What Range asks of `total` bytes, in its order, those that overlap or touch joined. None: everything,
    as there is no Range, or none that is well-formed, or one that costs more than the whole would. Empty:
    none of it is there (416)."""
    unit, equals, rest = headers.get("range").partition("=")
    if not equals or unit.strip().lower() != "bytes":
        return None
    spans: list[Span] = []
    specs = [one.strip() for one in rest.split(",") if one.strip()]
    if not specs:
        return None
    for spec in specs:
        found = _SPEC.fullmatch(spec)
        if found is None or not _valid(found[1], found[2]):
            return None
        span = _span(found[1], found[2], total)
        if span is not None:
            spans.append(span)
    joined = _joined(spans)
    if len(joined) > _MOST_RANGES or sum(span.size for span in spans) > 2 * max(total, 1):
        return None
    return joined


def _valid(first: str, last: str) -> bool:
    if not first:
        return last != ""
    return not last or _number(first) <= _number(last)


def _number(text: str) -> int:
    digits = text.lstrip("0") or "0"
    return int(digits) if len(digits) <= _DIGITS else 10**_DIGITS


def _span(first: str, last: str, total: int) -> Span | None:
    """None where it can't be satisfied (section 14.1.2)."""
    if not first:
        size = min(_number(last), total)
        return Span(total - size, total - 1) if size else None
    begin = _number(first)
    end = min(_number(last), total - 1) if last else total - 1
    return Span(begin, end) if begin < total else None


def _joined(spans: list[Span]) -> list[Span]:
    """In the order asked for if all are apart, else in the order of the bytes."""
    ordered: list[Span] = []
    for span in sorted(spans, key=lambda one: one.first):
        if ordered and span.first <= ordered[-1].last + 1:
            ordered[-1] = Span(ordered[-1].first, max(span.last, ordered[-1].last))
        else:
            ordered.append(span)
    return spans if len(ordered) == len(spans) else ordered


def content_range(headers: Headers) -> tuple[Span, int] | None:
    """What a 206 brings and of how many bytes; None where it does not say so in one part."""
    found = _CONTENT.fullmatch(headers.get("content-range"))
    if found is None:
        return None
    first, last, total = (int(one) for one in found.groups())
    return (Span(first, last), total) if first <= last < total else None


def _boundary(parts: list[bytes]) -> str:
    """Not in any of the parts (RFC 2046 section 5.1.1). It comes from the parts themselves, so that who
    made them can't have put it, and all those that would be tried next, into them."""
    digest = hashlib.sha256(b"".join(parts))
    while (marker := b"--netlab-" + digest.hexdigest()[:32].encode()) and any(marker in one for one in parts):
        digest.update(b"again")
    return marker[2:].decode()


def multipart(
    spans: list[Span], body: bytes, offset: int, total: int, content_type: str
) -> tuple[str, bytes]:
    """Several parts as multipart/byteranges (section 14.6): its Content-Type, and the body. `body` begins
    at byte `offset` of the whole."""
    cut = [body[span.first - offset : span.last - offset + 1] for span in spans]
    boundary = _boundary(cut)
    lines: list[bytes] = []
    for span, part in zip(spans, cut, strict=True):
        kind = f"Content-Type: {content_type}\r\n" if content_type else ""
        head = f"--{boundary}\r\n{kind}Content-Range: {span.header(total)}\r\n\r\n"
        lines += [head.encode("latin-1"), part, b"\r\n"]
    lines.append(f"--{boundary}--\r\n".encode())
    return f"multipart/byteranges; boundary={boundary}", b"".join(lines)
