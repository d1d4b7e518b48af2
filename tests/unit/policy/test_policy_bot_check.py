"""Scores of requests that look like a program's."""

from __future__ import annotations

import pytest

from netlab.policy.bot_check import BotScore, bot_score
from netlab.proto.http import Headers

CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36"
BROWSER = (
    ("User-Agent", CHROME),
    ("Accept", "text/html"),
    ("Accept-Language", "en"),
    ("Accept-Encoding", "gzip"),
)


def score(*fields: tuple[str, str], rapid: bool = False, **rules: tuple[str, ...]) -> BotScore:
    return bot_score(Headers(fields), rapid=rapid, **{"allow": (), "deny": (), **rules})


def test_a_browser_has_no_signs() -> None:
    assert score(*BROWSER) == BotScore(0, ())
    assert score(*BROWSER, rapid=True) == BotScore(40, ("many requests",))


@pytest.mark.parametrize(
    "agent", ["curl/8.1", "Python-urllib/3.11", "Go-http-client/2.0", "sqlmap/1.7", "Bot"]
)
def test_tools_say_what_they_are(agent: str) -> None:
    assert score(("User-Agent", agent), ("Accept", "*/*")).signs == ("User-Agent of a tool",)


def test_a_browser_that_sends_less_than_browsers_do() -> None:
    assert score(("User-Agent", CHROME)).points == 80
    assert score().points == 70
    assert score(rapid=True).points == 100


def test_rules_come_before_signs() -> None:
    assert score(("User-Agent", "curl/8.1"), allow=("CURL",)) == BotScore(0, ("allow",), "allow")
    assert score(*BROWSER, deny=("chrome/126",)).points == 100
    assert score(("User-Agent", "a b"), allow=("a",), deny=("b",)).decided == "deny"
