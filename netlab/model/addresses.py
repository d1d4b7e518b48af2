"""Addresses and networks as a user writes them, with errors that name the right form."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

_PARSED = (IPv4Address, IPv6Address, IPv4Network, IPv6Network)  # interfaces are addresses


def _parsed(parse: Callable[[str], object], what: str, example: str) -> BeforeValidator:
    def validate(value: object) -> object:
        if isinstance(value, _PARSED):
            return value
        try:
            return parse(_text(value))
        except ValueError as error:
            raise ValueError(f"`{value}` is not {what}; write for example {example}") from error

    return BeforeValidator(validate)


def _text(value: object) -> str:
    """Refuses numbers, which ipaddress would take, and IPv6 zones, which mean nothing in a file."""
    if not isinstance(value, str) or "%" in value:
        raise ValueError("not text, or with a zone")
    return value


def _interface(text: str) -> object:
    if "/" not in text:
        raise ValueError("no prefix length")
    return ip_interface(text)


def _schema(*examples: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "examples": list(examples)})


AddressText = Annotated[
    IPv4Address | IPv6Address,
    _parsed(ip_address, "an address", "192.168.1.1"),
    _schema("192.168.1.1", "2001:db8::1"),
]
InterfaceText = Annotated[
    IPv4Interface | IPv6Interface,
    _parsed(_interface, "an address with its prefix length", "192.168.1.10/24"),
    _schema("192.168.1.10/24", "2001:db8::1/64"),
]
NetworkText = Annotated[
    IPv4Network | IPv6Network,
    _parsed(ip_network, "a network", "10.0.0.0/16"),
    _schema("10.0.0.0/16", "2001:db8::/32"),
]
