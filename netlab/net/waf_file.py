"""The firewall's rules, from the file that comes with netlab."""

from __future__ import annotations

from functools import cache
from importlib import resources

import yaml

from netlab.model.roles.waf import WafRule
from netlab.policy.waf import rules_of


@cache
def shipped_rules() -> tuple[WafRule, ...]:
    """Read once, by `net.preload`: a role may not be able to read netlab's files later."""
    text = resources.files("netlab.policy").joinpath("waf_rules.yaml").read_text(encoding="utf-8")
    return rules_of(yaml.safe_load(text))
