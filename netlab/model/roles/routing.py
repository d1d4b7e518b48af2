"""Which requests a proxy's route takes, and what it does to their header fields."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import Field, StrictBool, model_validator

from netlab.model.roles.spec import Spec

FieldName = Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")]
FieldValue = Annotated[str, Field(pattern=r"^[\x20-\x7e]*$")]
HostPattern = Annotated[str, Field(pattern=r"^(\*\.)?[A-Za-z0-9_.:\[\]-]+$")]

VARIABLES = ("client", "host", "method", "path", "request_id", "scheme", "subject")
VARIABLE = re.compile(r"\{([a-z_]+)\}")
# They frame a message or concern one connection: no rule may touch them.
_FRAMING = frozenset(
    ("connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade")
)


class HeaderRules(Spec):
    """What happens to header fields: those of `remove` go, of `set` replace, of `add` come beside.

    Values may hold `{client}` (its address), `{host}`, `{method}`, `{path}`, `{request_id}`, `{scheme}` and
    `{subject}` (of a verified token).
    """

    remove: tuple[FieldName, ...] = ()
    set: dict[FieldName, FieldValue] = Field({})
    add: dict[FieldName, FieldValue] = Field({})

    @model_validator(mode="after")
    def _sound(self) -> Self:
        for name in (*self.remove, *self.set, *self.add):
            if name.lower() in _FRAMING:
                raise ValueError(f"`{name}` frames the message or concerns one connection; leave it out")
        for value in (*self.set.values(), *self.add.values()):
            for name in VARIABLE.findall(value):
                if name not in VARIABLES:
                    known = ", ".join(f"{{{one}}}" for one in VARIABLES)
                    raise ValueError(f"there is no variable `{{{name}}}`; there are {known}")
        return self


class Matched(Spec):
    """`hosts`: names, also `*.example.com`; empty: all. `path`: what the path starts with, or is (`exact`).
    `methods`: empty: all. `headers`: fields that must have these values; an empty value: any.
    `weight`: the route's share of clients among routes that match the same; 0: none."""

    hosts: tuple[HostPattern, ...] = ()
    path: Annotated[str, Field(pattern="^/")] = "/"
    exact: StrictBool = False
    methods: tuple[Annotated[str, Field(pattern="^[A-Z]+$")], ...] = ()
    headers: dict[FieldName, str] = Field({})
    weight: Annotated[int, Field(ge=0)] = 1
