"""How much of something a peer may have."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from netlab.model.roles.spec import Spec
from netlab.model.units import DurationNs


class RateLimit(Spec):
    """At most `quota` requests per `window`, counted for each value of `by`; past that, 429.

    `token-bucket`: a bucket of `burst` tokens (0: `quota`) that fills steadily; a request takes one.
    `sliding-window`: requests of the window that ends now, that of the window before it weighted by how much
    of it is within. `by`: `client` (its address), `all` (together), or `header:NAME` (a request without it
    counts for its client). `keys`: how many values are remembered; the one not seen for longest is forgotten.
    """

    name: Annotated[str, Field(pattern=r"^[\x20-\x21\x23-\x5b\x5d-\x7e]+$")] = "default"
    algorithm: Literal["token-bucket", "sliding-window"] = "token-bucket"
    quota: Annotated[int, Field(ge=1)]
    window_ns: Annotated[DurationNs, Field(ge=1)] = Field(1_000_000_000, alias="window")
    burst: Annotated[int, Field(ge=0)] = 0
    by: Annotated[str, Field(pattern=r"^(client|all|header:[A-Za-z0-9-]+)$")] = "client"
    keys: Annotated[int, Field(ge=1)] = 10_000

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if self.burst and self.algorithm != "token-bucket":
            raise ValueError("`burst` goes with `algorithm: token-bucket`")
        return self
