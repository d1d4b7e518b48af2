"""What all role specs are made of."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Spec(BaseModel):
    """Unknown keys are errors, and what was read does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)


Port = Annotated[int, Field(ge=1, le=65535)]
# "node:port" or "address:port" ("[v6]:port"); the plan resolves node names to addresses.
Upstream = Annotated[str, Field(pattern=r"^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$", examples=["app-1:8080"])]


def _as_written(value: object) -> object:
    """YAML reads `1.1` and `2` as numbers; as versions they are names."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


HttpVersion = Annotated[Literal["1.1", "2", "3"], BeforeValidator(_as_written)]
TlsVersion = Annotated[Literal["1.2", "1.3"], BeforeValidator(_as_written)]
