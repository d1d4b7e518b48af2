"""Bad topologies: every problem at once, each with its place and the nearest right thing."""

# ruff: noqa: E501 - messages are compared whole, on one line

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netlab.errors import InputError, Problem, TopologyError
from netlab.model.find import shipped
from netlab.model.impairment import Impairment
from netlab.model.load import load, loads

PAIR = """\
name: t
nodes:
  a: {interfaces: {eth0: 10.0.0.1/24}}
  b: {interfaces: {eth0: 10.0.0.2/24}}
links:
"""


def problems(text: str) -> list[str]:
    """What is wrong with `text`, without the file's name."""
    with pytest.raises(TopologyError) as caught:
        loads(text, "t")
    found = [str(problem).removeprefix("t:") for problem in caught.value.problems]
    places = [(problem.line, problem.column) for problem in caught.value.problems]
    assert places == sorted(places), found
    return found


def link(text: str) -> list[str]:
    """What is wrong with a link between two good hosts; the link is line 6."""
    return problems(f"{PAIR}  - {{ends: [a, b], {text}}}\n")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("dealy: 1ms", "6:20: unknown key `dealy`; did you mean `delay`?"),
        ("delay: 20", "6:27: 20 is not a duration; write a number and a unit, such as 20ms"),
        ("delay: 20mbit", "6:27: '20mbit' is not a duration; write a number and a unit, such as 20ms"),
        ("delay: {up: 1x}", "6:32: '1x' is not a duration; write a number and a unit, such as 20ms"),
        ("delay: {upp: 1ms}", "6:28: unknown key `upp`; did you mean `up`?"),
        ("delay: 11m", "6:27: delay 660s is past 600s"),
        ("rate: 0", "6:26: 0 is not a rate; write a number and a unit, such as 10mbit"),
        ("rate: 0mbit", "6:26: `rate` must be more than 0"),
        ("loss: 101%", "6:26: 101% is past 100%"),
        ("loss: 0.5", "6:26: 0.5 is not a percentage; write a number and %, such as 0.1%"),
        ("limit: 0", "6:27: `limit` is 0; the least is 1"),
        ("mtu: 67", "6:25: `mtu` is 67; the least is 68"),
        ("offload: no", "6:29: `offload` must be true or false, not `no`"),
        ("backend: netm", "6:29: `netm` is not right for `backend`; did you mean `netem`?"),
        ("medium: wifi6", "6:28: unknown medium `wifi6`; did you mean `wifi-6`?"),
        (
            "delay: 1ms, jitter: 2ms",
            "6:40: jitter 2ms is more than the delay of 1ms; a frame can't arrive before it is sent",
        ),
    ],
)
def test_links(text: str, problem: str) -> None:
    assert link(text) == [problem]


@pytest.mark.parametrize(
    ("ends", "problem"),
    [
        ("[a]", "6:12: a link has two ends: [node:interface, node:interface]"),
        ("[a:x:y, b]", "6:13: `a:x:y` is no end of a link; write node:interface"),
        ("[aa, b]", "6:13: unknown node `aa`; did you mean `a`?"),
        ("[a:eth1, b]", "6:13: node `a` has no interface `eth1`; did you mean `eth0`?"),
    ],
)
def test_dangling_ends(ends: str, problem: str) -> None:
    assert problems(f"{PAIR}  - {{ends: {ends}}}\n") == [problem]


def test_an_interface_is_in_one_link() -> None:
    text = f"{PAIR}  - {{ends: [a:eth0, b:eth0]}}\n  - {{ends: [a:eth0, b]}}\n"
    assert problems(text) == [
        "7:13: `a:eth0` is already in the link of line 6",
        "7:21: every interface of node `b` is in another link; give it one more",
    ]


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ("  a b: {}", ["3:3: `a b` is no name for a node; use letters, digits and -, at most 63"]),
        ("  a: {kind: swich}", ["3:13: `swich` is not right for `kind`; did you mean `switch`?"]),
        ("  a: {interfaces: {eth0: 10.0.0.1}}", ["3:26: `10.0.0.1` is not an address with its prefix length; write for example 192.168.1.10/24"]),
        ("  a: {roles: [{kind: clint}]}", ["3:22: unknown role kind `clint`; did you mean `client`?"]),
        ("  a: {roles: [{requests: []}]}", ["3:15: key `kind` is missing; a role says which it is, such as `kind: client`"]),
        ("  a: {roles: [{kind: cdn, names: [x]}]}", ["3:15: key `origin` is missing", "3:15: key `origin_name` is missing"]),
        ("  a: {roles: [{kind: proxy, names: [x], routes: []}]}", ["3:49: `routes` is empty; it needs at least 1"]),
        ("  s: {kind: switch, roles: [{kind: client}]}", ["3:21: a switch has no roles; put them on a host"]),
        ("  a: {nat: [{out: x}]}", ["3:7: a host does not forward; say `kind: router`", "3:19: node `a` has no interface `x`"]),
        ("  a: {sysctls: {kernel.panic: 1}}", ["3:17: `kernel.panic` is no network sysctl; only those under net. belong to a node"]),
        ("  a: {interfaces: {eth0: }}", ["3:20: interface `eth0` is in no link; link it, or leave it out"]),
        ("  a: {interfaces: {sixteen-letters-: }}", ["3:20: `sixteen-letters-` can't be an interface's name; it has 16 characters; the kernel takes 15"]),
        ("  a: {interfaces: {lo: }}", ["3:20: `lo` can't be an interface's name; the kernel or netlab has that name already"]),
    ],
)  # fmt: skip
def test_nodes(nodes: str, expected: list[str]) -> None:
    assert problems(f"name: t\nnodes:\n{nodes}\n") == expected


def two(a: str, b: str, more: str = "") -> list[str]:
    """Two linked nodes with the given interface eth0 each, in lines 3 and 4."""
    text = f"name: t\nnodes:\n  a: {{interfaces: {{eth0: {a}}}}}\n  b: {{interfaces: {{eth0: {b}}}}}\n{more}"
    return problems(text + "links:\n  - {ends: [a, b]}\n")


def test_duplicate_addresses_and_macs() -> None:
    mac = '{address: 10.0.0.1/24, mac: "02:00:00:00:00:01"}'
    assert two(mac, mac) == [
        "4:36: address 10.0.0.1 is already on a:eth0",
        "4:54: MAC address 02:00:00:00:00:01 is already on a:eth0",
    ]


@pytest.mark.parametrize(
    ("a", "b", "problem"),
    [
        ("10.0.0.1/24", "10.0.1.1/24", "4:26: 10.0.1.1/24 is not in the subnet of a:eth0 on the same segment; that is 10.0.0.0/24"),
        ("10.0.0.1/24", "10.0.0.2/16", "4:26: 10.0.0.2/16 is not in the subnet of a:eth0 on the same segment; that is 10.0.0.0/24"),
        ("10.0.0.1/24", "10.0.0.0/24", "4:26: 10.0.0.0 is the address of the network 10.0.0.0/24 itself; hosts have 10.0.0.1 to 10.0.0.254"),
        ("10.0.0.1/24", "10.0.0.255/24", "4:26: 10.0.0.255 is the broadcast address of 10.0.0.0/24; hosts have 10.0.0.1 to 10.0.0.254"),
        ("10.0.0.1/24", "{address: 10.0.0.2/24, gateway: 10.0.1.1}", "4:58: 10.0.1.1 is not in a subnet of `b`; it reaches 10.0.0.0/24"),
        ("10.0.0.1/24", "{address: 10.0.0.2/24, gateway: 10.0.0.3}", "4:58: nobody on the segment of b:eth0 has 10.0.0.3; there is no router on it"),
        ("10.0.0.1/24", "{address: 10.0.0.2/24, gateway: 10.0.0.1}", "4:58: 10.0.0.1 is on `a`, which does not forward; say `kind: router` there"),
        ("10.0.0.1/24", "{address: 10.0.0.2/24, mac: '01:00:00:00:00:01'}", "4:54: `01:00:00:00:00:01` is a group address; the first byte of an interface's own MAC is even"),
    ],
)  # fmt: skip
def test_addresses_of_a_segment(a: str, b: str, problem: str) -> None:
    assert two(a, b) == [problem]


def test_overlapping_subnets_on_different_segments() -> None:
    more = "  c: {interfaces: {eth0: 10.0.0.129/25}}\n  d: {interfaces: {eth0: 10.0.0.130/25}}\n"
    text = f"name: t\nnodes:\n{PAIR.split('nodes:', 1)[1].removesuffix('links:').strip(chr(10))}"
    text = text.removesuffix("links:") + more + "links:\n  - {ends: [a, b]}\n  - {ends: [c, d]}\n"
    assert problems(text) == [
        "5:26: subnet 10.0.0.128/25 overlaps 10.0.0.0/24 of a:eth0; they are on different segments, so they need different subnets"
    ]


def home(name: str, public: str, private: str = "192.168.1") -> str:
    return (
        f"  pc{name}: {{interfaces: {{eth0: {private}.10/24}}}}\n"
        f"  box{name}: {{kind: router, interfaces: {{lan: {private}.1/24, wan: {public}}}, nat: [{{out: wan}}]}}\n"
    )


HOMES = "links:\n  - {ends: [pc1, box1:lan]}\n  - {ends: [pc2, box2:lan]}\n  - {ends: [box1:wan, box2:wan]}\n"


def test_private_addresses_repeat_behind_different_translations() -> None:
    topology = loads("name: t\nnodes:\n" + home("1", "192.0.2.1/30") + home("2", "192.0.2.2/30") + HOMES, "t")
    assert len(topology.nodes) == 4


def test_a_translating_router_has_different_subnets_on_its_sides() -> None:
    text = "name: t\nnodes:\n" + home("1", "192.168.1.77/24") + home("2", "192.168.1.78/24", "10.0.0") + HOMES
    assert problems(text) == [
        "4:63: subnet 192.168.1.0/24 overlaps that of the router's own box1:lan",
    ]


def test_a_loop_of_switches() -> None:
    text = "name: t\nnodes: {s: {kind: switch}, t: {kind: switch}}\nlinks:\n  - {ends: [s, t]}\n  - {ends: [s, t]}\n"
    assert problems(text) == [
        "5:5: this link closes a loop of switches, in which a broadcast would circle for ever; leave one of the links out"
    ]


ROLES = """\
name: t
nodes:
  a:
    location: London
    interfaces: {eth0: 10.0.0.1/24}
    resolvers: [b, 10.0.0.77, nobody]
    roles:
      - {kind: app, database: b:5432}
      - {kind: balancer, listen: 8080, upstreams: ["c:1", "b:99999", "10.0.0.2:53", "10.0.0.2:54"]}
      - {kind: resolver, roots: [a, b]}
  b:
    interfaces: {eth0: 10.0.0.2/24}
    roles:
      - kind: nameserver
        zones:
          - name: .
            records:
              - {name: x, type: A, data: c}
              - {name: x, type: A, geo: {Lndon: a}}
              - {name: x, type: AAAA, data: a}
              - {name: x, type: A, data: "::1"}
              - {name: x, type: NS}
links:
  - {ends: [a, b]}
"""


def test_roles_refer_to_what_is_there() -> None:
    assert problems(ROLES) == [
        "6:20: nobody has address 10.0.0.77; did you mean `10.0.0.2`?",
        "6:31: unknown node `nobody`; nodes: a, b",
        "8:31: nobody listens on b port 5432; `b` listens on 53",
        "9:34: port 8080 of `a` is taken by its app; say `listen:` with another",
        "9:52: unknown node `c`; nodes: a, b",
        "9:59: 99999 is not a port; 1 to 65535",
        "9:85: nobody listens on 10.0.0.2 port 54; `b` listens on 53",
        "18:42: unknown node `c`; nodes: a, b",
        "19:42: no node is in `Lndon`; did you mean `London`?",
        "20:45: node `a` has no IPv6 address; no AAAA record then",
        "21:42: ::1 is not an IPv4 address, as A records hold",
        "22:17: record `x` has no data; say `data:`",
    ]


def test_a_lab_has_one_ocsp_responder() -> None:
    text = """\
name: t
nodes:
  a: {interfaces: {eth0: 10.0.0.1/24}, roles: [{kind: ocsp}]}
  b: {interfaces: {eth0: 10.0.0.2/24}, roles: [{kind: ocsp, listen: 8080}]}
links:
  - {ends: [a, b]}
"""
    assert problems(text) == ["4:55: a lab has one OCSP responder, and `a` is it; leave one of them out"]


def test_broken_shapes_cause_no_follow_up_errors() -> None:
    text = """\
name: t
nodes:
  a: {kind: swich}
  b: {interfces: {eth0: 10.0.0.1/24}}
  c: {interfaces: {eth0: 10.0.0/24}, roles: [{kind: databse}]}
  d: {interfaces: {eth0: 10.0.0.2/24}, roles: [{kind: app, database: "c:5432"}]}
links:
  - {ends: [b:eth0, a]}
  - {ends: [c, d], delay: 1}
"""
    assert problems(text) == [
        "3:13: `swich` is not right for `kind`; did you mean `switch`?",
        "4:7: unknown key `interfces`; did you mean `interfaces`?",
        "5:26: `10.0.0/24` is not an address with its prefix length; write for example 192.168.1.10/24",
        "5:53: unknown role kind `databse`; did you mean `database`?",
        "9:27: 1 is not a duration; write a number and a unit, such as 20ms",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "1:1: the file is empty; a topology has a name and nodes"),
        ("# nothing\n", "1:1: the file is empty; a topology has a name and nodes"),
        ("- 1\n", "1:1: the file must be a mapping (`key: value`), not a list"),
        ("name: t\n", "1:1: key `nodes` is missing"),
        ("name: t\nnodes: []\n", "2:8: `nodes` must be a mapping (`key: value`), not a list"),
        ("name: 5\nnodes: {}\n", "1:7: `name` must be text; put `5` in quotes"),
    ],
)
def test_the_file_as_a_whole(text: str, problem: str) -> None:
    assert problems(text) == [problem]


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        load(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"name: t\nx: caf\xe9\n")
    with pytest.raises(TopologyError, match=r"latin\.yaml:2:7: byte 0xe9 is not UTF-8"):
        load(tmp_path / "latin.yaml")


def test_media_and_overrides_become_impairments() -> None:
    text = f"{PAIR}  - {{ends: [a, b], medium: dsl, delay: 2ms, rate: {{up: 10mbit}}, loss: {{down: 1%}}}}\n"
    (one,) = loads(text, "t").links
    assert one.up == Impairment(2_000_000, 500_000, 0.0, 10_000_000, 1000)
    assert one.down == Impairment(2_000_000, 500_000, 0.01, 100_000_000, 1000)
    assert one.mtu == 1492


def test_a_queue_holds_twice_the_bandwidth_delay_product() -> None:
    (one,) = loads(f"{PAIR}  - {{ends: [a, b], delay: 50ms, rate: 1gbit}}\n", "t").links
    assert one.up.limit_packets == -(-2 * 50_000_000 // (8 * 1500))  # 50 Mbit in flight


def test_switch_ports_are_named_after_their_peers() -> None:
    long = "a-node-with-a-long-name"
    text = f"""\
name: t
nodes:
  s: {{kind: switch}}
  {long}-1: {{interfaces: {{eth0: 10.0.0.1/24}}}}
  {long}-2: {{interfaces: {{eth0: 10.0.0.2/24}}}}
  br0: {{interfaces: {{eth0: 10.0.0.3/24}}}}
links:
  - {{ends: [{long}-1, s]}}
  - {{ends: [{long}-2, s]}}
  - {{ends: [br0, s]}}
"""
    assert list(loads(text, "t").nodes["s"].interfaces) == ["a-node-with-a-l", "a-node-with-a-2", "br0-2"]


@pytest.mark.parametrize("name", list(shipped()))
def test_shipped_topologies_are_valid(name: str) -> None:
    assert load(shipped()[name]).name == name


_SHIPPED = shipped()["internet"].read_text(encoding="utf-8")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_damaged_file_is_valid_or_has_problems(data: st.DataObject) -> None:
    text = _SHIPPED
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        length = data.draw(st.integers(0, 12))
        text = (
            text[:at]
            + data.draw(st.sampled_from([*"{}[]:,-#'\"\t &*!0\n", "x: ", "null", "::1"]))
            + text[at + length :]
        )
    for problem in _problems_of(text):
        assert problem.line >= 1, problem
        assert problem.message, problem


def _problems_of(text: str) -> tuple[Problem, ...]:
    """None where it is valid; anything but a TopologyError fails the test."""
    try:
        loads(text, "t")
    except TopologyError as error:
        return error.problems
    return ()
