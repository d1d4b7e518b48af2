"""What a request says, in the forms that the rules of a web application firewall look at."""

from __future__ import annotations

import html
import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import unquote

from netlab.proto.http import RequestHead

_ESCAPED = re.compile(r"%[0-9a-fA-F]{2}")
_WIDE = re.compile(r"%u([0-9a-fA-F]{4})")
_ENTITY = re.compile(r"&(?:#|[a-zA-Z]{2,8};)")
_COMMENT = re.compile(r"/\*!?(?:\d{5})?|\*/")
_INLINE = re.compile(r"/\*[^*]{0,200}\*/")
# With U+FFFD, for a byte that is not UTF-8: %a0 is a space to a database that reads Latin-1.
_SPACE = re.compile(r"[\s\x00\xa0\ufffd]+")
# Servers that keep only a letter's last byte make line ends of these.
_CUT = {0x560A: "\n", 0x560D: "\r"}
_DECODINGS = 3  # how often something may have been encoded
_MAX_VALUES = 512  # of a body
# What no application reads as text, or what is looked at elsewhere.
_UNREAD = frozenset(
    ("authorization", "cookie", "host", "accept", "accept-encoding", "accept-language", "traceparent")
)
_FORM, _JSON = "application/x-www-form-urlencoded", "application/json"


@dataclass(frozen=True)
class Text:
    """One value of a request, as it came."""

    came: str
    form: bool = False  # a plus sign is a space

    @cached_property
    def raw(self) -> str:
        return self.came.lower()

    @cached_property
    def plain(self) -> str:
        """Decoded as often as it was encoded; full-width letters are letters."""
        text = self.came.replace("+", " ") if self.form else self.came
        for _ in range(_DECODINGS):
            text, before = _decoded(text), text
            if text == before:
                break
        if not text.isascii():
            text = unicodedata.normalize("NFKC", text).translate(_CUT)
        return text.lower()

    @cached_property
    def flat(self) -> str:
        """As SQL and HTML read it: a comment, or any space, is one space."""
        text = self.plain
        if "/*" in text:
            text = _COMMENT.sub(" ", _INLINE.sub(_inside, text))
        return _SPACE.sub(" ", text).strip()


def _inside(comment: re.Match[str]) -> str:
    """What MySQL does with a comment: /*!…*/ is code, any other is nothing to be read."""
    text = comment[0]
    return text if text.startswith("/*!") else " "


def _decoded(text: str) -> str:
    if "%" in text:
        text = _WIDE.sub(lambda found: chr(int(found[1], 16)), text)
        text = unquote(text, errors="replace") if _ESCAPED.search(text) else text
    return html.unescape(text) if _ENTITY.search(text) else text


def parts(head: RequestHead) -> dict[str, list[Text]]:
    """What a request says without its body, by the names of the rules' `where`."""
    path, _, query = head.target.partition("?")
    headers = [Text(value) for name, value in head.headers if name.lower() not in _UNREAD]
    pieces = head.headers.get("cookie").split(";")
    return {
        "method": [Text(head.method)],
        "target": [Text(head.target)],
        "path": [Text(path)],
        "query": [*_pairs(query)],
        "cookies": [Text(piece.partition("=")[2].strip()) for piece in pieces if piece.strip()],
        "headers": headers,
    }


def is_read(content_type: str) -> bool:
    """Whether a body of this type is looked at."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind in (_FORM, _JSON) or kind.endswith("+json")


def body_parts(content_type: str, body: bytes) -> list[Text]:
    """What a body says; one that is cut, or not what it says it is, is one text."""
    text = body.decode("utf-8", "replace")
    if content_type.lower().startswith(_FORM):
        return [*_pairs(text)]
    try:
        document = json.loads(text, object_pairs_hook=_members)
    except (ValueError, RecursionError):
        return [Text(text)]
    return [Text(one) for one in _strings(document)]


def _pairs(text: str) -> Iterator[Text]:
    """Names and values of a form or a query."""
    pairs = text.split("&", _MAX_VALUES) if text else []
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if name:
            yield Text(name, form=True)
        if equals and value:
            yield Text(value, form=True)


def _members(pairs: list[tuple[str, object]]) -> list[object]:
    """All of an object, also where a name comes twice: which of them counts is the reader's affair."""
    return [one for pair in pairs for one in pair]


def _strings(document: object) -> list[str]:
    """Names and texts of a JSON document, without recursion; what is beyond a number is one text, as in a
    form. Objects are lists here."""
    found: list[str] = []
    left = [document]
    while left:
        one = left.pop()
        if isinstance(one, str):
            found.append(one)
        elif isinstance(one, list):
            left.extend(reversed(one))
    rest = found[_MAX_VALUES:]
    return [*found[:_MAX_VALUES], "\n".join(rest)] if rest else found
