"""A web application firewall before a proxy's upstreams."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from netlab.model.roles.spec import Spec


class Waf(Spec):
    """Requests are scored by rules (docs/proxy.md); one whose score reaches `threshold` is refused with 403
    (`block`), or told of in an event and passed on (`report`). `body_bytes`: so much of a body that is a form
    or JSON is looked at; the rest is not. `without`: ids of rules, or their tags (`sqli`), that don't count.
    """

    mode: Literal["block", "report"] = "block"
    threshold: Annotated[int, Field(ge=1)] = 5
    body_bytes: Annotated[int, Field(ge=0, le=65_536)] = 8_192
    without: tuple[str, ...] = ()
