"""Until when an answer is of use: what a caller has left, said to the next hop in Request-Timeout.

The field is of netlab, as HTTP has none: a whole number of milliseconds, counted from the request's arrival,
as gRPC's grpc-timeout has. A duration and no time of day, because clocks of two machines differ. Each hop
takes off what it needed, and answers 504 to what comes too late; what the network takes on the way is not
seen, so that a callee may think it has that much longer than its caller.
"""

from __future__ import annotations

from netlab.proto.http import Headers

FIELD = "Request-Timeout"
_DIGITS = 9  # 11 days


def left_s(headers: Headers) -> float | None:
    """Seconds that the caller gives; None where it says nothing, or what is no such number."""
    text = headers.get(FIELD).strip()
    if not (text.isascii() and text.isdigit()) or len(text) > _DIGITS:
        return None
    return int(text) / 1000


def until(headers: Headers, now: float, own_s: float = 0.0) -> float | None:
    """When the answer must be there: the earlier of the caller's word, and `own_s` from now (0: none)."""
    left = left_s(headers)
    return earlier(now + left if left is not None else None, now + own_s if own_s else None)


def earlier(*times: float | None) -> float | None:
    """Of those that are known."""
    return min((at for at in times if at is not None), default=None)


def saying(headers: Headers, left: float) -> Headers:
    """With the seconds that are left, which are more than 0 as whole milliseconds at least."""
    return headers.having(FIELD, str(max(1, int(left * 1000))))
