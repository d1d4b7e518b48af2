"""Files of edge functions are read with the topology; what is wrong with them is told with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from netlab.errors import TopologyError
from netlab.model.load import load
from netlab.model.roles import CdnSpec

YAML = """
name: edges
nodes:
  edge:
    interfaces: {{eth0: 10.0.0.1/24}}
    roles:
      - kind: cdn
        names: [x.example]
        origin: app:443
        origin_name: x.example
        functions: [{{call: "{call}"}}]
  app:
    interfaces: {{eth0: 10.0.0.2/24}}
    roles: [{{kind: app, listen: 443, names: [x.example]}}]
links: [{{ends: [edge:eth0, app:eth0]}}]
"""
SOURCE = "import os\nfrom json import dumps as write\nrule = lambda request: None\ndef f(request): pass\n"


def functions(directory: Path, call: str, *, files: bool = True) -> tuple[str, ...]:
    """The sources that a topology's edge has."""
    path = directory / "edges.yaml"
    path.write_text(YAML.format(call=call))
    (spec,) = load(path, files=files).nodes["edge"].roles
    assert isinstance(spec, CdnSpec)
    return tuple(one.source for one in spec.functions)


@pytest.mark.parametrize("name", ["f", "rule", "write", "os"])
def test_a_file_beside_the_topology_is_read_with_it(tmp_path: Path, name: str) -> None:
    (tmp_path / "edge.py").write_text(SOURCE)
    assert functions(tmp_path, f"edge.py:{name}") == (SOURCE,)


def test_a_module_is_not_a_file_and_files_are_not_always_read(tmp_path: Path) -> None:
    assert functions(tmp_path, "package.module:f") == ("",)
    assert functions(tmp_path, "edge.py:f", files=False) == ("",)


@pytest.mark.parametrize(
    ("source", "call", "cause"),
    [
        (None, "edge.py:f", "can't be read"),
        ("def f(request:\n", "edge.py:f", "edge.py:1: "),
        (SOURCE, "edge.py:g", "the file has no function `g`"),
        (SOURCE, "no function", "names no function"),
        ("# " + "x" * (1 << 18), "edge.py:f", "has more than"),
    ],
)
def test_what_is_wrong_has_a_place(tmp_path: Path, source: str | None, call: str, cause: str) -> None:
    if source is not None:
        (tmp_path / "edge.py").write_text(source)
    with pytest.raises(TopologyError) as caught:
        functions(tmp_path, call)
    (problem,) = caught.value.problems
    assert problem.line == 11, problem
    assert cause in problem.message, problem
