"""State directories: who owns a name, dead owners, and names that can't be."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from netlab.errors import InputError, LabError
from netlab.lab import state
from netlab.lab.state import LabRecord, ProcessId


def own_record(root: Path, name: str) -> LabRecord:
    record = state.read_record(root / name)
    assert record is not None
    return record


def overwrite(directory: Path, record: LabRecord) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    state.write_record(descriptor, record)
    os.close(descriptor)


def test_claim_owns_the_name_until_it_is_removed(tmp_path: Path) -> None:
    root = tmp_path / "labs"
    directory = state.claim("one", "/t.yaml", root)
    record = own_record(root, "one")
    assert (record.name, record.topology, record.owner.pid) == ("one", "/t.yaml", os.getpid())
    assert directory.stat().st_mode & 0o777 == 0o700
    with pytest.raises(LabError, match="is taken"):
        state.claim("one", "/t.yaml", root)
    assert state.all_labs(root) == [(directory, record, True)]
    state.remove(directory)
    assert not root.exists()


@pytest.mark.parametrize("change", ["start_time", "boot", "pid"])
def test_a_recycled_pid_is_not_the_owner(tmp_path: Path, change: str) -> None:
    directory = state.claim("one", "/t.yaml", tmp_path / "labs")
    record = own_record(directory.parent, "one")
    other = {
        "start_time": replace(record.owner, start_time=record.owner.start_time + 1),
        "boot": replace(record.owner, boot="another"),
        "pid": replace(record.owner, pid=2**22 + 1),
    }
    overwrite(directory, replace(record, owner=other[change]))
    assert [alive for _, _, alive in state.all_labs(directory.parent)] == [False]
    (directory / "old").touch()
    assert state.claim("one", "/t.yaml", directory.parent) == directory
    assert not (directory / "old").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"name": "one"}', '{"pid": "x"}'])
def test_a_broken_record_owns_nothing(tmp_path: Path, text: str) -> None:
    directory = state.claim("one", "/t.yaml", tmp_path / "labs")
    (directory / "lab.json").write_text(text, encoding="utf-8")
    assert state.read_record(directory) is None
    assert state.remove_if_dead(directory)
    assert not directory.exists()


def test_a_live_lab_is_not_removed_as_dead(tmp_path: Path) -> None:
    directory = state.claim("one", "/t.yaml", tmp_path / "labs")
    assert not state.remove_if_dead(directory)
    assert directory.exists()


@pytest.mark.parametrize("name", ["", "A", "a b", "../a", "a/b", ".", "-a", "a-", "a" * 33, "ä", "a\n"])
def test_names_that_no_lab_can_have(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name of a lab"):
        state.claim(name, "/t.yaml", tmp_path / "labs")
    assert not (tmp_path / "labs").exists()


@pytest.mark.parametrize("name", ["a", "0", "internet", "my-lab_2", "a" * 32])
def test_names_that_a_lab_can_have(name: str) -> None:
    assert state.check_name(name) == name


def test_the_start_time_of_a_process_with_an_odd_name() -> None:
    fields = " ".join(str(number) for number in range(4, 53))
    assert state.parse_start_time(f"7 (a) b) () S {fields}") == 22
    assert state.parse_start_time(f"7 (a) Z {fields}") is None


def test_a_process_that_ended_is_waited_for() -> None:
    assert ProcessId.of(os.getpid()).alive()
    assert not state.wait_for_end(ProcessId.of(os.getpid()), timeout_s=0)
    assert state.wait_for_end(replace(ProcessId.of(os.getpid()), start_time=1), timeout_s=0)
    with pytest.raises(ProcessLookupError):
        ProcessId.of(2**22 + 1)
