"""The command line without a lab: verbs, exit codes, and how errors look."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from netlab.cli import app, errors
from netlab.cli.app import VERBS, main
from netlab.errors import HostError, InputError, LabError
from netlab.model.find import find

BAD = "name: t\nnodes:\n  a: {kind: hst}\nlinks: []\nlnks: []\n"


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.yaml"
    path.write_text(BAD)
    return path


def test_help_lists_every_verb_and_imports_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for verb, (_, summary) in VERBS.items():
        assert verb in out
        assert summary in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["report", "nowhere", "--json", "--html"], "--json prints, and --html writes a file"),
        (["trace", "zzzz"], "try: see: netlab trace --list"),
    ],
)
def test_what_can_not_be_meant_is_said(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert said in capsys.readouterr().err


def test_help_needs_nothing_heavy() -> None:
    """The measure of `netlab --help` is 0.25 s; what makes it slow is imports."""
    code = (
        "import sys; from netlab.cli import main; main(['--help']);"
        "print([m for m in ('pydantic', 'yaml', 'rich', 'scapy', 'pyroute2', 'asyncio') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout


def test_unknown_verbs_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validat"]) == 2
    assert "Did you mean 'validate'?" in capsys.readouterr().err
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("netlab ")


def test_validate(bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "minimal"]) == 0
    assert "valid: minimal, 2 nodes, 1 links" in capsys.readouterr().out
    assert main(["validate", str(bad)]) == 2
    caught = capsys.readouterr()
    assert caught.out == ""
    assert caught.err.splitlines() == [
        f"{bad}:3:13: `hst` is not right for `kind`; did you mean `host`?",
        f"{bad}:5:1: unknown key `lnks`; did you mean `links`?",
        f"netlab: 2 problems in {bad}",
    ]


def test_validate_json(bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(bad), "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert found["valid"] is False
    assert found["problems"][1] == {
        "file": str(bad),
        "line": 5,
        "column": 1,
        "message": "unknown key `lnks`",
        "suggestion": "did you mean `links`?",
    }
    assert main(["validate", "internet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["nodes"] == 30


def test_validate_warns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = Path(find("minimal")).read_text(encoding="utf-8")
    short = tmp_path / "short.yaml"
    short.write_text(text.replace("delay: 10ms", "delay: 100ms, rate: 1gbit, limit: 5"), encoding="utf-8")
    assert main(["validate", str(short)]) == 0
    caught = capsys.readouterr()
    assert caught.err.startswith(f"warning: {short}:"), caught.err
    assert "limit 5 is below the bandwidth-delay product" in caught.err
    assert "valid: minimal" in caught.out
    assert main(["validate", "--json", str(short)]) == 0
    (warning,) = json.loads(capsys.readouterr().out)["warnings"]
    assert warning["message"] in caught.err


def test_plan(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "minimal", "--backend", "netem"]) == 0
    assert "netem     @netem:n0b: delay 10ms, limit 1667" in capsys.readouterr().out.splitlines()
    assert main(["plan", "minimal", "--backend", "wire", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["backend"] == "wire"


def test_graph(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", "minimal"]) == 0
    dot = capsys.readouterr().out
    assert '"client" -- "server" [label="delay 10ms, limit 1667"];' in dot
    assert dot.count("{") == dot.count("}")
    assert main(["graph", "minimal", "--format", "mermaid"]) == 0
    assert 'n0 ---|"delay 10ms, limit 1667"| n1' in capsys.readouterr().out


def test_a_topology_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "interent"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "netlab: interent: no such file, and no shipped topology of that name",
        "try: did you mean `internet`?",
    ]


@pytest.mark.parametrize(
    ("error", "code"),
    [(InputError("x"), 2), (HostError("x"), 3), (LabError("x"), 1), (KeyboardInterrupt(), 130)],
)
def test_exit_codes(error: BaseException, code: int) -> None:
    def fail() -> None:
        raise error

    assert errors.guarded(fail) == code


def test_groups_of_errors_are_told_one_by_one(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        inner: list[Exception] = [LabError("second", "do that")]
        first: list[Exception] = [HostError("first"), ExceptionGroup("inner", inner)]
        raise ExceptionGroup("outer", first)

    assert errors.guarded(fail) == HostError.exit_code
    assert capsys.readouterr().err.splitlines() == ["netlab: first", "netlab: second", "try: do that"]


def test_a_bug_saves_its_traceback(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def fail() -> None:
        raise ZeroDivisionError("oh")

    assert errors.guarded(fail) == 70
    err = capsys.readouterr().err
    (saved,) = tmp_path.iterdir()
    assert str(saved) in err
    assert "Traceback" not in err
    assert "ZeroDivisionError: oh" in saved.read_text()


def test_nobody_reads_on() -> None:
    """`netlab plan internet | head -1`: quiet, whatever the buffers hold."""
    command = [sys.executable, "-m", "netlab", "plan", "internet", "--backend", "wire"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode in (1, 141)


def test_every_verb_has_a_module_with_a_command() -> None:
    for verb in VERBS:
        assert app.build(verb).registered_commands, verb


def test_an_interrupt_that_a_library_wraps_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise ValueError("while it was serialised") from KeyboardInterrupt()

    assert errors.guarded(fail) == errors.INTERRUPTED
    assert capsys.readouterr().err == "netlab: interrupted\n"
