"""The control socket's lines, and errors that keep their class, cause and remedy on the way."""

from __future__ import annotations

import json

import pytest

from netlab.errors import HostError, InputError, KernelError, LabError, NetlabError, RoleError
from netlab.lab.control import Lines, decode, decode_error, encode, encode_error


@pytest.mark.parametrize("size", [1, 3, 100])
def test_lines_in_pieces(size: int) -> None:
    lines = Lines()
    data = b'{"op":"status"}\n{"op":"down"}\nrest'
    found = [line for i in range(0, len(data), size) for line in lines.receive(data[i : i + size])]
    assert found == [b'{"op":"status"}', b'{"op":"down"}']
    assert lines.rest() == b"rest"


def test_a_line_without_end() -> None:
    lines = Lines(limit=10)
    with pytest.raises(ValueError, match="more than 10 bytes"):
        list(lines.receive(b"x" * 11))


@pytest.mark.parametrize("line", [b"", b"[]", b"1", b"{", b"\xff"])
def test_what_is_no_request(line: bytes) -> None:
    with pytest.raises(ValueError):
        decode(line)


@pytest.mark.parametrize(
    "error",
    [
        LabError("it is gone", "start it"),
        HostError("no root", "sudo"),
        InputError("bad", ""),
        KernelError("add route", 17, "it exists", "remove it"),
        RoleError("b", "app", "exited with 1", ("line 1", "line 2")),
    ],
)
def test_errors_arrive_as_they_were(error: NetlabError) -> None:
    arrived = decode_error(json.loads(encode(encode_error(error)))["error"])
    assert type(arrived) is type(error)
    assert isinstance(arrived, NetlabError)
    assert (str(arrived), arrived.cause, arrived.remedy) == (str(error), error.cause, error.remedy)
    assert vars(arrived) == vars(error)


def test_a_bug_arrives_with_its_traceback() -> None:
    try:
        _ = 1 / 0
    except ZeroDivisionError as error:
        arrived = decode_error(encode_error(error)["error"])
    assert type(arrived) is RuntimeError
    assert "test_a_bug_arrives_with_its_traceback" in str(arrived)


@pytest.mark.parametrize("kind", ["TopologyError", "NoSuchError", "NetlabError", "os", "Problem"])
def test_an_error_of_another_kind_is_still_readable(kind: str) -> None:
    arrived = decode_error({"kind": kind, "cause": "why", "remedy": "what"})
    assert isinstance(arrived, NetlabError)
    assert (arrived.cause, arrived.remedy) == ("why", "what")
