"""How much a request looks like a program's: a score of signs, from what the request says of itself and how
many came. It refuses the careless; a program that sends what a browser sends is not found."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from netlab.proto.http import Headers

_TOOLS = re.compile(
    r"\b(curl|wget|python|aiohttp|httpx|scrapy|go-http-client|okhttp|libwww|java|perl|ruby|php|axios|node-fetch"
    r"|headlesschrome|phantomjs|sqlmap|nikto|nmap|masscan|zgrab|bot|crawler|spider)\b",
    re.IGNORECASE,
)
_MOST = 100


@dataclass(frozen=True, slots=True)
class BotScore:
    """`points`: 0 to 100. `signs`: what they are for. `decided`: the rules have named the User-Agent, and
    the points don't count: "allow", "deny", or ""."""

    points: int
    signs: tuple[str, ...]
    decided: str = ""


def bot_score(headers: Headers, *, rapid: bool, allow: Sequence[str], deny: Sequence[str]) -> BotScore:
    """`rapid`: its client asks more often than is usual. `allow`, `deny`: parts of User-Agents, their case
    ignored; what is denied is denied also where it is allowed."""
    agent = headers.get("user-agent").lower()
    for rules, word in ((deny, "deny"), (allow, "allow")):
        if any(part.lower() in agent for part in rules):
            return BotScore(_MOST if word == "deny" else 0, (word,), word)
    found = list(_signs(headers, rapid=rapid))
    return BotScore(min(_MOST, sum(points for _, points in found)), tuple(sign for sign, _ in found))


def _signs(headers: Headers, *, rapid: bool) -> Iterator[tuple[str, int]]:
    agent = headers.get("user-agent")
    if not agent.strip():
        yield "no User-Agent", 50
    elif _TOOLS.search(agent):
        yield "User-Agent of a tool", 50
    elif agent.startswith("Mozilla/"):
        # Every browser sends these.
        if not headers.has("accept-language"):
            yield "a browser without Accept-Language", 30
        if not headers.has("accept-encoding"):
            yield "a browser without Accept-Encoding", 30
    if not headers.has("accept"):
        yield "no Accept", 20
    if rapid:
        yield "many requests", 40
