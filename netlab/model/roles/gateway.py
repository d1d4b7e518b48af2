"""What a proxy asks of requests before it passes them on."""

from __future__ import annotations

from typing import Annotated

from pydantic import Discriminator, Field, StrictBool, Tag

from netlab.model.roles.jwt import Jwt
from netlab.model.roles.spec import Spec
from netlab.model.units import DurationNs


def _form(value: object) -> str:
    return "mapping" if isinstance(value, dict | Jwt) else "switch"


JwtChoice = Annotated[
    Annotated[StrictBool, Tag("switch")] | Annotated[Jwt, Tag("mapping")], Discriminator(_form)
]


class RequestLimits(Spec):
    """Longer requests are refused: a head of more than `head_bytes`, or with more than `fields`, with 431; a
    body of more than `body_bytes` (0: no bound) with 413, or the end of its connection where an answer has
    begun. No head is longer than 16 KiB, whatever is said here."""

    head_bytes: Annotated[int, Field(ge=256, le=16_384)] = 16_384
    fields: Annotated[int, Field(ge=1, le=100)] = 100
    body_bytes: Annotated[int, Field(ge=0)] = 0


class ClientTimeouts(Spec):
    """How long a client is waited for: for a whole head from its first byte, for each next part of a body,
    between requests. Too slow: 408, or the end of the connection or stream."""

    head_ns: Annotated[DurationNs, Field(ge=1)] = Field(10_000_000_000, alias="head")
    body_ns: Annotated[DurationNs, Field(ge=1)] = Field(30_000_000_000, alias="body")
    idle_ns: Annotated[DurationNs, Field(ge=1)] = Field(60_000_000_000, alias="idle")
