"""The database role as the lab runs it: as nobody, without capabilities, by the process contract."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from netlab.errors import HostError
from netlab.fabric.enter import mount
from netlab.model.launch import Launch
from netlab.model.roles import AppSpec, DatabaseSpec
from netlab.roles import app
from netlab.roles.database import find_programs
from tests.kit.poll import poll_until
from tests.kit.roles_in_process import running

pytestmark = pytest.mark.needs("postgres")
PORT = 5432
AS_NOBODY = [
    "setpriv",
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
    "--no-new-privs",
    "--bounding-set=-all",
]
ENDS_WITHIN_S = 10.0  # a fast shutdown takes 0.1 s; the machine may be busy
# `up` of a whole lab is to take 4 s, this role 0.9 s alone; a busy machine of two cores gets more.
READY_WITHIN_S = 20.0


@dataclass
class Role:
    process: subprocess.Popen[bytes]
    directory: Path
    tmp: Path

    def events(self, kind: str) -> list[dict[str, Any]]:
        lines = (self.directory / "events").read_text().splitlines()
        return [one for one in map(json.loads, lines) if one["event"] == kind]

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text()

    def ready(self) -> dict[str, Any]:
        def said() -> list[dict[str, Any]]:
            assert self.process.poll() is None, self.log
            return self.events("ready")

        return poll_until(said, "the database is ready", READY_WITHIN_S)[0]

    def status(self) -> int:
        """Its exit status, once it has ended."""
        poll_until(lambda: self.process.poll() is not None, f"the role ends; log: {self.log}", ENDS_WITHIN_S)
        return self.process.returncode

    def servers(self) -> list[int]:
        """The processes that have their data here."""
        return [int(one.name) for one in Path("/proc").iterdir() if one.name.isdigit() and self._is_ours(one)]

    def _is_ours(self, process: Path) -> bool:
        try:
            return (process / "cwd").readlink().is_relative_to(self.tmp)
        except OSError:  # it has ended meanwhile
            return False

    def postmaster(self) -> int:
        (file,) = self.tmp.glob("postgres-*/data/postmaster.pid")
        return int(file.read_text().splitlines()[0])


@contextmanager
def database(directory: Path, path: str = os.environ["PATH"]) -> Iterator[Role]:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    # As in a lab: a file system in memory that only this fake host sees, and that ends with it.
    mount("tmpfs", "/var/tmp", "tmpfs", 0, "mode=1777")
    tmp = Path("/var/tmp", f"netlab-{os.getpid()}-{directory.name}")
    tmp.mkdir()
    os.chown(tmp, 65_534, 65_534)
    spec_read, spec_write = os.pipe()
    with (directory / "events").open("ab") as events, (directory / "log").open("ab") as log:
        launch = Launch(lab="test", node="db", role="database", spec=DatabaseSpec(listen=PORT))
        os.write(spec_write, launch.model_dump_json().encode())
        os.close(spec_write)
        process = subprocess.Popen(
            [*AS_NOBODY, sys.executable, "-m", "netlab.roles"],
            env={
                "NETLAB_SPEC_FD": str(spec_read),
                "NETLAB_EVENTS_FD": str(events.fileno()),
                "TMPDIR": str(tmp),
                "PATH": path,
                "PGPORT": "1",  # of the caller's environment nothing may count
            },
            pass_fds=(spec_read, events.fileno()),
            stdout=log,
            stderr=log,
        )
        os.close(spec_read)
    role = Role(process, directory, tmp)
    try:
        yield role
    finally:
        process.terminate()
        role.status()
        poll_until(lambda: not role.servers(), "no process is left", ENDS_WITHIN_S)


def connect(user: str = "app") -> psycopg.Connection[Any]:
    return psycopg.connect(host="127.0.0.1", port=PORT, user=user, dbname="netlab", sslmode="disable")


def test_it_serves_the_guides_user_and_ends_cleanly(tmp_path: Path) -> None:
    started = time.monotonic()
    with database(tmp_path) as role:
        ready = role.ready()
        took = time.monotonic() - started
        assert ready["port"] == PORT
        assert took < READY_WITHIN_S
        with connect() as connection:
            rows = connection.execute("SELECT * FROM users WHERE id = %s", (42,)).fetchall()
            assert rows == [
                (
                    42,
                    "Alice Johnson",
                    "alice@example.com",
                    "active",
                    datetime(2023, 5, 15, 10, 30, tzinfo=UTC),
                )
            ]
            (count,) = connection.execute("SELECT count(*) FROM users").fetchall()[0]
            assert count > 1
        role.process.send_signal(signal.SIGTERM)
        assert role.status() == 0, role.log
        assert "received fast shutdown request" in role.log
        assert "database system is shut down" in role.log
        assert not role.servers()
        assert list(role.tmp.iterdir()) == [], "its directory is removed"


def test_the_app_may_read_and_nothing_else(tmp_path: Path) -> None:
    with database(tmp_path) as role:
        role.ready()
        for statement in (
            "UPDATE users SET name = 'Mallory' WHERE id = 42",
            "DELETE FROM users",
            "CREATE TABLE mine (id integer)",
            "CREATE ROLE mallory SUPERUSER",
        ):
            with connect() as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_sql_crosses_the_wire_in_the_clear_on_every_address(tmp_path: Path) -> None:
    """The start-up message of the protocol (PostgreSQL manual, 55.2) and a simple query, by hand."""
    with database(tmp_path) as role:
        role.ready()
        for address in ("127.0.0.9", "::1"):
            with socket.create_connection((address, PORT), timeout=5) as sock:
                body = b"\x00\x03\x00\x00user\x00app\x00database\x00netlab\x00\x00"
                sock.sendall((len(body) + 4).to_bytes(4, "big") + body)
                query = b"SELECT name FROM users WHERE id = 42 /* traceparent */\x00"
                sock.sendall(b"Q" + (len(query) + 4).to_bytes(4, "big") + query)
                answer = b""
                while b"Alice Johnson" not in answer:
                    answer += (data := sock.recv(65_536))
                    assert data, answer


def test_the_app_answers_from_it_and_says_so_when_it_is_gone(tmp_path: Path) -> None:
    with database(tmp_path) as role:
        role.ready()
        found, missing, gone = asyncio.run(ask_the_app(tmp_path, role))
    assert found == (
        200,
        {
            "id": 42,
            "name": "Alice Johnson",
            "email": "alice@example.com",
            "status": "active",
            "created_at": "2023-05-15T10:30:00Z",
        },
    )
    assert (missing[0], gone[0]) == (404, 503)


async def ask_the_app(directory: Path, role: Role) -> list[tuple[int, dict[str, Any]]]:
    """What the app role answers for users 42 and 43, and for 42 once the database has ended."""
    spec = AppSpec(database=f"127.0.0.1:{PORT}")
    async with running(lambda spec, ctx, _: app.serve(spec, ctx), spec, directory, "app", ()):
        answers = [await get(f"/user/{number}") for number in (42, 43)]
        role.process.terminate()
        await asyncio.to_thread(role.status)
        return [*answers, await get("/user/42")]


async def get(path: str) -> tuple[int, dict[str, Any]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", 8080)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split()[1]), json.loads(body)


def test_open_connections_do_not_hold_up_the_end(tmp_path: Path) -> None:
    with database(tmp_path) as role:
        role.ready()
        connection = connect()
        role.process.send_signal(signal.SIGTERM)
        assert role.status() == 0, role.log
        connection.close()


def test_a_server_that_dies_ends_the_role_with_its_last_lines(tmp_path: Path) -> None:
    with database(tmp_path) as role:
        role.ready()
        os.kill(role.postmaster(), signal.SIGKILL)
        assert role.status() == 1
        assert "lost PostgreSQL (signal SIGKILL)" in role.log, role.log
        assert role.log.count("database system is ready to accept connections") == 2, (
            "as logged, and as named"
        )
        assert "Traceback" not in role.log


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with socket.socket(socket.AF_INET6) as taken:
        taken.bind(("::", PORT))
        taken.listen()
        with database(tmp_path) as role:
            assert role.status() == 1
            assert "lost PostgreSQL (exit status 1)" in role.log, role.log
            assert "Address already in use" in role.log
            assert "Traceback" not in role.log


def test_a_stop_during_start_up_leaves_nothing(tmp_path: Path) -> None:
    with database(tmp_path) as role:
        poll_until(role.servers, "initdb runs", READY_WITHIN_S)
        role.process.send_signal(signal.SIGTERM)
        role.status()
        poll_until(lambda: not role.servers(), "initdb has ended", ENDS_WITHIN_S)
        assert role.events("ready") == []
        assert "Traceback" not in role.log, role.log
        assert list(role.tmp.iterdir()) == []


def test_missing_programs_have_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="PostgreSQL's server is missing") as caught:
        find_programs(path=str(tmp_path), packaged=tmp_path)
    assert "apt-get install postgresql" in caught.value.remedy


def test_the_newest_version_is_taken_and_path_goes_first(tmp_path: Path) -> None:
    for version in ("9.6", "15", "17", "old"):
        programs(tmp_path / "lib" / version / "bin")
    programs(tmp_path / "lib" / "18" / "bin", "postgres")
    assert find_programs(str(tmp_path), tmp_path / "lib").initdb == tmp_path / "lib/17/bin/initdb"
    programs(tmp_path / "mine")
    assert find_programs(str(tmp_path / "mine"), tmp_path / "lib").postgres == tmp_path / "mine/postgres"


def programs(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True)
    for name in names or ("postgres", "initdb"):
        (folder / name).touch(0o755)
