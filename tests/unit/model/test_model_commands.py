"""Files of programs: where they come from, and what stands in them for addresses."""

from __future__ import annotations

from pathlib import Path

import pytest

from netlab.errors import TopologyError
from netlab.model.capabilities import Capabilities
from netlab.model.load import load
from netlab.model.placeholders import fill, placeholders
from netlab.model.roles import CommandSpec
from netlab.plan.build import plan
from netlab.plan.ops import StartRole

TOPOLOGY = """\
name: t
nodes:
  app-1: {{interfaces: {{eth0: 10.0.0.51/24}}}}
  web:
    interfaces: {{eth0: 10.0.0.1/24}}
    roles:
      - kind: command
        argv: [run, "{{{{app-1}}}}"]
        {keys}
links:
  - {{ends: [app-1, web]}}
"""
CAPABILITIES = Capabilities(netem=False, ipv6=True, nft="1.0")


def written(directory: Path, keys: str) -> Path:
    path = directory / "t.yaml"
    path.write_text(TOPOLOGY.format(keys=keys), encoding="utf-8")
    return path


def problems(directory: Path, keys: str) -> list[str]:
    with pytest.raises(TopologyError) as caught:
        load(written(directory, keys))
    return [str(one).replace(f"{directory}/", "") for one in caught.value.problems]


def test_placeholders_have_places_and_are_filled_once() -> None:
    text = "a {{app-1}}\n{ {{ x }} {{no such}}"
    assert list(placeholders(text)) == [(1, 3, "app-1"), (2, 3, "x")]
    assert fill(text, {"app-1": "{{x}}"}.get) == "a {{x}}\n{ {{ x }} {{no such}}"


def test_a_program_gets_its_files_with_addresses_in_them(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "web.conf").write_text("to {{app-1}}:8080, me {{web}}, {{NETLAB_PEM}}\n")
    keys = 'config: [conf/web.conf]\n        names: [web.example]\n        files: {more: "{{app-1}}"}'
    made = plan(load(written(tmp_path, keys)), CAPABILITIES)
    (start,) = [op for op in made.operations if isinstance(op, StartRole)]
    assert isinstance(start.spec, CommandSpec)
    assert start.spec.argv == ("run", "10.0.0.51")
    assert start.spec.files == {
        "more": "10.0.0.51",
        "web.conf": "to 10.0.0.51:8080, me 127.0.0.1, {{NETLAB_PEM}}\n",
    }
    assert start.names == ("web.example",)


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        (
            'files: {x: "a\\n{{ap-1}}"}',
            "t.yaml:9:20: line 2 of it: unknown node `ap-1`; did you mean `app-1`?",
        ),
        ('env: {X: "{{ap-1}}"}', "t.yaml:9:18: unknown node `ap-1`; did you mean `app-1`?"),
        ("config: [web.conf]", "web.conf:2:5: unknown node `zz`"),
        ('files: {x: "{{NETLAB_KEY}}"}', "the role has no certificate, and so no `{{NETLAB_KEY}}`"),
        ("config: [none.conf]", "t.yaml:9:18: none.conf: No such file or directory"),
        ('config: [web.conf]\n        files: {web.conf: ""}', "t.yaml:9:18: the role has two files web.conf"),
        ('files: {../x: ""}', "t.yaml:9:17:"),
        ('files: {.tls: ""}', "t.yaml:9:17:"),
    ],
)
def test_what_is_wrong_has_its_place(tmp_path: Path, keys: str, found: str) -> None:
    (tmp_path / "web.conf").write_text("one\ntwo {{zz}}\n")
    said = problems(tmp_path, keys)
    assert any(found in one for one in said), said


def test_a_copy_of_a_topology_elsewhere_has_no_files(tmp_path: Path) -> None:
    topology = load(written(tmp_path, "config: [none.conf]"), files=False)
    assert topology.nodes["web"].roles[0].model_dump()["files"] == {}
