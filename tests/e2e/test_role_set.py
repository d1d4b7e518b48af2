"""Settings of running roles, by the installed command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from netlab.lab.client import LabClient
from tests.e2e.conftest import Done, Lab, own_lab

APPS = """
name: apps
nodes:
  a: {interfaces: {eth0: 10.77.0.1/24}, roles: [{kind: app}, {kind: ocsp}]}
  b: {interfaces: {eth0: 10.77.0.2/24}, roles: [{kind: command, argv: [sleep, "1000"]}]}
  c: {interfaces: {eth0: 10.77.0.3/24}}
  lb:
    interfaces: {eth0: 10.77.0.4/24}
    roles: [{kind: balancer, listen: 80, upstreams: [a:8080, "10.77.0.2:8080"]}]
  sw: {kind: switch}
links:
  - {ends: [lb:eth0, sw]}
  - {ends: [a:eth0, sw]}
  - {ends: [b:eth0, sw]}
  - {ends: [c:eth0, sw]}
"""


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    yield from own_lab(tmp_path_factory.mktemp("apps"), APPS)


def role(lab: Lab, *words: str) -> Done:
    return lab.netlab("role", *words, "--lab", lab.name)


def test_what_a_role_is_can_be_shown(apps: Lab) -> None:
    shown = role(apps, "show", "a", "--json").json()["roles"]
    assert [(one["role"], one["state"], one["settings"]) for one in shown] == [
        ("ocsp", "ready", {}),  # in the order in which they started
        ("app", "ready", {}),
    ]
    assert role(apps, "show", "a.ocsp", "--json").json()["roles"][0]["spec"]["listen"] == 80
    assert "a.app: ready" in role(apps, "show", "a.app").stdout


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (("a.ocsp", "colour=red"), "role ocsp has no settings"),  # the role's own answer
        (("a", "colour=red"), "say which one: a.ocsp, a.app"),
        (("b", "colour=red"), "is a program, whose settings netlab can't change"),
        (("c", "colour=red"), "node c has no role"),
        (("a.cdn", "colour=red"), "node a has no role 'cdn'"),
        (("z", "colour=red"), "the lab has no node 'z'"),
        (("a.app", "colour"), "'colour' is not KEY=VALUE"),
        (("a.app", "colour=red", "colour=blue"), "colour is given twice"),
    ],
)
def test_what_cannot_be_set_says_why(apps: Lab, words: tuple[str, ...], cause: str) -> None:
    done = role(apps, "set", *words)
    assert done.status == 2, done
    assert cause in done.stderr, done
    assert apps.status()["healthy"], apps.status()


def test_a_change_lasts_until_the_role_ends(apps: Lab) -> None:
    words = ("algorithm=weighted", "weights=a:3,b:1")
    done = role(apps, "set", "lb", *words, "--json")
    assert done.status == 0, done
    changed = done.json()
    assert changed["settings"] == {"algorithm": "weighted", "weights": "a:3,b:1"}
    assert changed["before"]["algorithm"] == "round-robin", changed
    assert role(apps, "show", "lb", "--json").json()["roles"][0]["settings"] == changed["settings"]
    events = (apps.state / "events.jsonl").read_text().splitlines()
    told = [one for one in map(json.loads, events) if one["event"] == "settings-changed"]
    assert [one["settings"] for one in told] == [changed["settings"]]
    LabClient.connect(apps.name).restart("lb", "balancer")
    assert role(apps, "show", "lb", "--json").json()["roles"][0]["settings"] == {}


def test_a_change_that_is_refused_changes_nothing(apps: Lab) -> None:
    done = role(apps, "set", "lb", "algorithm=random", "weights=zz:1")
    assert done.status == 2, done
    assert "zz" in done.stderr, done
    assert role(apps, "show", "lb", "--json").json()["roles"][0]["settings"] == {}


def test_a_paused_role_does_not_keep_the_lab_waiting(apps: Lab) -> None:
    client = LabClient.connect(apps.name)
    with client.holding_fault(("pause", "lb")), ThreadPoolExecutor() as pool:
        asked = pool.submit(role, apps, "set", "lb", "algorithm=random")
        assert client.status()["state"] == "up"
        done = asked.result()
    assert done.status == 1, done
    assert "did not answer within 5 s" in done.stderr, done
    client.restart("lb", "balancer")
