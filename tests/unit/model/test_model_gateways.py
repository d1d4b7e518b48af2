"""Edges, proxies and balancers: values that would break them only when they run."""

from __future__ import annotations

import pytest

from netlab.errors import TopologyError
from netlab.model.load import loads

TOPOLOGY = """\
name: t
nodes:
  edge:
    interfaces: {eth0: 10.0.0.1/24}
    roles:
      - kind: cdn
        names: [NAMES]
        origin: proxy:443
        origin_name: ORIGIN
        shield: SHIELD
        resilience: {breaker: {window: WINDOW}}
  proxy:
    interfaces: {eth0: 10.0.0.2/24}
    roles:
      - {kind: proxy, names: [www.example.com], routes: [{upstreams: ["app:8080"]}]}
      - {kind: cdn, listen: 8443, names: ["*.example.com", 10.0.0.2], origin: "app:8080", origin_name: app}
      - {kind: balancer, listen: 80, upstreams: ["app:8080"], health: {interval: INTERVAL, timeout: TIMEOUT}}
      - {kind: resolver, roots: ROOTS}
  app:
    interfaces: {eth0: 10.0.0.3/24}
    roles: [{kind: app}, {kind: nameserver, zones: [{name: ., records: []}]}]
  sw: {kind: switch}
links:
  - {ends: [edge, sw]}
  - {ends: [proxy, sw]}
  - {ends: [app, sw]}
"""
GOOD = {
    "NAMES": "www.example.com",
    "ORIGIN": "origin_1.example.com",
    "SHIELD": "proxy:8443",
    "WINDOW": "10s",
    "INTERVAL": "1s",
    "TIMEOUT": "1s",
    "ROOTS": "[app]",
}


def made(**changed: str) -> str:
    text = TOPOLOGY
    for key, value in (GOOD | changed).items():
        text = text.replace(key, value)
    return text


def test_what_is_good_is_taken() -> None:
    assert set(loads(made(), "t").nodes) == {"edge", "proxy", "app", "sw"}


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"NAMES": '""'}, "`` is no name that a certificate can have"),
        ({"NAMES": '"é.example.com"'}, "`é.example.com` is no name that a certificate can have"),
        ({"NAMES": '"a b"'}, "`a b` is no name"),
        ({"NAMES": '"*"'}, "`*` is no name"),
        ({"NAMES": f'"{"a" * 64}.com"'}, "is no name"),
        ({"NAMES": '"' + "a." * 150 + 'com"'}, "is no name"),
        ({"ORIGIN": '"https://origin"'}, "`https://origin` is no name"),
        ({"SHIELD": "proxy:443"}, "t:10:17: a shield is another cdn; port 443 of `proxy` is of its proxy"),
        ({"SHIELD": "10.0.0.3:8080"}, "a shield is another cdn; port 8080 of `app` is of its app"),
        ({"SHIELD": "edge:443"}, "`edge` can't be its own shield"),
        ({"SHIELD": "nobody:443"}, "unknown node `nobody`"),
        ({"WINDOW": "0"}, "t:11:"),
        ({"INTERVAL": "0"}, "t:17:"),
        ({"TIMEOUT": "0"}, "t:17:"),
        ({"ROOTS": "[]"}, "t:18:"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(changed: dict[str, str], problem: str) -> None:
    with pytest.raises(TopologyError) as caught:
        loads(made(**changed), "t")
    assert len(caught.value.problems) == 1, caught.value.problems
    assert problem in str(caught.value.problems[0])
