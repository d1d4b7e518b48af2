"""What an operator may change of an edge while it runs, as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from netlab.errors import InputError
from netlab.model.roles import CdnSpec
from netlab.model.suggest import nearest
from netlab.model.units import duration_ns, format_duration

KEYS = ("compress", "negative", "shield", "stale_if_error")
_TRUTH = {"true": True, "false": False}
Find = Callable[[str], Sequence[str]]  # a node's name ─► its addresses; raises InputError


def changed(spec: CdnSpec, settings: Mapping[str, str], find: Find) -> tuple[CdnSpec, dict[str, str]]:
    """The spec after `compress=true`, `negative=10s`, `stale_if_error=60s`, `shield=shield:443` (`shield=`
    for none), and what these keys had before. Raises InputError."""
    update: dict[str, object] = {}
    before: dict[str, str] = {}
    for key, text in settings.items():
        if key == "compress":
            before[key] = str(spec.compress).lower()
            update[key] = _truth(text)
        elif key == "negative":
            before[key] = format_duration(spec.negative_ns)
            update["negative_ns"] = _duration(key, text)
        elif key == "stale_if_error":
            before[key] = format_duration(spec.stale_if_error_ns)
            update["stale_if_error_ns"] = _duration(key, text)
        elif key == "shield":
            before[key] = spec.shield or ""
            update[key] = _upstream(text, find) if text else None
        else:
            raise InputError(f"a cdn has no setting {key}", nearest(key, KEYS, "settings"))
    return spec.model_copy(update=update), before


def _truth(text: str) -> bool:
    if text not in _TRUTH:
        raise InputError(f"compress={text} is neither true nor false", "say compress=true, or compress=false")
    return _TRUTH[text]


def _duration(key: str, text: str) -> int:
    try:
        return duration_ns(text)
    except ValueError as error:
        raise InputError(f"{key}={text}: {error}", f"such as {key}=10s") from error


def _upstream(text: str, find: Find) -> str:
    host, _, port = text.rpartition(":")
    if not (host and port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= 65535):
        raise InputError(f"shield={text} is no node with a port", "such as shield=shield:443")
    address = find(host.strip("[]"))[0]
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
