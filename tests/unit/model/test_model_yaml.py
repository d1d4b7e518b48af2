"""YAML with places: 1.2 scalars, and everything refused that hides what a file says."""

from __future__ import annotations

import pytest

from netlab.errors import TopologyError
from netlab.model.yaml import BROKEN, parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("10:22:33:44:55:16", "10:22:33:44:55:16"),
        ("2024-01-01", "2024-01-01"),
        ("true", True),
        ("null", None),
        ("~", None),
        ("-12", -12),
        ("010", 10),
        ("0x1f", 31),
        ("0o17", 15),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("'1'", "1"),
        ('"true"', "true"),
        ("20ms", "20ms"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    found = parse(f"key: {text}", "f").root["key"]
    assert found == value
    assert type(found) is type(value)


def test_every_path_has_a_place() -> None:
    document = parse("a:\n  - b: 1\n    c: [x, y]\n", "f")
    assert document.root == {"a": [{"b": 1, "c": ["x", "y"]}]}
    assert document.keys["a", 0, "c"] == (3, 5)
    assert document.values["a", 0, "c", 1] == (3, 12)
    assert document.place(("a", 0, "nothing", "here")) == (2, 5)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: 2\na: 3", "f:3:1: key `a` again; it is already in line 1"),
        ("a: &x 1", "f:1:4: anchor `&x`; write the value out where it is used"),
        ("a: *x", "f:1:4: alias `*x`; write the value out"),
        ("a: !!str 1", "f:1:4: tag `!!str`; leave it out; put text in quotes"),
        ("a: 1\n---\nb: 2", "f:2:1: a second document; one file holds one topology"),
    ],
)
def test_refuses_what_hides_the_meaning(text: str, problem: str) -> None:
    assert [str(one) for one in parse(text, "f").problems] == [problem]


def test_broken_values_leave_the_rest_readable() -> None:
    assert parse("a: *x\nb: 1", "f").root == {"a": BROKEN, "b": 1}


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("a: [1", "f:2:1: broken YAML: while parsing a flow sequence"),
        ("a:\n\t- b", "f:2:1: broken YAML: while scanning for the next token"),
        ("a: b: c", "f:1:5: broken YAML: mapping values are not allowed"),
        ("a: 1\nb: \x01", "f:2:4: broken YAML: control characters are not allowed"),
        ("? [1]\n: 2", "f:1:3: broken YAML: a key must be plain text"),
        ("[" * 100, "f:1:33: broken YAML: nested deeper than 32 levels"),
    ],
)
def test_broken_yaml_has_its_place(text: str, start: str) -> None:
    with pytest.raises(TopologyError) as caught:
        parse(text, "f")
    assert str(caught.value).startswith(start)


def test_a_tab_is_named() -> None:
    with pytest.raises(TopologyError, match="indent with spaces, not tabs"):
        parse("a:\n\t- b", "f")
