"""What a topology says of a proxy: its mistakes with their places, and its names as addresses."""

from __future__ import annotations

import pytest

from netlab.errors import TopologyError
from netlab.model.capabilities import Capabilities
from netlab.model.load import loads
from netlab.model.roles import ProxySpec
from netlab.model.roles.jwt import Jwt
from netlab.plan import plan
from netlab.plan.ops import StartRole

TOPOLOGY = """\
name: t
nodes:
  proxy:
    interfaces: {eth0: 10.0.0.1/24}
    roles:
      - kind: proxy
        names: [a.example, b.example]
        ROLE
        routes: [{upstreams: ["app:8080"], ROUTE}]
  app: {interfaces: {eth0: 10.0.0.2/24}, roles: [{kind: app}]}
links: [{ends: [proxy, app]}]
"""


def proxy(role: str = "hsts_s: 0", route: str = "path: /") -> ProxySpec:
    text = TOPOLOGY.replace("ROLE", role).replace("ROUTE", route)
    made = plan(loads(text, "t.yaml"), Capabilities(netem=False))
    (start,) = (op for op in made.operations if isinstance(op, StartRole) and op.node == "proxy")
    assert isinstance(start.spec, ProxySpec)
    return start.spec


def test_the_place_of_a_key_set_becomes_an_address() -> None:
    found = proxy("jwt: {jwks: {upstream: 'app:8080'}}").jwt
    assert isinstance(found, Jwt)
    assert found.jwks is not None
    assert found.jwks.upstream == "10.0.0.2:8080"
    assert proxy("jwt: true").jwt is True
    assert isinstance(proxy("jwt: {leeway: 5s}").jwt, Jwt)


@pytest.mark.parametrize(
    ("role", "route", "says"),
    [
        ("jwt: {jwks: {upstream: 'ap:8080'}}", "", "8:32: unknown node `ap`; did you mean `app`?"),
        ("jwt: {jwks: {upstream: 'app:80'}}", "", "8:32: nobody listens on app port 80"),
        ("jwt: maybe", "", "8:"),
        ("jwt: {lab_key: false}", "", "no key"),
        ("proxy_protocol: true", "", "proxy_protocol_from"),
        ("certificates: [[c.example]]", "", "which is not in `names`"),
        ("rate_limits: [{quota: 0}]", "", "8:"),
        ("rate_limits: [{quota: 1, by: ip}]", "", "8:"),
        ("limits: {fields: 1000}", "", "8:"),
        ("waf: {treshold: 1}", "", "threshold"),
        ("hsts_s: 0", "request_headers: {set: {X-A: '{who}'}}", "there is no variable `{who}`"),
        ("hsts_s: 0", "response_headers: {remove: [Connection]}", "leave it out"),
        ("hsts_s: 0", "micro_cache: 1", "duration"),
        ("hsts_s: 0", "weight: -1", "9:"),
    ],
)
def test_mistakes_are_told_with_their_place(role: str, route: str, says: str) -> None:
    with pytest.raises(TopologyError) as found:
        proxy(role, route or "path: /")
    assert says in str(found.value)
