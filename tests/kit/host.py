"""What a lab must leave alone: the network of the machine itself."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

_COMMANDS = {
    "links": ("ip", "-details", "-json", "link", "show"),
    "addresses": ("ip", "-json", "address", "show"),
    "IPv4 routes": ("ip", "-4", "-json", "route", "show", "table", "all"),
    "IPv6 routes": ("ip", "-6", "-json", "route", "show", "table", "all"),
    "IPv4 rules": ("ip", "-4", "-json", "rule", "show"),
    "IPv6 rules": ("ip", "-6", "-json", "rule", "show"),
}
# What ticks by itself: lifetimes of addresses that DHCP gave, and timers of routes.
_TICKING = ("valid_life_time", "preferred_life_time", "expires", "used", "age")
_SYSCTLS = Path("/proc/sys/net")
_COUNTERS = ("nf_conntrack_count",)


def host_state() -> dict[str, str]:
    """Links, addresses, routes, rules, nftables rules and network sysctls, as text by name."""
    state = {name: _steady(_output(*argv)) for name, argv in _COMMANDS.items()}
    if nft := shutil.which("nft", path="/usr/sbin:/usr/bin:/sbin"):
        state["nftables"] = _output(nft, "--stateless", "list", "ruleset")
    return state | _sysctls()


def differences(before: dict[str, str], after: dict[str, str]) -> dict[str, tuple[str, str]]:
    """What changed: (before, after) by name. A sysctl that is new belongs to a kernel module just loaded."""
    return {name: (old, after.get(name, "gone")) for name, old in before.items() if after.get(name) != old}


@pytest.fixture
def host_unchanged() -> Iterator[None]:
    """Fails a test that leaves the machine's own network other than it was, byte for byte."""
    before = host_state()
    yield
    assert differences(before, host_state()) == {}


def _output(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def _steady(text: str) -> str:
    return json.dumps(_without_ticking(json.loads(text or "[]")), indent=1)


def _without_ticking(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_ticking(item) for key, item in value.items() if key not in _TICKING}
    return [_without_ticking(item) for item in value] if isinstance(value, list) else value


def _sysctls() -> dict[str, str]:
    found = {}
    for path in sorted(_SYSCTLS.rglob("*")):
        if path.name in _COUNTERS or not path.is_file():
            continue
        try:
            found[str(path)] = path.read_text(errors="replace")
        except OSError:  # write-only, such as net.ipv4.route.flush, or of a device that is down
            found[str(path)] = "unreadable"
    return found
