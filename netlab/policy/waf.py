"""A web application firewall: rules that look at a request's parts, scores, and a threshold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from netlab.errors import InputError
from netlab.model.roles.spec import Spec
from netlab.model.roles.waf import Waf
from netlab.model.suggest import nearest
from netlab.policy.waf_text import Text, body_parts, is_read, parts
from netlab.proto.http import RequestHead

Part = Literal["method", "target", "path", "query", "cookies", "headers", "body"]


class Rule(Spec):
    """One of netlab/policy/waf_rules.yaml, which says what its keys mean."""

    id: Annotated[str, Field(pattern="^[a-z]+(-[a-z]+)+$")]
    where: tuple[Part, ...]
    form: Literal["raw", "plain", "flat"] = "flat"
    score: Annotated[int, Field(ge=1)]
    pattern: str

    @property
    def tag(self) -> str:
        return self.id.partition("-")[0]


@dataclass(frozen=True, slots=True)
class Match:
    """A rule that matched, in which part, and at what (cut short)."""

    rule: str
    score: int
    part: str
    text: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """`blocked`: the request is not to be passed on. `reached`: its score is the threshold or more."""

    score: int
    reached: bool
    blocked: bool
    matches: tuple[Match, ...] = field(default=())


_SHOWN = 60


def rules_of(document: object) -> tuple[Rule, ...]:
    """The rules of a file that was read. Raises ValidationError."""
    return TypeAdapter(tuple[Rule, ...]).validate_python(document)


class Firewall:
    """Judges requests by `rules`. Raises InputError where `without` names none of them."""

    def __init__(self, settings: Waf, rules: Sequence[Rule]) -> None:
        known = {name for rule in rules for name in (rule.id, rule.tag)}
        for name in settings.without:
            if name not in known:
                raise InputError(
                    f"`without`: there is no rule or tag {name}", nearest(name, sorted(known), "rules")
                )
        self._settings = settings
        left_out = set(settings.without)
        self._rules = [
            (rule, re.compile(rule.pattern)) for rule in rules if left_out.isdisjoint((rule.id, rule.tag))
        ]

    def reads(self, head: RequestHead) -> int:
        """How many bytes of the request's body `judge` wants; 0: none."""
        return self._settings.body_bytes if is_read(head.headers.get("content-type")) else 0

    def judge(self, head: RequestHead, body: bytes = b"") -> Judgement:
        """`body`: the beginning of it that `reads` asks for."""
        seen: Mapping[str, list[Text]] = parts(head)
        if body:
            seen = {**seen, "body": body_parts(head.headers.get("content-type"), body)}
        found = tuple(
            match for rule, pattern in self._rules if (match := _match(rule, pattern, seen)) is not None
        )
        score = sum(match.score for match in found)
        reached = score >= self._settings.threshold
        return Judgement(score, reached, reached and self._settings.mode == "block", found)


def _match(rule: Rule, pattern: re.Pattern[str], seen: Mapping[str, Iterable[Text]]) -> Match | None:
    for part in rule.where:
        for text in seen.get(part, ()):
            form: str = getattr(text, rule.form)
            if pattern.search(form):
                return Match(rule.id, rule.score, part, form[:_SHOWN])
    return None
