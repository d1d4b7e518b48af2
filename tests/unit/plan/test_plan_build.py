"""Plans of small topologies, whole, beside their golden files; NETLAB_GOLDEN=write rewrites those."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from netlab.errors import HostError, InputError
from netlab.model.capabilities import Capabilities
from netlab.model.find import shipped
from netlab.model.load import load, loads
from netlab.plan import Plan, plan
from netlab.plan.ops import WIRE, AddRoute, CreateVeth, LoadRuleset, SetQdisc, StartRole, StartWire
from netlab.plan.render import document, lines

GOLDEN = Path(__file__).parent / "golden"
WITHOUT_NETEM = Capabilities(netem=False)
WITH_NETEM = Capabilities(netem=True)
WITHOUT_SEED = Capabilities(netem=True, netem_seed=False)

DUAL_STACK = """\
name: dual
nodes:
  pc:
    interfaces:
      eth0: {address: [192.168.1.10/24, "2001:db8:1::10/64"], gateway: [192.168.1.1, "2001:db8:1::1"]}
  sw: {kind: switch}
  box:
    kind: router
    interfaces:
      lan: [192.168.1.1/24, "2001:db8:1::1/64"]
      wan: [203.0.113.1/30, "2001:db8:2::1/64"]
    nat: [{kind: pat, out: wan}]
  isp:
    kind: router
    interfaces:
      cust: [203.0.113.2/30, "2001:db8:2::2/64"]
      www: [198.51.100.1/29, "2001:db8:3::1/64"]
    forwarding:
      policy: drop
      accept: [{protocol: tcp, port: 80, to: "2001:db8:3::/64", interface: cust}, {protocol: udp}]
  www:
    interfaces: {eth0: [198.51.100.2/29, "2001:db8:3::2/64"]}
    sysctls: {net.ipv4.tcp_ecn: 1}
    roles: [{kind: command, argv: [nginx]}]
links:
  - {ends: [pc, sw]}
  - {ends: [box:lan, sw]}
  - {ends: [box:wan, isp:cust], delay: 5ms, rate: {up: 10mbit, down: 100mbit}}
  - {ends: [isp:www, www], offload: true}
"""


def text(made: Plan) -> str:
    return "\n".join(lines(made)) + "\n"


def compare(name: str, found: str) -> None:
    golden = GOLDEN / name
    if os.environ.get("NETLAB_GOLDEN") == "write":
        golden.write_text(found, encoding="utf-8")
    assert found == golden.read_text(encoding="utf-8"), f"differs from {golden.name}"


@pytest.mark.parametrize("netem", [True, False])
def test_minimal(netem: bool) -> None:
    made = plan(load(shipped()["minimal"]), Capabilities(netem=netem))
    compare(f"minimal.{'netem' if netem else 'wire'}.txt", text(made))


def test_dual_stack_with_translation_and_filter() -> None:
    compare("dual.txt", text(plan(loads(DUAL_STACK, "t"), WITHOUT_NETEM)))


def test_internet() -> None:
    compare("internet.txt", text(plan(load(shipped()["internet"]), WITHOUT_NETEM)))


def test_the_same_topology_has_the_same_plan() -> None:
    one, other = (plan(load(shipped()["internet"]), WITHOUT_NETEM) for _ in range(2))
    assert one == other


def test_a_plan_is_json() -> None:
    made = json.loads(json.dumps(document(plan(load(shipped()["internet"]), WITHOUT_NETEM))))
    assert made["backend"] == "wire"
    assert made["resolvers"]["client-a"] == ["203.0.113.53"]
    assert {one["op"] for one in made["operations"]} >= {"CreateNamespace", "AddRoute", "StartRole"}


def pair(options: str = "", a: str = "10.0.0.1/24") -> str:
    return (
        f"name: t\nnodes:\n  a: {{interfaces: {{eth0: {a}}}}}\n  b: {{interfaces: {{eth0: 10.0.0.2/24}}}}\n"
        f"links:\n  - {{ends: [a, b]{options}}}\n"
    )


@pytest.mark.parametrize(
    ("options", "capabilities", "backend"),
    [
        ("", WITH_NETEM, "none"),
        (", delay: 1ms", WITH_NETEM, "netem"),
        (", delay: 1ms", WITHOUT_SEED, "netem"),
        (", loss: 1%, seed: 7", WITH_NETEM, "netem"),
        (", loss: 1%, seed: 7", WITHOUT_SEED, "wire"),
        (", delay: 1ms", WITHOUT_NETEM, "wire"),
        (", delay: 1ms, backend: wire", WITH_NETEM, "wire"),
        (", backend: wire", WITHOUT_NETEM, "wire"),
        (", rate: 1mbit, duplicate: 1%", WITH_NETEM, "netem"),
        (", rate: 1mbit, duplicate: 1%, delay: 9ms, jitter: 1ms", WITH_NETEM, "wire"),
    ],
)
def test_backends(options: str, capabilities: Capabilities, backend: str) -> None:
    made = plan(loads(pair(options), "t"), capabilities)
    kinds = {type(one) for one in made.operations}
    assert made.backend == backend
    assert (StartWire in kinds, SetQdisc in kinds) == (backend == "wire", backend == "netem")
    assert any(isinstance(one, CreateVeth) and one.b.node == WIRE for one in made.operations) == (
        backend == "wire"
    )


def test_what_the_machine_lacks_is_named() -> None:
    with pytest.raises(HostError, match="a:eth0--b:eth0 asks for netem"):
        plan(loads(pair(", backend: netem"), "t"), WITHOUT_NETEM)
    seeded = pair(", loss: 1%, seed: 7, backend: netem")
    with pytest.raises(HostError, match="a:eth0--b:eth0 asks for netem with a seed"):
        plan(loads(seeded, "t"), WITHOUT_SEED)
    assert plan(loads(seeded, "t"), WITH_NETEM).backend == "netem"
    beyond = ", rate: 1mbit, duplicate: 1%, delay: 9ms, jitter: 1ms, backend: netem"
    with pytest.raises(InputError, match="netem can't duplicate"):
        plan(loads(pair(beyond), "t"), WITH_NETEM)
    with pytest.raises(HostError, match="there is no nft"):
        plan(loads(DUAL_STACK, "t"), Capabilities(netem=False, nft=""))
    with pytest.raises(HostError, match="this kernel has no IPv6"):
        plan(loads(DUAL_STACK, "t"), Capabilities(netem=False, ipv6=False))


def test_a_call_into_a_translated_network_is_refused() -> None:
    hidden = DUAL_STACK.replace("[{kind: command, argv: [nginx]}]", "[{kind: app, database: 'pc:5432'}]")
    hidden = hidden.replace('address: [192.168.1.10/24, "2001:db8:1::10/64"]', "address: [192.168.1.10/24]")
    hidden = hidden.replace(
        'gateway: [192.168.1.1, "2001:db8:1::1"]}', "gateway: 192.168.1.1}\n    roles: [{kind: database}]"
    )
    with pytest.raises(InputError, match="www has no way to any address of pc"):
        plan(loads(hidden, "t"), WITHOUT_NETEM)


def roles(made: Plan) -> dict[str, StartRole]:
    return {f"{one.node}/{one.role}": one for one in made.operations if isinstance(one, StartRole)}


def test_roles_start_after_whom_they_call() -> None:
    order = list(roles(plan(load(shipped()["internet"]), WITHOUT_NETEM)))
    for before, after in [
        ("db/database", "app-1/app"),
        ("app-3/app", "proxy/proxy"),
        ("proxy/proxy", "lb/balancer"),
        ("ns-root/nameserver", "resolver-london/resolver"),
        ("edge-london/cdn", "client-a/client"),
    ]:
        assert order.index(before) < order.index(after), order


def test_a_caller_gets_the_address_on_its_own_side() -> None:
    """The balancer has a leg in the internet and one in the VPC; so who calls it by name differs."""
    source = shipped()["internet"].read_text(encoding="utf-8")
    source = source.replace("origin: 93.184.216.34:443", "origin: lb:443", 1)
    source = source.replace("database: db:5432", "database: lb:443", 1)
    found = roles(plan(loads(source, "t"), WITHOUT_NETEM))
    assert found["edge-london/cdn"].spec.model_dump()["origin"] == "93.184.216.34:443"
    assert found["app-1/app"].spec.model_dump()["database"] == "10.0.0.10:443"


def test_locations_tell_networks_apart() -> None:
    places = plan(load(shipped()["internet"]), WITHOUT_NETEM).locations
    assert places["203.0.113.53/32"] == "London"
    assert places["192.0.2.48/29"] == "Tokyo"
    assert "198.51.100.24/29" not in places  # London's router, Amsterdam's server


def test_static_routes_replace_what_they_cover() -> None:
    static = DUAL_STACK.replace(
        "  www:\n    interfaces",
        "  www:\n    routes: [{to: 203.0.113.0/24, via: 198.51.100.1}]\n    interfaces",
    )
    made = [one for one in plan(loads(static, "t"), WITHOUT_NETEM).operations if isinstance(one, AddRoute)]
    assert [(one.to, one.via) for one in made if one.node == "www" and ":" not in one.to] == [
        ("0.0.0.0/0", "198.51.100.1"),
        ("203.0.113.0/24", "198.51.100.1"),
    ]


def test_only_routers_that_filter_or_translate_have_rulesets() -> None:
    made = plan(load(shipped()["internet"]), WITHOUT_NETEM)
    nodes = [one.node for one in made.operations if isinstance(one, LoadRuleset)]
    assert nodes == ["home-router", "carrier-london", "cloud-edge", "carrier-tokyo"]


def chain(count: int) -> str:
    """Routers in a row, a /31 between neighbours."""
    out = ["name: chain", "nodes:"]
    for number in range(count):
        sides = []
        for name, link, last in (("left", number - 1, 1), ("right", number, 0)):
            if 0 <= link < count - 1:
                sides.append(f"{name}: 10.0.{2 * link // 256}.{2 * link % 256 + last}/31")
        out.append(f"  n{number}: {{kind: router, interfaces: {{{', '.join(sides)}}}}}")
    out.append("links:")
    out += [f"  - {{ends: [n{number}:right, n{number + 1}:left]}}" for number in range(count - 1)]
    return "\n".join(out) + "\n"


def test_a_chain_of_250_routers_is_planned_fast() -> None:
    source = chain(250)
    started = time.process_time()
    made = plan(loads(source, "t"), WITHOUT_NETEM)
    took = time.process_time() - started
    routes = sum(isinstance(one, AddRoute) for one in made.operations)
    assert routes < 250 * 16, "neighbouring subnets must be one route"
    assert took < 1.0, f"{took:.3f} s of CPU; 0.05 s where it was written, 0.35 s is the aim"
