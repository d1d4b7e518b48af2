"""A web application firewall before a proxy's upstreams."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from netlab.model.roles.spec import Spec

Part = Literal["method", "target", "path", "query", "cookies", "headers", "body"]


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression of Python: {error}") from error
    return text


class WafRule(Spec):
    """A rule: `pattern`, a regular expression of Python, is looked for in the parts `where` of a request, in
    a `form`: `raw`, as it came; `plain`, decoded; `flat`, decoded, and comments and runs of space made one
    space; all in lower case. `id` begins with its tag and a hyphen. `score` is added once per request."""

    id: Annotated[str, Field(pattern="^[a-z]+(-[a-z0-9]+)+$")]
    where: Annotated[tuple[Part, ...], Field(min_length=1)]
    form: Literal["raw", "plain", "flat"] = "flat"
    score: Annotated[int, Field(ge=1)] = 5
    pattern: Annotated[str, AfterValidator(_pattern)]

    @property
    def tag(self) -> str:
        return self.id.partition("-")[0]


class Waf(Spec):
    """Requests are scored by rules (docs/proxy.md); one whose score reaches `threshold` is refused with 403
    (`block`), or told of in an event and passed on (`report`). `body_bytes`: so much of a body that is a form
    or JSON is looked at; the rest is not. `without`: ids of rules, or their tags (`sqli`), that don't count.
    `rules`: more of them; how long they may take is up to who writes them.
    """

    mode: Literal["block", "report"] = "block"
    threshold: Annotated[int, Field(ge=1)] = 5
    body_bytes: Annotated[int, Field(ge=0, le=65_536)] = 8_192
    without: tuple[str, ...] = ()
    rules: tuple[WafRule, ...] = ()
