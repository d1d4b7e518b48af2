"""Units as tc writes them, to and from integers in ns, bit/s and bytes.

`20ms`, `10mbit`, `0.1%`, `64kb`. Decimal prefixes for rates (1 kbit = 1,000 bit), as in tc(8).
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

_NUMBER = re.compile(r"^\s*(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[a-zA-Z%]*)\s*$")
_DURATION_NS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000}
_RATE_BPS = {"bit": 1, "kbit": 1_000, "mbit": 1_000_000, "gbit": 1_000_000_000}
_LENGTH_M = {"m": 1, "km": 1_000}
_SIZE_BYTES = {"b": 1, "kb": 1_024, "mb": 1_024**2, "gb": 1_024**3}


def _scaled(text: object, units: dict[str, int], what: str, example: str) -> int:
    match = _NUMBER.match(text) if isinstance(text, str) else None
    if match is None or match["unit"].lower() not in units:
        shown = repr(text) if isinstance(text, str) else str(text)
        raise ValueError(f"{shown} is not a {what}; write a number and a unit, such as {example}")
    return round(Decimal(match["number"]) * units[match["unit"].lower()])


def duration_ns(text: object) -> int:
    """Nanoseconds of `20ms`, `1.5s`, `250us`. 0 needs no unit. ValueError names the right form."""
    return 0 if text in (0, "0") else _scaled(text, _DURATION_NS, "duration", "20ms")


def rate_bps(text: object) -> int:
    """Bits per second of `10mbit`, `1gbit`. ValueError names the right form."""
    return _scaled(text, _RATE_BPS, "rate", "10mbit")


def size_bytes(text: object) -> int:
    """Bytes of `64kb`, `1mb` (binary prefixes, as tc has for sizes); a bare number is bytes."""
    if isinstance(text, int) and not isinstance(text, bool) and text >= 0:
        return text
    return _scaled(text, _SIZE_BYTES, "size", "64kb")


def length_m(text: object) -> int:
    """Metres of `80km`, `100m`. ValueError names the right form."""
    return _scaled(text, _LENGTH_M, "length", "80km")


def probability(text: object) -> float:
    """0 to 1 of `0.1%`, or of a bare 0. ValueError where it is no percentage or past 100%."""
    match = _NUMBER.match(text) if isinstance(text, str) else None
    if text in (0, "0"):
        return 0.0
    if match is None or match["unit"] != "%":
        raise ValueError(f"{text!r} is not a percentage; write a number and %, such as 0.1%")
    percent = Decimal(match["number"])
    if percent > 100:
        raise ValueError(f"{text} is past 100%")
    return float(percent / 100)


def format_probability(share: float) -> str:
    """The shortest exact form: 0.1%, 5%, 0."""
    return f"{(Decimal(repr(share)) * 100).normalize():f}%" if share else "0"


def format_duration(ns: int) -> str:
    """The shortest exact form: 20ms, 1.5s, 250us, 0."""
    if ns == 0:
        return "0"
    for unit, scale in (("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)):
        if ns >= scale:
            return f"{(Decimal(ns) / scale).normalize():f}{unit}"
    return f"{ns}ns"


def format_length(metres: int) -> str:
    """The shortest exact form: 80km, 100m."""
    return f"{(Decimal(metres) / 1_000).normalize():f}km" if metres >= 1_000 else f"{metres}m"


def format_rate(bps: int) -> str:
    """The shortest exact form: 10mbit, 1.5gbit; 0 is `unlimited`."""
    for unit, scale in (("gbit", 1_000_000_000), ("mbit", 1_000_000), ("kbit", 1_000)):
        if bps >= scale:
            return f"{(Decimal(bps) / scale).normalize():f}{unit}"
    return f"{bps}bit" if bps else "unlimited"


# What YAML says as text and the model holds as a number; JSON says it as text again, so it can be read back.
DurationNs = Annotated[
    int,
    BeforeValidator(duration_ns),
    PlainSerializer(format_duration, when_used="json"),
    WithJsonSchema(
        {
            "type": ["string", "integer"],
            "pattern": r"^(\d+(\.\d+)?(ns|us|ms|s|m)|0)$",
            "maximum": 0,
            "examples": ["20ms", "1.5s"],
        }
    ),
]
RateBps = Annotated[
    int,
    BeforeValidator(rate_bps),
    PlainSerializer(format_rate, when_used="json"),
    Field(gt=0),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d+)?[kmg]?bit$", "examples": ["10mbit", "1gbit"]}),
]
LengthM = Annotated[
    int,
    BeforeValidator(length_m),
    PlainSerializer(format_length, when_used="json"),
    Field(gt=0),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d+)?k?m$", "examples": ["80km", "100m"]}),
]
Probability = Annotated[
    float,
    BeforeValidator(probability),
    PlainSerializer(format_probability, when_used="json"),
    WithJsonSchema(
        {
            "type": ["string", "integer"],
            "pattern": r"^(\d+(\.\d+)?%|0)$",
            "maximum": 0,
            "examples": ["0.1%", "5%"],
        }
    ),
]
