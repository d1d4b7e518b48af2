"""What two requests must have in common to be answered by one stored response."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote_plus

from netlab.proto.http import RequestHead

Key = tuple[str, str]  # authority and target; what the settings add follows the target


@dataclass(frozen=True, slots=True)
class KeySettings:
    """`query`: whether parameters count at all; `keep`: those alone that do (empty: all), `drop`: those
    that don't. `headers`, `cookies`: names of what else is part of the key."""

    query: bool = True
    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    cookies: tuple[str, ...] = ()


PLAIN_KEY = KeySettings()


def key_of(request: RequestHead, settings: KeySettings = PLAIN_KEY) -> Key:
    """Authority and target (in origin form, as `proto` gives it): the edge serves https only."""
    if settings is PLAIN_KEY:
        return _authority(request), request.target
    parts = [_target(request.target, settings)]
    parts += [f"{name.lower()}={request.headers.get(name)}" for name in settings.headers]
    sent = _cookies(request)
    parts += [f"cookie {name}={sent.get(name, '')}" for name in settings.cookies]
    return _authority(request), "\n".join(parts)  # no field value has a line's end


def _authority(request: RequestHead) -> str:
    return request.authority.lower().removesuffix(":443")


def _target(target: str, settings: KeySettings) -> str:
    path, mark, query = target.partition("?")
    if not settings.query:
        return path
    kept = [pair for pair in query.split("&") if _counts(unquote_plus(pair.partition("=")[0]), settings)]
    return f"{path}?{'&'.join(kept)}" if mark and any(kept) else path


def _counts(name: str, settings: KeySettings) -> bool:
    return name not in settings.drop and (not settings.keep or name in settings.keep)


def _cookies(request: RequestHead) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in request.headers.all("cookie"):
        for pair in line.split(";"):
            name, _, value = pair.strip().partition("=")
            found.setdefault(name, value)
    return found
