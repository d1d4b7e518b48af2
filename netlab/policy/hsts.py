"""HTTP Strict Transport Security (RFC 6797): which hosts are reached by https only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address

_NAME = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_DIRECTIVE = re.compile(rf'\s*({_NAME})\s*(?:=\s*({_NAME}|"(?:[^"\\]|\\.)*")\s*)?$')
_QUOTED_OR_SEPARATOR = re.compile(r'"(?:[^"\\]|\\.)*"|;')
_LONGEST_S = 2**31


@dataclass(frozen=True, slots=True)
class Policy:
    """What a host said. `max_age_s` 0: forget it (section 6.1.1)."""

    max_age_s: int
    include_subdomains: bool = False


def parse(value: str) -> Policy | None:
    """The policy of a Strict-Transport-Security field; None where it breaks the grammar (section 6.1).

    Directives that are not known are passed over. A directive given twice, or no max-age, makes the whole
    field invalid.
    """
    directives: dict[str, str | None] = {}
    for text in _split(value):
        if not text.strip():
            continue  # empty ones are allowed: ";;max-age=1"
        found = _DIRECTIVE.match(text)
        if found is None or found[1].lower() in directives:
            return None
        directives[found[1].lower()] = found[2]
    age = _unquoted(directives.get("max-age"))
    if not (age.isascii() and age.isdigit()):
        return None
    if directives.get("includesubdomains") is not None:
        return None  # it has no value
    return Policy(min(int(age), _LONGEST_S), "includesubdomains" in directives)


def _split(value: str) -> list[str]:
    """At semicolons outside of quoted strings."""
    parts, start = [], 0
    for found in _QUOTED_OR_SEPARATOR.finditer(value):
        if found[0] == ";":
            parts.append(value[start : found.start()])
            start = found.end()
    return [*parts, value[start:]]


def _unquoted(value: str | None) -> str:
    if value is None:
        return ""
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


class Store:
    """The known hosts. `now` is in seconds of any steady clock."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, bool]] = {}  # until when; subdomains too

    def note(self, host: str, values: list[str], now: float, *, secure: bool) -> Policy | None:
        """Take in the field's lines of a response from `host`; the policy, if it counts.

        Only over TLS without errors (section 8.1), not from IP addresses (section 8.1.1), and only the
        first line (section 8.1).
        """
        name = _canonical(host)
        policy = parse(values[0]) if values and secure and not _is_address(name) else None
        if policy is None:
            return None
        if policy.max_age_s:
            self._known[name] = now + policy.max_age_s, policy.include_subdomains
        else:
            self._known.pop(name, None)
        return policy

    def left_s(self, host: str, now: float) -> int:
        """How long `host` is still reached by https only; 0 if it isn't (sections 8.2 and 8.3)."""
        name = _canonical(host)
        if _is_address(name):
            return 0
        labels = name.split(".")
        left = 0.0
        for depth in range(len(labels)):
            until, subdomains = self._known.get(".".join(labels[depth:]), (0.0, False))
            if depth == 0 or subdomains:
                left = max(left, until - now)
        return int(left) if left >= 1 else int(left > 0)


def secure_port(port: int) -> int:
    """The port of an http URL once it is https: 80 becomes 443, others stay (section 8.3)."""
    return 443 if port == 80 else port


def _canonical(host: str) -> str:
    return host.lower().rstrip(".")


def _is_address(host: str) -> bool:
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
