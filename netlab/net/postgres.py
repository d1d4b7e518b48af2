"""Connections to PostgreSQL, opened before they are needed and opened again when they broke."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
from psycopg import sql

from netlab.errors import LabError
from netlab.model.event import Flow
from netlab.net.context import RoleContext
from netlab.net.sockets import flow_of
from netlab.policy.reconnect import Backoff

_RETRY_S = 0.1
_TRACEPARENT_CHARACTERS = frozenset("0123456789abcdef-")
Row = tuple[Any, ...]
_Connection = psycopg.AsyncConnection[Row]


class DatabaseGoneError(Exception):
    """The database did not answer, also not on a new connection."""


class Database:
    """A few connections to one server; a query takes one for itself."""

    def __init__(
        self, ctx: RoleContext, address: str, port: int, *, size: int = 2, timeout_s: float = 5.0
    ) -> None:
        self._ctx = ctx
        self._address = address
        self._port = port
        self._timeout_s = timeout_s
        self._slots: asyncio.LifoQueue[_Connection | None] = asyncio.LifoQueue()
        self._size = size

    async def open(self, deadline_s: float = 30.0) -> bool:
        """Open all connections, trying for `deadline_s`; False where the role is told to stop meanwhile.

        Raises LabError where there is no database.
        """
        deadline = self._ctx.now() + deadline_s
        while self._slots.qsize() < self._size:
            if self._ctx.stopping:
                return False
            try:
                self._slots.put_nowait(await self.connect())
            except (psycopg.Error, OSError) as error:
                if self._ctx.now() > deadline:
                    raise self._missing(error) from error
                await asyncio.sleep(_RETRY_S)
        return True

    async def close(self) -> None:
        """Close the connections that no query has."""
        while not self._slots.empty():
            connection = self._slots.get_nowait()
            if connection is not None:
                await connection.close()

    def _missing(self, error: Exception) -> LabError:
        where = f"{self._address}:{self._port}"
        return LabError(f"no database at {where}: {error}", "see the log of the database's node")

    async def connect(self) -> _Connection:
        """One more connection, the caller's own. Raises psycopg.Error, OSError."""
        self._ctx.emit("connect-start", address=self._address, port=self._port, purpose="sql")
        async with asyncio.timeout(self._timeout_s):
            connection = await psycopg.AsyncConnection.connect(
                host=self._address,
                port=self._port,
                dbname="netlab",
                user="app",
                sslmode="disable",  # the inner network is in the clear, and each probe is a round trip
                gssencmode="disable",
                autocommit=True,
                prepare_threshold=None,  # no two queries have the same text: each carries its traceparent
            )
        self._ctx.emit("connection-opened", _flow(connection), side="client", purpose="sql")
        return connection

    async def query(self, statement: str, parameters: tuple[Any, ...], traceparent: str) -> list[Row]:
        """Rows of `statement` (parameters as %s, sent apart from it); the traceparent goes along as a
        comment.

        Raises DatabaseGoneError.
        """
        slot = await self._slots.get()
        kept: _Connection | None = None
        try:
            try:
                kept, rows = await self._on(slot, statement, parameters, traceparent)
            except (psycopg.OperationalError, OSError):
                # The server may have restarted since the connection was last used: once more, on a new one.
                kept, rows = await self._on(None, statement, parameters, traceparent)
        except (psycopg.OperationalError, OSError) as error:
            raise DatabaseGoneError(str(error).strip() or "no answer in time") from error
        finally:
            self._slots.put_nowait(kept)
        return rows

    async def _on(
        self, connection: _Connection | None, statement: str, parameters: Row, traceparent: str
    ) -> tuple[_Connection, list[Row]]:
        if connection is None:
            connection = await self.connect()
        text = f"{statement} /*traceparent='{_comment(traceparent)}'*/"
        flow = _flow(connection)
        try:
            self._ctx.emit("sql-query", flow, sql=_numbered(text), traceparent=traceparent)
            async with asyncio.timeout(self._timeout_s):
                cursor = await connection.execute(text.encode(), parameters)
                rows = await cursor.fetchall()
        except BaseException:
            await connection.close()
            raise
        self._ctx.emit("sql-result", flow, rows=len(rows), traceparent=traceparent)
        return connection, rows


class Listener:
    """Hears what is notified on a topic (LISTEN, NOTIFY), on a connection of its own, until closed.

    Notices are lost while there is no connection: `catch_up` is called when there is one again. It and
    `heard` may raise DatabaseGoneError: then the connection is made anew.
    """

    def __init__(
        self,
        ctx: RoleContext,
        database: Database,
        topic: str,
        heard: Callable[[str], Awaitable[None]],
        catch_up: Callable[[], Awaitable[None]],
    ) -> None:
        self._ctx = ctx
        self._database = database
        self._topic = topic
        self._heard = heard
        self._catch_up = catch_up
        self._backoff = Backoff(ctx.rng, base_s=0.1, cap_s=2.0)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns when the database hears for us, or the first try has failed."""
        first = asyncio.Event()
        self._task = self._ctx.tasks.create_task(self._run(first))
        await first.wait()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self, first: asyncio.Event) -> None:
        while True:
            try:
                await self._listen(first)
            except (psycopg.Error, OSError, DatabaseGoneError) as error:
                self._ctx.emit("error", cause=f"channels of other processes can't be heard: {error}".strip())
            first.set()
            await asyncio.sleep(self._backoff.delay())

    async def _listen(self, first: asyncio.Event) -> None:
        async with await self._database.connect() as connection:
            await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._topic)))
            await self._catch_up()
            self._backoff.succeeded()
            first.set()
            async for notice in connection.notifies():
                await self._heard(notice.payload)


def _numbered(text: str) -> str:
    """As the server sees it: $1 and so on in place of %s."""
    first, *rest = text.split("%s")
    return first + "".join(f"${number}{part}" for number, part in enumerate(rest, 1))


def _comment(traceparent: str) -> str:
    """Whatever came in a request's header, nothing of it can end the comment or be a placeholder."""
    return "".join(character for character in traceparent if character in _TRACEPARENT_CHARACTERS)


def _flow(connection: _Connection) -> Flow:
    with socket.socket(fileno=os.dup(connection.fileno())) as sock:
        return flow_of(sock)
