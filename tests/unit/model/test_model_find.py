"""Names of topology files: whatever they mean, nobody sees a traceback."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from netlab.errors import InputError
from netlab.model.find import find, shipped
from netlab.model.load import load


def cause(name: str) -> str:
    with pytest.raises(InputError) as caught:
        find(name)
    return caught.value.cause


def test_a_file_wins_over_a_shipped_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find("minimal") == shipped()["minimal"]
    Path("minimal").write_text("")
    assert find("minimal") == Path("minimal")


def test_what_is_no_file(tmp_path: Path) -> None:
    assert cause("minimul") == "minimul: no such file, and no shipped topology of that name"
    assert cause(str(tmp_path)) == f"{tmp_path}: is a directory"
    os.mkfifo(tmp_path / "fifo")
    assert cause(f"{tmp_path}/fifo") == f"{tmp_path}/fifo: is not a regular file"
    assert cause("a\0b") == "'a\\x00b': embedded null byte"
    assert cause("x" * 300) == f"{'x' * 100!r}: file name too long"
    assert cause("minimal/x") == "minimal/x: no such file, and no shipped topology of that name"


def test_a_file_that_may_not_be_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", refuse)
    monkeypatch.setattr(Path, "read_bytes", refuse)
    monkeypatch.setattr("netlab.model.find.shipped", dict)
    assert cause("secret.yaml") == "secret.yaml: permission denied"
    with pytest.raises(InputError, match=r"secret\.yaml: Permission denied"):
        load(tmp_path / "secret.yaml")
