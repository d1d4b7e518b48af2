"""Cache-Control and HTTP dates, read as RFC 9111 wants them read."""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime

from netlab.proto.http import Headers, members

_LONGEST_S = 2**31  # section 1.2.2: what to take for a number too great


def directives(headers: Headers) -> dict[str, str]:
    """Names in lower case, values without quotes. Of a name given twice the first counts (section 4.2.1)."""
    found: dict[str, str] = {}
    for member in members(headers.get("cache-control")):
        name, _, value = member.partition("=")
        found.setdefault(name.strip().lower(), value.strip().strip('"'))
    return found


def request_directives(headers: Headers) -> dict[str, str]:
    """As `directives`; `Pragma: no-cache` counts where there is no Cache-Control (section 5.4)."""
    if headers.has("cache-control"):
        return directives(headers)
    return {"no-cache": ""} if "no-cache" in headers.get("pragma").lower() else {}


def seconds(text: str) -> int:
    """A delta in seconds. What is no number is 0, so that a broken response is stale (section 4.2.1)."""
    return min(int(text), _LONGEST_S) if text.isascii() and text.isdigit() else 0


def http_date(text: str) -> float | None:
    """Seconds of the epoch of an HTTP date (RFC 9110 section 5.6.7); None where it is none."""
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
