"""The firewall's rules, from the file that comes with netlab."""

from __future__ import annotations

from functools import cache
from importlib import resources

import yaml

from netlab.policy.waf import Rule, rules_of


@cache
def shipped_rules() -> tuple[Rule, ...]:
    """Read once, by `net.preload`: a role may not be able to read netlab's files later."""
    text = resources.files("netlab.policy").joinpath("waf_rules.yaml").read_text(encoding="utf-8")
    return rules_of(yaml.safe_load(text))
