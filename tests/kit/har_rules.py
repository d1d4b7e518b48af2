"""What HAR 1.2 requires of a document, as a table: W3C Web Performance Working Group, HTTP Archive format."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

# name ─► type, or (type, of its members); a name with "?" is optional. "_…" and "comment" may be anywhere.
_PAIR = {"name": str, "value": str}
_COOKIE = {
    **_PAIR, "path?": str, "domain?": str, "expires?": datetime, "httpOnly?": bool, "secure?": bool,
    "sameSite?": str,
}  # fmt: skip
_POST = {"mimeType": str, "params": (list, _PAIR), "text": str}
_REQUEST = {
    "method": str, "url": str, "httpVersion": str, "cookies": (list, _COOKIE), "headers": (list, _PAIR),
    "queryString": (list, _PAIR), "postData?": (dict, _POST), "headersSize": int, "bodySize": int,
}  # fmt: skip
_CONTENT = {"size": int, "compression?": int, "mimeType": str, "text?": str, "encoding?": str}
_RESPONSE = {
    "status": int, "statusText": str, "httpVersion": str, "cookies": (list, _COOKIE),
    "headers": (list, _PAIR), "content": (dict, _CONTENT), "redirectURL": str, "headersSize": int,
    "bodySize": int,
}  # fmt: skip
_TIMINGS = {
    "blocked?": float, "dns?": float, "connect?": float, "send": float, "wait": float, "receive": float,
    "ssl?": float,
}  # fmt: skip
_ENTRY = {
    "pageref?": str, "startedDateTime": datetime, "time": float, "request": (dict, _REQUEST),
    "response": (dict, _RESPONSE), "cache": (dict, {}), "timings": (dict, _TIMINGS), "serverIPAddress?": str,
    "connection?": str,
}  # fmt: skip
_PAGE = {
    "startedDateTime": datetime, "id": str, "title": str,
    "pageTimings": (dict, {"onContentLoad?": float, "onLoad?": float}),
}  # fmt: skip
_CREATOR = {"name": str, "version": str}
_LOG = {
    "version": str, "creator": (dict, _CREATOR), "browser?": (dict, _CREATOR), "pages?": (list, _PAGE),
    "entries": (list, _ENTRY),
}  # fmt: skip


def faults(document: Any) -> list[str]:
    """What is against the rules, each with its place; the sums of timings too."""
    found = list(_of(document, {"log": (dict, _LOG)}, ""))
    if found:
        return found
    pages = {one["id"] for one in document["log"].get("pages", [])}
    for number, entry in enumerate(document["log"]["entries"]):
        parts = {name: value for name, value in entry["timings"].items() if name != "ssl"}
        whole = sum(max(value, 0) for value in parts.values())
        if abs(whole - entry["time"]) > 1e-6:
            found.append(f"entries.{number}: {whole} ms in parts, {entry['time']} in all")
        if any(value < 0 and value != -1 for value in entry["timings"].values()):
            found.append(f"entries.{number}: {entry['timings']}")
        if min(parts[name] for name in ("send", "wait", "receive")) < 0:
            found.append(f"entries.{number}: send, wait and receive can't be unknown")
        if entry.get("pageref", next(iter(pages), "")) not in pages | {""}:
            found.append(f"entries.{number}: no page {entry['pageref']}")
    return found


def _of(value: Any, rules: dict[str, Any], place: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{place}: no object"
        return
    names = {name.rstrip("?"): (rule, name.endswith("?")) for name, rule in rules.items()}
    for name, (_, optional) in names.items():
        if name not in value and not optional:
            yield f"{place}.{name} is missing"
    for name, one in value.items():
        if name in names:
            yield from _typed(one, names[name][0], f"{place}.{name}")
        elif not (name.startswith("_") or name == "comment"):
            yield f"{place}.{name} isn't in HAR 1.2"


def _typed(value: Any, rule: Any, place: str) -> Iterator[str]:
    if isinstance(rule, tuple):
        kind, rules = rule
        if not isinstance(value, kind):
            yield f"{place}: {type(value).__name__}, not {kind.__name__}"
            return
        for at, one in enumerate(value) if kind is list else [("", value)]:
            yield from _of(one, rules, f"{place}.{at}".rstrip("."))
    elif rule is datetime:
        if not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is None:
            yield f"{place}: no date with its zone"
    elif isinstance(value, bool) != (rule is bool) or not isinstance(
        value, (int, float) if rule is float else rule
    ):
        yield f"{place}: {value!r} is no {rule.__name__}"
