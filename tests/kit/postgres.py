"""A PostgreSQL server for a test: the real one, with the schema that the app role expects."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.kit.poll import poll_until

_SCHEMA = """
CREATE TABLE users (id bigint PRIMARY KEY, name text, email text, status text, created_at timestamptz);
INSERT INTO users VALUES (42, 'Alice Johnson', 'alice@example.com', 'active', '2023-05-15T10:30:00Z');
CREATE TABLE channels (name text PRIMARY KEY, last_id bigint NOT NULL);
CREATE TABLE channel_messages (channel text NOT NULL, id bigint NOT NULL, sent_ns bigint NOT NULL,
  body text NOT NULL, PRIMARY KEY (channel, id));
"""


def binaries() -> Path | None:
    """The newest installed server's programs; None without one."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    return found[-1] if found else None


class Postgres:
    """Can be stopped and started again, with its data."""

    def __init__(self, directory: Path, port: int) -> None:
        programs = binaries()
        assert programs is not None
        self._programs = programs
        self._directory = directory
        self._port = port
        self._server: subprocess.Popen[bytes] | None = None
        self._run("initdb", "-D", f"{directory}/data", "-U", "postgres", "--auth=trust", "--no-sync")

    def start(self) -> None:
        with (self._directory / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [
                    *(str(self._programs / "postgres"), "-D", f"{self._directory}/data"),
                    *("-p", str(self._port), "-k", str(self._directory)),
                    *("-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "log_statement=all"),
                    # not in /dev/shm, where a killed server would leave its segments
                    *("-c", "dynamic_shared_memory_type=mmap"),
                ],
                user="nobody",
                group="nogroup",
                cwd="/",
                stdout=log,
                stderr=log,
            )
        poll_until(self._accepts, f"PostgreSQL accepts: {self.log()}", timeout_s=20)

    def stop(self) -> None:
        """At once, as a crash would."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()

    def seed(self) -> None:
        self._sql("postgres", "postgres", "CREATE ROLE app LOGIN")
        self._sql("postgres", "postgres", "CREATE DATABASE netlab OWNER app")
        self._sql("app", "netlab", _SCHEMA)

    def log(self) -> str:
        """What the server has logged, statements included."""
        return (self._directory / "log").read_text()

    def _accepts(self) -> bool:
        ready = self._programs / "pg_isready"
        argv = [str(ready), "-q", "-h", str(self._directory), "-p", str(self._port)]
        return subprocess.run(argv, check=False).returncode == 0

    def _sql(self, user: str, database: str, sql: str) -> None:
        at = ("-h", str(self._directory), "-p", str(self._port))
        self._run("psql", "-q", *at, "-U", user, "-d", database, "-v", "ON_ERROR_STOP=1", "-c", sql)

    def _run(self, program: str, *arguments: str) -> None:
        argv = [str(self._programs / program), *arguments]
        subprocess.run(argv, check=True, user="nobody", group="nogroup", cwd="/", capture_output=True)


@contextmanager
def postgres(port: int = 5432) -> Iterator[Postgres]:
    """A seeded server on 127.0.0.1 of this thread's network namespace."""
    with tempfile.TemporaryDirectory(prefix="netlab-pg-") as name:
        shutil.chown(name, "nobody", "nogroup")
        server = Postgres(Path(name), port)
        try:
            server.start()
            server.seed()
            yield server
        finally:
            server.stop()
