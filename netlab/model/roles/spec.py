"""What all role specs are made of."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field


class Spec(BaseModel):
    """Unknown keys are errors, and what was read does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)


Port = Annotated[int, Field(ge=1, le=65535)]
# "node:port" or "address:port" ("[v6]:port"); the plan resolves node names to addresses.
Upstream = Annotated[str, Field(pattern=r"^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$", examples=["app-1:8080"])]


_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*")
_LONGEST_NAME = 253  # RFC 1035 section 2.3.4, as text


def _host_name(text: str) -> str:
    try:
        ip_address(text)
    except ValueError:
        if len(text) > _LONGEST_NAME or not _HOST_NAME.fullmatch(text):
            raise ValueError(
                f"`{text}` is no name that a certificate can have; write for example www.example.com, "
                "*.example.com, or the xn-- form of a name in other letters"
            ) from None
    return text


# A name (RFC 1123, and underscores), a wildcard of one label, or an address.
HostName = Annotated[str, AfterValidator(_host_name)]


def _as_written(value: object) -> object:
    """YAML reads `1.1` and `2` as numbers; as versions they are names."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


HttpVersion = Annotated[Literal["1.1", "2", "3"], BeforeValidator(_as_written)]
TlsVersion = Annotated[Literal["1.2", "1.3"], BeforeValidator(_as_written)]
