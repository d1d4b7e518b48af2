"""Which names a stub resolver tries for the one that a program has given (resolv.conf(5))."""

from __future__ import annotations

from collections.abc import Iterable

from netlab.proto.dns_names import labels


def candidates(name: str, search: Iterable[str], ndots: int) -> tuple[str, ...]:
    """The names to ask for, in order, until one exists. A final dot means that the name is whole; one with
    `ndots` dots or more is first asked for as it is, others first within each domain of `search`."""
    if name.endswith("."):
        return (name.rstrip(".") or ".",)
    within = tuple(f"{name}.{domain.strip('.')}" for domain in search)
    if len(labels(name)) > ndots:
        return (name, *within)
    return (*within, name)
