"""A web application firewall: rules that look at a request's parts, scores, and a threshold."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import TypeAdapter

from netlab.errors import InputError
from netlab.model.roles.waf import Waf, WafRule
from netlab.model.suggest import nearest
from netlab.policy.waf_text import Text, body_parts, is_read, parts
from netlab.proto.http import RequestHead


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


def rules_of(document: object) -> tuple[WafRule, ...]:
    """The rules of a file that was read. Raises ValidationError."""
    return TypeAdapter(tuple[WafRule, ...]).validate_python(document)


class Firewall:
    """Judges requests by the `shipped` rules and those of the settings. Raises InputError where `without`
    names none of them, or two have one id."""

    def __init__(self, settings: Waf, shipped: Sequence[WafRule]) -> None:
        rules = (*shipped, *settings.rules)
        for name, count in Counter(rule.id for rule in rules).items():
            if count > 1:
                raise InputError(f"the firewall has two rules {name}", "give one of them another id")
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


def _match(rule: WafRule, pattern: re.Pattern[str], seen: Mapping[str, Iterable[Text]]) -> Match | None:
    for part in rule.where:
        for text in seen.get(part, ()):
            form: str = getattr(text, rule.form)
            if pattern.search(form):
                return Match(rule.id, rule.score, part, form[:_SHOWN])
    return None
