"""Settings of running roles, by the installed command."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Done, Lab, own_lab

APPS = """
name: apps
nodes:
  a: {interfaces: {eth0: 10.77.0.1/24}, roles: [{kind: app}, {kind: ocsp}]}
  b: {interfaces: {eth0: 10.77.0.2/24}, roles: [{kind: command, argv: [sleep, "1000"]}]}
  c: {interfaces: {eth0: 10.77.0.3/24}}
  sw: {kind: switch}
links:
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
