"""Cache-Control and HTTP dates, read as RFC 9111 wants them read."""

from __future__ import annotations

import calendar
import re
from datetime import UTC, datetime

from netlab.policy.targeted import FIELD, targeted
from netlab.proto.http import Headers, members

_LONGEST_S = 2**31  # section 1.2.2: what to take for a number too great
_DIGITS = len(str(_LONGEST_S))
_WITH_FIELDS = frozenset({"no-cache", "private"})  # may name the fields that they are about
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAY = "(?:mon|tue|wed|thu|fri|sat|sun)"
_LONG_DAY = "(?:monday|tuesday|wednesday|thursday|friday|saturday|sunday)"
_TIME = r"(?P<time>\d\d:\d\d:\d\d)"
_MONTH = f"(?P<month>{'|'.join(_MONTHS)})"
_DATES = tuple(
    re.compile(form, re.ASCII)
    for form in (
        rf"{_DAY}, (?P<day>\d\d) {_MONTH} (?P<year>\d{{4}}) {_TIME} gmt",
        rf"{_LONG_DAY}, (?P<day>\d\d)-{_MONTH}-(?P<year>\d\d) {_TIME} gmt",
        rf"{_DAY} {_MONTH} (?P<day>[ \d]\d) {_TIME} (?P<year>\d{{4}})",
    )
)


def directives(headers: Headers) -> dict[str, str]:
    """Names in lower case, values without quotes. Of a name given twice the first counts (section 4.2.1),
    but of no-cache and private the widest. Space around "=" is no part of the grammar: such a value is
    kept with it, and so is no number."""
    found: dict[str, str] = {}
    for member in members(headers.get("cache-control")):
        name, equals, value = member.partition("=")
        lowered = name.strip().lower()
        told = value.removeprefix('"').removesuffix('"') if name == name.strip() else f" {value}"
        if lowered in _WITH_FIELDS and lowered in found:
            found[lowered] = ",".join((found[lowered], told)) if found[lowered] and told else ""
        else:
            found.setdefault(lowered, told if equals else "")
    return found


def response_directives(headers: Headers) -> dict[str, str]:
    """What a response tells a CDN's cache: CDN-Cache-Control if it is there (RFC 9213), else
    Cache-Control."""
    if headers.has(FIELD):
        told = targeted(headers.get(FIELD))
        if told is not None:
            return told
    return directives(headers)


def is_targeted(headers: Headers) -> bool:
    """Whether CDN-Cache-Control is what counts, so that Expires does not."""
    return headers.has(FIELD) and targeted(headers.get(FIELD)) is not None


def request_directives(headers: Headers) -> dict[str, str]:
    """As `directives`; `Pragma: no-cache` counts where there is no Cache-Control (section 5.4)."""
    if headers.has("cache-control"):
        return directives(headers)
    if not headers.has("pragma"):
        return {}
    named = [one.lower() for one in members(headers.get("pragma"))]
    return {"no-cache": ""} if "no-cache" in named else {}


def field_names(value: str) -> tuple[str, ...]:
    """The fields that a no-cache or private directive is about, in lower case."""
    return tuple(name.strip().lower() for name in value.split(",") if name.strip())


def seconds(text: str) -> int:
    """A delta in seconds. What is no number is 0, so that a broken response is stale (section 4.2.1)."""
    if not (text.isascii() and text.isdigit()):
        return 0
    digits = text.lstrip("0") or "0"
    return min(int(digits), _LONGEST_S) if len(digits) <= _DIGITS else _LONGEST_S


def http_date(text: str, now: float | None = None) -> float | None:
    """Seconds of the epoch of an HTTP date in one of its three forms (RFC 9110 section 5.6.7), its case
    ignored and no zone but GMT taken (RFC 9111 section 4.2); None where it is none.

    `now`, seconds of the epoch, settles the century of a year of two digits.
    """
    for form in _DATES:
        found = form.fullmatch(text.lower())
        if found is not None:
            return _epoch(found, now)
    return None


def _epoch(found: re.Match[str], now: float | None) -> float | None:
    year = int(found["year"])
    if len(found["year"]) == 2:
        year = _full_year(year, now)
    hour, minute, second = (int(part) for part in found["time"].split(":"))
    month = _MONTHS.index(found["month"]) + 1
    day = int(found["day"])
    leap = second == 60  # grammar allows a leap second
    try:
        datetime(year, month, day, hour, minute, 59 if leap else second, tzinfo=UTC)
    except ValueError:
        return None
    return float(calendar.timegm((year, month, day, hour, minute, second)))


def _full_year(year: int, now: float | None) -> int:
    """More than 50 years ahead means the past (RFC 9110 section 5.6.7)."""
    if now is None:
        return year + (1900 if year >= 70 else 2000)
    today = datetime.fromtimestamp(now, UTC).year
    full = today - today % 100 + year
    return full - 100 if full > today + 50 else full
