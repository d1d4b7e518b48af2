"""For tests of the installed command: running it, naming labs so that nothing of theirs can be missed."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.kit.poll import poll_until

_HERE = Path(__file__).parent
NETLAB = Path(sys.executable).parent / "netlab"
ROOT = Path("/run/netlab")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.needs("root"))


@dataclass(frozen=True)
class Done:
    """How a command ended; as text in assertions, all that it said."""

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str

    def json(self) -> Any:
        return json.loads(self.stdout)


@dataclass(frozen=True)
class Lab:
    """A lab of one test. Its name is in the command line of all its processes: the supervisor and what is
    forked from it have that of `netlab up`, and the programs in its nodes are told it as an argument."""

    name: str
    directory: Path  # for the test's files

    @property
    def state(self) -> Path:
        return ROOT / self.name

    def netlab(self, *arguments: str, timeout_s: float = 60) -> Done:
        argv = (str(NETLAB), *arguments)
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=timeout_s, check=False, stdin=subprocess.DEVNULL
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Done(argv, done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """The command in the background, with pipes."""
        return subprocess.Popen(
            (str(NETLAB), *arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def write(self, text: str) -> Path:
        """A topology file; NAME in it becomes the lab's name."""
        path = self.directory / "topology.yaml"
        path.write_text(text.replace("NAME", self.name), encoding="utf-8")
        return path

    def up(self, text: str, *arguments: str) -> Done:
        done = self.netlab("up", str(self.write(text)), "--name", self.name, *arguments)
        assert done.status == 0, done
        return done

    def status(self) -> Any:
        return self.netlab("ps", self.name, "--json").json()

    def supervisor(self) -> int:
        return int(json.loads((self.state / "lab.json").read_text())["pid"])

    def processes(self) -> dict[int, str]:
        """Of this lab, on the host: pid ─► command line."""
        found = {}
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if self.name in command and int(path.parent.name) != os.getpid():
                found[int(path.parent.name)] = command
        return found

    def assert_no_process(self, timeout_s: float = 10) -> None:
        poll_until(lambda: not self.processes(), f"no process of {self.name}: {self.processes()}", timeout_s)

    def assert_gone(self, timeout_s: float = 10) -> None:
        """No process, and with them no namespace, no mount, no link; and no file."""
        self.assert_no_process(timeout_s)
        assert not self.state.exists(), list(self.state.rglob("*"))
        assert self.name not in Path("/proc/self/mountinfo").read_text(encoding="utf-8")


def own_lab(directory: Path, topology: str) -> Iterator[Lab]:
    """For fixtures: a lab that several tests share, up from here on; at the end it leaves nothing.

    `topology`: its text, or the name of one that netlab ships.
    """
    made = Lab(f"t{secrets.token_hex(5)}", directory)
    try:
        if "\n" in topology:
            made.up(topology)
        else:
            done = made.netlab("up", topology, "--name", made.name)
            assert done.status == 0, done
        yield made
        assert made.netlab("down", made.name).status == 0
        made.assert_gone()
    finally:
        _remove(made)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A lab with a name of its own; whatever a failed test leaves of it is removed."""
    made = Lab(f"t{secrets.token_hex(5)}", tmp_path)
    yield made
    _remove(made)


def _remove(made: Lab) -> None:
    for pid in made.processes():
        with suppress(ProcessLookupError):  # it was on its way out
            os.kill(pid, signal.SIGKILL)
    made.assert_no_process()
    if made.state.exists():
        made.netlab("gc")


def holders_of(kind: str, inode: int) -> list[str]:
    """Everything in /proc that keeps a namespace alive: processes in it, and descriptors of it."""
    wanted = f"{kind}:[{inode}]"
    found = []
    for path in (*Path("/proc").glob(f"[0-9]*/ns/{kind}"), *Path("/proc").glob("[0-9]*/fd/*")):
        try:
            if str(path.readlink()) == wanted:
                found.append(str(path))
        except OSError:  # gone meanwhile
            continue
    return found
