"""Run directories: made for one run, and gone with it if it fails."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from netlab.errors import InputError
from netlab.scenarios.folder import default_folder, run_folder


def fill_and_raise(folder: Path, error: BaseException) -> None:
    (folder / "hops").mkdir()
    (folder / "hops" / "a.pcapng").touch()
    (folder / "run.json").touch()
    raise error


def test_a_run_that_fails_leaves_nothing_that_it_made(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "rest-1"
    with pytest.raises(KeyboardInterrupt), run_folder(folder) as made:
        fill_and_raise(made, KeyboardInterrupt())
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_before_stays(tmp_path: Path) -> None:
    (tmp_path / "runs" / "older").mkdir(parents=True)
    with pytest.raises(ValueError, match="x"), run_folder(tmp_path / "runs" / "rest-2"):
        raise ValueError("x")
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["older"]
    empty = tmp_path / "given"
    empty.mkdir()
    with pytest.raises(ValueError, match="x"), run_folder(empty) as folder:
        fill_and_raise(folder, ValueError("x"))
    assert list(empty.iterdir()) == []


def test_a_directory_with_something_in_it_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(InputError, match="has something in it"), run_folder(tmp_path):
        raise AssertionError("the body must not run")
    assert (tmp_path / "mine").read_text() == "precious"
    with pytest.raises(InputError, match="mine"), run_folder(tmp_path / "mine" / "deep"):
        raise AssertionError("the body must not run")


def test_a_name_that_is_taken_gets_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("time.strftime", lambda _form: "20260101-000000")
    first = default_folder("rest")
    assert str(first) == "runs/rest-20260101-000000"
    first.mkdir(parents=True)
    assert str(default_folder("rest")) == "runs/rest-20260101-000000-2"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_results_belong_to_who_called_sudo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", "12345")
    monkeypatch.setenv("SUDO_GID", "12346")
    target = tmp_path / "not-ours"
    target.touch()
    with run_folder(tmp_path / "runs" / "one") as folder:
        (folder / "hops").mkdir()
        (folder / "hops" / "a").touch()
        (folder / "link").symlink_to(target)
    given = [tmp_path / "runs", folder, folder / "hops", folder / "hops" / "a", folder / "link"]
    assert {(path.lstat().st_uid, path.lstat().st_gid) for path in given} == {(12345, 12346)}
    assert {path.stat().st_uid for path in (tmp_path, target)} == {os.geteuid()}
