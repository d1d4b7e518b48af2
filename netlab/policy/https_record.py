"""HTTPS records of the DNS (RFC 9460), in zone-file text, read as alternatives of an origin."""

from __future__ import annotations

import re
from collections.abc import Iterable

from netlab.policy.alt_svc import Alternative

_RECORD = re.compile(r"(\d{1,5})\s+(\S+)(.*)$", re.DOTALL)
_PARAMETER = re.compile(r'([a-z0-9-]+)(?:=("(?:[^"\\]|\\.)*"|\S*))?')
_KNOWN = {"alpn", "no-default-alpn", "port", "ipv4hint", "ipv6hint", "ech"}


def alternatives(records: Iterable[str], port: int, ttl_s: int) -> tuple[Alternative, ...]:
    """What the records' data say, the lowest priority number first (section 2.4.1).

    `port`: the origin's, where a record says none. Alias records (priority 0) and records that must not
    be used because of a mandatory key that is unknown here (section 8) give nothing.
    """
    parsed = [found for found in (_RECORD.match(record.strip()) for record in records) if found]
    parsed.sort(key=lambda found: int(found[1]))
    return tuple(one for found in parsed if int(found[1]) for one in _of(found[2], found[3], port, ttl_s))


def _of(name: str, parameters: str, port: int, ttl_s: int) -> list[Alternative]:
    values = {key: value.strip('"') for key, value in _PARAMETER.findall(parameters)}
    mandatory = {key for key in values.get("mandatory", "").split(",") if key}
    said = values.get("port", str(port))
    if not mandatory <= _KNOWN or not said.isdigit() or not 1 <= int(said) <= 65_535:
        return []
    protocols = [one for one in values.get("alpn", "").split(",") if one]
    host = "" if name == "." else name.rstrip(".").lower()
    return [Alternative(protocol, int(said), host, ttl_s) for protocol in protocols]
