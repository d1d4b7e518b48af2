"""Changes to a running link, as words: `delay=80ms`, `loss=1%`, `loss.gemodel=1%,10%`.

The words are the keys of a topology's link; what is nested there has a dot here (or `_`: both are one).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from netlab.errors import InputError
from netlab.model import distributions
from netlab.model.check_impairment import default_limit, faults
from netlab.model.impairment import FourState, GilbertElliott, Impairment, Slot
from netlab.model.suggest import nearest
from netlab.model.units import duration_ns, probability, rate_bps

Fields = dict[str, Any]


def parse(words: Sequence[str], base: Impairment, mtu: int = 1500) -> Impairment:
    """`base` with what `words` say; the rest stays.

    A `limit` that was enough for twice the bandwidth-delay product grows with it, unless it is named.
    `distribution` may name a table file, relative to the working directory.
    Raises InputError with the word, what is wrong with it and the nearest right one.
    """
    if not words:
        raise InputError("nothing to change", "write for example delay=80ms loss=1%")
    said: dict[str, str] = {}
    fields: Fields = {}
    for word in words:
        name, value = _split(word)
        if name in said:
            raise InputError(f"`{word}`: {name} is already said by `{said[name]}`", "say it once")
        said[name] = word
        fields |= _parsed(word, name, value)
    changed = _changed(base, fields, mtu)
    for fault in faults(changed):
        at = next((said[name] for name in said if name.split(".")[0] == fault.word), fault.word)
        raise InputError(f"`{at}`: {fault.message}", fault.suggestion)
    return changed


def _split(word: str) -> tuple[str, str]:
    name, sign, value = word.partition("=")
    folded = name.strip().lower().replace("-", "_").replace(".", "_")
    known = {one.replace(".", "_"): one for one in _WORDS}
    if folded not in known:
        raise InputError(f"`{word}`: unknown word `{name}`", nearest(name, _WORDS, "words"))
    if not sign or not value.strip():
        raise InputError(f"`{word}`: no value", f"write {known[folded]}=VALUE")
    return known[folded], value.strip()


def _parsed(word: str, name: str, value: str) -> Fields:
    try:
        return _WORDS[name](value)
    except ValueError as error:
        cause, _, remedy = str(error).partition("; ")
        raise InputError(f"`{word}`: {cause}", remedy) from error


def _changed(base: Impairment, fields: Fields, mtu: int) -> Impairment:
    """With what follows: without jitter it has no distribution, without loss no correlation, and so on."""
    if fields.get("jitter_ns") == 0:
        fields = {"distribution": "uniform", "table": (), "delay_correlation": 0.0} | fields
    if fields.get("loss") == 0:
        fields = {"loss_correlation": 0.0, "ecn": base.ecn and fields.get("loss_model") is not None} | fields
    for name in ("duplicate", "corrupt", "reorder"):
        if fields.get(name) == 0:
            fields = {f"{name}_correlation": 0.0} | fields
    if fields.get("reorder") == 0:
        fields = {"reorder_gap": 0} | fields
    if fields.get("rate_bps") == 0:
        fields = {"rate_overhead_bytes": 0, "cell_bytes": 0, "cell_overhead_bytes": 0} | fields
    changed = replace(base, **fields)
    if "limit_packets" in fields or base.limit_packets < default_limit(base.delay_ns, base.rate_bps, mtu):
        return changed
    enough = default_limit(changed.delay_ns, changed.rate_bps, mtu)
    return replace(changed, limit_packets=max(base.limit_packets, enough))


def _field(name: str, convert: Callable[[str], Any]) -> Callable[[str], Fields]:
    return lambda text: {name: convert(text)}


def _whole(text: str) -> int:
    if not (text.isascii() and text.removeprefix("-").isdigit() and len(text) <= 20):
        raise ValueError(f"`{text}` is not a whole number")
    return int(text)


def _switch(text: str) -> bool:
    known = {"on": True, "true": True, "off": False, "false": False}
    if text.lower() not in known:
        raise ValueError(f"`{text}` is neither on nor off")
    return known[text.lower()]


def _distribution(text: str) -> Fields:
    if distributions.is_file(text):
        return {"distribution": text, "table": distributions.read(Path(text))}
    if text not in distributions.NAMES:
        known = nearest(text, distributions.NAMES, "distributions")
        raise ValueError(f"unknown distribution `{text}`; {known}, or the path of a table such as ./my.dist")
    return {"distribution": text, "table": ()}


def _random(text: str) -> Fields:
    return {"loss": probability(text), "loss_model": None}


def _parts(text: str, what: str, least: int, most: int) -> list[str]:
    found = [part.strip() for part in text.split(",")]
    if not least <= len(found) <= most:
        raise ValueError(f"{len(found)} values; write {what}")
    return found


def _gemodel(text: str) -> Fields:
    p, *rest = map(probability, _parts(text, "p[,r[,1-h[,1-k]]]", 1, 4))
    model = GilbertElliott(p, *(rest or [1 - p]))
    return {"loss": 0.0, "loss_correlation": 0.0, "loss_model": model}


def _state(text: str) -> Fields:
    p13, *rest = map(probability, _parts(text, "p13[,p31[,p32[,p23[,p14]]]]", 1, 5))
    model = FourState(p13, *(rest or [1 - p13]))
    return {"loss": 0.0, "loss_correlation": 0.0, "loss_model": model}


def _rate(text: str) -> Fields:
    found = 0 if text == "unlimited" else rate_bps(text)
    if not found and text != "unlimited":
        raise ValueError(f"`{text}` lets nothing pass; for no bound, write unlimited")
    return {"rate_bps": found}


def _slot(text: str) -> Fields:
    if text == "none":
        return {"slot": None}
    low, *rest = _parts(text, "min[,max[,packets[,bytes]]]", 1, 4)
    high = duration_ns(rest[0]) if rest else duration_ns(low)
    return {"slot": Slot(duration_ns(low), high, *map(_whole, rest[1:]))}


_WORDS: dict[str, Callable[[str], Fields]] = {
    "delay": _field("delay_ns", duration_ns),
    "jitter": _field("jitter_ns", duration_ns),
    "distribution": _distribution,
    "delay_correlation": _field("delay_correlation", probability),
    "loss": _random,
    "loss.correlation": _field("loss_correlation", probability),
    "loss.gemodel": _gemodel,
    "loss.state": _state,
    "duplicate": _field("duplicate", probability),
    "duplicate.correlation": _field("duplicate_correlation", probability),
    "corrupt": _field("corrupt", probability),
    "corrupt.correlation": _field("corrupt_correlation", probability),
    "reorder": _field("reorder", probability),
    "reorder.correlation": _field("reorder_correlation", probability),
    "reorder.gap": _field("reorder_gap", _whole),
    "rate": _rate,
    "overhead": _field("rate_overhead_bytes", _whole),
    "cell_size": _field("cell_bytes", _whole),
    "cell_overhead": _field("cell_overhead_bytes", _whole),
    "limit": _field("limit_packets", _whole),
    "slot": _slot,
    "ecn": _field("ecn", _switch),
    "seed": lambda text: {"seed": None if text == "none" else _whole(text)},
}
