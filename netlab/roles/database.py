"""The database: the real PostgreSQL, its data in the role's private /tmp, seeded with the guide's user 42.

Plaintext on the wire and trust for everyone, because a lab's network is private and its SQL is to be seen.
Durability is off (fsync and the like): the data lives as long as the lab, and start-up must be quick.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from netlab.errors import HostError, LabError, RoleError
from netlab.model.roles import DatabaseSpec
from netlab.net.context import RoleContext

DATABASE = "netlab"
USER = "app"
READY_WITHIN_S = 30.0
_RETRY_S = 0.01
_FAST_STOP_S = 1.5  # less than the two seconds that a role has to end
_PACKAGED = Path("/usr/lib/postgresql")  # Debian and Ubuntu keep the server's programs off PATH
_LAST_LINES = 8

# Each statement is one line: the single-user server reads them so.
SERVER_SQL = (
    f"CREATE ROLE {USER} LOGIN;",
    f"CREATE DATABASE {DATABASE};",
)
SEED_SQL = (
    (
        "CREATE TABLE users (id integer PRIMARY KEY, name text NOT NULL, email text NOT NULL UNIQUE,"
        " status text NOT NULL, created_at timestamptz NOT NULL);"
    ),
    (
        "INSERT INTO users VALUES"
        " (1, 'Bob Martin', 'bob@example.com', 'active', '2022-11-02T08:15:00Z'),"
        " (7, 'Chiyo Tanaka', 'chiyo@example.com', 'active', '2023-01-20T02:45:00Z'),"
        " (42, 'Alice Johnson', 'alice@example.com', 'active', '2023-05-15T10:30:00Z'),"
        " (99, 'Dana Okafor', 'dana@example.com', 'suspended', '2024-03-09T17:05:00Z');"
    ),
    f"GRANT SELECT ON users TO {USER};",
    # What the app's channels say: each message has a number in its channel.
    "CREATE TABLE channels (name text PRIMARY KEY, last_id bigint NOT NULL);",
    (
        "CREATE TABLE channel_messages (channel text NOT NULL, id bigint NOT NULL, sent_ns bigint NOT NULL,"
        " body text NOT NULL, PRIMARY KEY (channel, id));"
    ),
    f"GRANT SELECT, INSERT, UPDATE, DELETE ON channels, channel_messages TO {USER};",
)
_SETTINGS = {
    "listen_addresses": "*",
    "max_connections": "100",
    "ssl": "off",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "shared_buffers": "16MB",
    # Not in /dev/shm, where a killed server would leave its segments.
    "dynamic_shared_memory_type": "mmap",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}


async def serve(spec: DatabaseSpec, ctx: RoleContext) -> None:
    """Until the role is stopped. Raises HostError where PostgreSQL is missing, RoleError where it ends."""
    programs = find_programs()
    with tempfile.TemporaryDirectory(prefix="postgres-") as directory:
        cluster = _Cluster(programs, Path(directory))
        await cluster.create()
        async with cluster.running(spec.listen) as server:
            ready = await _unless_ended(server, _first_row(spec.listen), ctx)
            if ready:
                ctx.ready(spec.listen, version=cluster.version())
                await _unless_ended(server, ctx.stopped(), ctx)


@dataclass(frozen=True, slots=True)
class Programs:
    """PostgreSQL's server and initdb, of one version."""

    postgres: Path
    initdb: Path


def find_programs(path: str | None = None, packaged: Path = _PACKAGED) -> Programs:
    """On PATH (or `path`), else the newest that a distribution installed. Raises HostError."""
    found = shutil.which("postgres", path=path)
    folders = [Path(found).resolve().parent] if found else []
    versions = [one for one in packaged.glob("*/bin") if re.fullmatch(r"\d+(\.\d+)?", one.parent.name)]
    folders += sorted(versions, key=lambda one: float(one.parent.name), reverse=True)
    for folder in folders:
        programs = Programs(folder / "postgres", folder / "initdb")
        if os.access(programs.postgres, os.X_OK) and os.access(programs.initdb, os.X_OK):
            return programs
    raise HostError(
        "PostgreSQL's server is missing (the programs postgres and initdb)",
        "install it (Debian and Ubuntu: apt-get install postgresql) or put its programs on PATH",
    )


@dataclass(slots=True)
class _Server:
    process: asyncio.subprocess.Process
    last_lines: deque[str]


class _Cluster:
    def __init__(self, programs: Programs, directory: Path) -> None:
        self._programs = programs
        self._directory = directory
        self._data = directory / "data"
        # Nothing of the caller's: PG* variables would change what the programs do.
        self._environment = {
            "PATH": os.defpath,
            "LC_ALL": "C",
            "TZ": "UTC",
            "HOME": str(directory),
            "PGDATA": str(self._data),
        }

    def version(self) -> str:
        """The major version, such as "15"; after `create`."""
        return (self._data / "PG_VERSION").read_text().strip()

    async def create(self) -> None:
        """initdb, then the seed by the single-user server, which is quicker than to start and stop one."""
        options = ("--no-sync", "--no-instructions", "--auth=trust", "--username=postgres", "--wal-segsize=1")
        await self._finish("initdb", self._programs.initdb, *options, "--locale=C", "--encoding=UTF8")
        (self._data / "pg_hba.conf").write_text("local all all trust\nhost all all all trust\n")
        for database, statements in (("template1", SERVER_SQL), (DATABASE, SEED_SQL)):
            single = ("--single", "-F", "-c", "exit_on_error=true")
            await self._finish("the seed", self._programs.postgres, *single, database, statements=statements)

    async def _finish(
        self, what: str, program: Path, *arguments: str, statements: Iterable[str] = ()
    ) -> None:
        process = await asyncio.create_subprocess_exec(
            program,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self._environment,
            cwd=self._directory,
        )
        async with _killed_at_end(process):
            output, _ = await process.communicate("".join(f"{one}\n" for one in statements).encode())
        if process.returncode:
            said = "".join(
                f"\n    {line}" for line in output.decode(errors="replace").splitlines()[-_LAST_LINES:]
            )
            raise LabError(f"PostgreSQL: {what} failed with {_status(process.returncode)}{said}")

    @asynccontextmanager
    async def running(self, port: int) -> AsyncIterator[_Server]:
        """The server from its start (it may not accept yet) to the end of the block, when it is stopped."""
        settings = _SETTINGS | {"port": str(port), "unix_socket_directories": str(self._directory)}
        process = await asyncio.create_subprocess_exec(
            self._programs.postgres,
            *(part for key, value in settings.items() for part in ("-c", f"{key}={value}")),
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment,
            cwd=self._directory,
        )
        server = _Server(process, deque(maxlen=_LAST_LINES))
        async with asyncio.TaskGroup() as tasks, _killed_at_end(process):
            tasks.create_task(_log(server))
            try:
                yield server
            finally:
                await _stop(process)


async def _log(server: _Server) -> None:
    """What the server logs is the role's log; the last lines are kept for the error that may come."""
    assert server.process.stderr is not None  # as it was started with a pipe
    async for line in server.process.stderr:
        text = line.decode(errors="replace").rstrip("\n")
        sys.stderr.write(text + "\n")
        server.last_lines.append(text)


async def _stop(process: asyncio.subprocess.Process) -> None:
    """A fast shutdown: SIGINT ends the connections, too (PostgreSQL manual, 19.5)."""
    if process.returncode is None:
        process.send_signal(signal.SIGINT)
        with suppress(TimeoutError):  # then it is killed
            async with asyncio.timeout(_FAST_STOP_S):
                await process.wait()


@asynccontextmanager
async def _killed_at_end(process: asyncio.subprocess.Process) -> AsyncIterator[None]:
    """Nothing outlives the block: SIGQUIT makes a server end its own children at once."""
    try:
        yield
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGQUIT)
            await process.wait()


async def _unless_ended(server: _Server, waiting: Coroutine[Any, Any, None], ctx: RoleContext) -> bool:
    """Wait, but no longer than the role runs (then False) and the server lives (then RoleError)."""
    wanted = asyncio.ensure_future(waiting)
    told = asyncio.ensure_future(ctx.stopped())
    ended = asyncio.ensure_future(server.process.wait())
    try:
        await asyncio.wait({wanted, told, ended}, return_when=asyncio.FIRST_COMPLETED)
        if wanted.done():
            wanted.result()
            return True
        if told.done():
            return False
        raise RoleError(
            ctx.launch.node,
            ctx.launch.role,
            f"lost PostgreSQL ({_status(ended.result())})",
            tuple(server.last_lines),
        )
    finally:
        for future in (wanted, told, ended):
            future.cancel()


async def _first_row(port: int) -> None:
    """Return when the server has answered a query over TCP. Raises LabError after READY_WITHIN_S."""
    refusal = ""
    try:
        async with asyncio.timeout(READY_WITHIN_S):
            while True:
                try:
                    await _query(port)
                except psycopg.OperationalError as error:  # not yet
                    refusal = str(error)
                    await asyncio.sleep(_RETRY_S)
                else:
                    return
    except TimeoutError as error:
        raise LabError(f"PostgreSQL does not accept within {READY_WITHIN_S:g} s: {refusal}") from error


async def _query(port: int) -> None:
    connection = await psycopg.AsyncConnection.connect(
        host="127.0.0.1", port=port, user=USER, dbname=DATABASE, sslmode="disable", connect_timeout=2
    )
    async with connection:
        await connection.execute("SELECT name FROM users WHERE id = 42")


def _status(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
