"""Zones and resolvers: what is wrong with them, and where."""

from __future__ import annotations

from pathlib import Path

import pytest

from netlab.errors import TopologyError
from netlab.model.capabilities import Capabilities
from netlab.model.load import load
from netlab.model.roles import NameserverSpec, ResolverSpec
from netlab.plan.build import certified, plan
from netlab.plan.ops import StartRole

TOPOLOGY = """\
name: t
nodes:
  a: {{interfaces: {{eth0: 10.0.0.1/24}}, roles: [{{kind: resolver, roots: [b], {resolver}}}]}}
  b:
    interfaces: {{eth0: 10.0.0.2/24}}
    roles:
      - kind: nameserver
        zones:
          - name: .
            dnssec: {signed}
            records:
              - {{name: api, type: A, {record}}}
              - {{name: www, type: CNAME, data: api}}
              - {{name: {name}, type: TXT, data: x}}
links:
  - {{ends: [a, b]}}
"""


def written(directory: Path, **changed: str) -> Path:
    fields = {"resolver": "dnssec: true", "signed": "true", "record": "data: a", "name": "txt"} | changed
    path = directory / "t.yaml"
    path.write_text(TOPOLOGY.format(**fields), encoding="utf-8")
    return path


def problems(directory: Path, **changed: str) -> list[str]:
    with pytest.raises(TopologyError) as caught:
        load(written(directory, **changed))
    return [str(one).replace(f"{directory}/t.yaml:", "") for one in caught.value.problems]


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"signed": "false"}, "needs a root zone that is signed; say `dnssec: true` in the zone `.`"),
        ({"name": "WWW"}, "`www` has a CNAME and other records; an alias stands alone at its name"),
        ({"record": "data: a, weights: {b: 1}"}, "record `api` has `weights`, and so no `data`"),
        ({"record": "weights: {c: 1}"}, "unknown node `c`"),
        ({"record": "weights: {a: 0}"}, "the least is 1"),
        ({"record": "data: a, ttl: 2147483648"}, "the most is 2147483647"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, changed: dict[str, str], problem: str) -> None:
    (found,) = problems(tmp_path, **changed)
    assert problem in found
    assert found[0].isdigit(), "line and column"


def test_weights_name_nodes_and_become_addresses(tmp_path: Path) -> None:
    topology = load(written(tmp_path, record="weights: {a: 3, b: 1}"))
    made = plan(topology, Capabilities(netem=False, ipv6=True, nft="1.0"))
    (spec,) = (
        one.spec
        for one in made.operations
        if isinstance(one, StartRole) and isinstance(one.spec, NameserverSpec)
    )
    assert spec.zones[0].records[0].weights == {"10.0.0.1": 3, "10.0.0.2": 1}


def test_a_resolver_that_serves_tls_is_certified_for_its_addresses() -> None:
    plain = ResolverSpec(roots=("10.0.0.2",))
    assert certified(plain, ("10.0.0.1",)) == ()
    for way in ("dot", "doh"):
        spec = plain.model_copy(update={way: True, "names": ("dns.example",)})
        assert certified(spec, ("10.0.0.1",)) == ("dns.example", "10.0.0.1")
