"""Imports that libraries put off until first use.

A role gives up its rights before it serves, and then may not be able to read netlab's own files (in a
home directory with mode 0700, say): whatever it will need must have been imported by then.
"""

from __future__ import annotations

from importlib import import_module
from typing import get_args

import dns.rdata
import dns.rdataclass
import dns.rdatatype

from netlab.model.roles import RecordType
from netlab.net.waf_file import shipped_rules

_RECORDS = (
    *get_args(RecordType),
    "DNSKEY",
    "NSEC",
    "OPT",
    "RRSIG",
)
_MODULES = (
    "encodings.idna",
    "cryptography.hazmat.backends.openssl.backend",
    "netlab.net.http3_client",  # slow to import: a trace would show it as the network's time
    "netlab.net.http3_server",
    "netlab.net.http_client",
)


def preload() -> None:
    """Do them now."""
    for name in _RECORDS:
        record = dns.rdatatype.from_text(name)
        dns.rdata.get_rdata_class(dns.rdataclass.IN, record)  # type: ignore[no-untyped-call] # dnspython's
    for name in _MODULES:
        import_module(name)
    shipped_rules()
