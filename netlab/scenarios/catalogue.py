"""Every scenario that `netlab trace` runs and `netlab report` reads again."""

from __future__ import annotations

from netlab.scenarios import rest
from netlab.scenarios.scenario import Scenario

_ALL = (
    Scenario(
        "rest",
        "one request for user 42: straight from the origin, through the CDN, and from its cache",
        rest.stimulus,
        rest.judge,
        http=("1.1", "2", "3"),
        tls=("1.2", "1.3"),
        cold=True,
        check_more=rest.client_of,
    ),
)
SCENARIOS = {scenario.name: scenario for scenario in _ALL}
