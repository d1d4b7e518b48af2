"""W3C Trace Context: a request's identity across connections (https://www.w3.org/TR/trace-context/)."""

from __future__ import annotations

import random
import re

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


def new_traceparent(rng: random.Random) -> str:
    """Of a new trace, sampled (section 3.2)."""
    return f"00-{_hex(rng, 128)}-{_hex(rng, 64)}-01"


def child(traceparent: str, rng: random.Random) -> str:
    """Of a step within the trace: its id kept, a new parent id. A malformed one starts a new trace
    (section 4.3)."""
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None or not _valid(match):
        return new_traceparent(rng)
    return f"00-{match[2]}-{_hex(rng, 64)}-{match[4]}"


def _valid(match: re.Match[str]) -> bool:
    """Version ff is forbidden, ids of zeros are invalid, version 00 has no further parts."""
    version, trace, parent, _, more = match.groups()
    return version != "ff" and int(trace, 16) != 0 and int(parent, 16) != 0 and not (version == "00" and more)


def _hex(rng: random.Random, bits: int) -> str:
    return f"{rng.randrange(1, 1 << bits):0{bits // 4}x}"
