"""A pool of connections to any targets: `policy.pool` decides; this opens, uses and ends them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import assert_never

from netlab.model.roles import Pool
from netlab.net.context import RoleContext
from netlab.net.dial import dial
from netlab.net.exchange import Tunnel
from netlab.net.pool_tunnel import PooledTunnel
from netlab.net.replay import Replayable
from netlab.net.upstream import ClientConnection, Outgoing, Response, Target, UpstreamError
from netlab.policy.pool import Close, Dial, Grant, Machine, Slot, Ticket
from netlab.policy.retry import IDEMPOTENT
from netlab.proto.http import RequestHead, ResponseHead

Dialer = Callable[[RoleContext, Target, float], Awaitable[ClientConnection]]


@dataclass(frozen=True, slots=True)
class Lease:
    """A connection on which one request may go. `reused`: others have gone on it before."""

    slot: Slot
    connection: ClientConnection
    reused: bool


class ConnectionPool:
    """Connections within `limits`.

    Those that are idle for too long or too old end by themselves, and all idle ones when the role stops;
    `close` ends the rest.
    """

    def __init__(self, ctx: RoleContext, limits: Pool | None = None, *, dialer: Dialer = dial) -> None:
        self._ctx = ctx
        self._limits = limits or Pool()
        self._dialer = dialer
        self._machine = Machine(self._limits)
        self._connections: dict[Slot, ClientConnection] = {}
        self._dials: dict[Slot, asyncio.Task[None]] = {}
        self._grants: dict[Ticket, asyncio.Future[Lease]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._reaper: asyncio.Task[None] | None = None
        self._closed = False

    def __repr__(self) -> str:
        return repr(self._machine)

    @asynccontextmanager
    async def exchange(
        self, target: Target, request: Outgoing, *, fresh: bool = False, lease: Lease | None = None
    ) -> AsyncIterator[Response]:
        """Send the request on a connection to `target`; the final response's head is there on entry.

        `fresh`: on a new connection, which nobody uses after it. `lease`: on this one, which is given back.
        What failed on a connection that others had used is sent once more on a new one, where it can't
        have been acted on, or may be twice (RFC 9110 section 9.2.2, RFC 9112 section 9.3.1).
        Raises UpstreamError.
        """
        async with AsyncExitStack() as stack:
            yield await self._begin(stack, target, request, fresh, lease)

    async def tunnel(
        self, target: Target, head: RequestHead, timeout_s: float = 30.0
    ) -> tuple[ResponseHead, Tunnel | None]:
        """As ClientConnection.tunnel, on a connection of the pool; over HTTP/1.1 one of its own.

        The tunnel's `close` or `abort` gives it back. Raises UpstreamError.
        """
        fresh = _shares(target) is False
        lease = await self.lease(target, head, timeout_s, fresh=fresh)
        try:
            return await self._tunnel_on(lease, head, timeout_s)
        except UpstreamError as error:
            if not _repeatable(head, None, lease, error):
                raise
            self._say_retried(lease, head, error)
        lease = await self.lease(target, head, timeout_s, after=lease.slot)
        return await self._tunnel_on(lease, head, timeout_s)

    async def close(self) -> None:
        """End all connections; requests that are under way, or wait, fail."""
        self._refuse("the pool is closed")
        self._settle()
        for slot in [*self._connections, *self._dials]:
            self._end(slot, "the pool is closed")
        waiting = {*self._dials.values(), *self._ending}
        if self._reaper is not None:
            self._reaper.cancel()
            waiting.add(self._reaper)
        if waiting:
            await asyncio.wait(waiting)

    def _refuse(self, cause: str) -> None:
        """Nobody gets a connection from now on, and who waits hears why."""
        self._closed = True
        self._machine.stop()
        for ticket, future in self._grants.items():
            self._machine.cancel(ticket)
            if not future.done():
                future.set_exception(UpstreamError(cause, unsent=True))
        self._grants.clear()

    # One request.

    async def _begin(
        self, stack: AsyncExitStack, target: Target, request: Outgoing, fresh: bool, lease: Lease | None
    ) -> Response:
        head, timeout_s = request.head, request.timeout_s
        body = Replayable(request.body) if request.body is not None else None
        if lease is None:
            lease = await self.lease(target, head, timeout_s, fresh=fresh)
        try:
            return await self._attempt(stack, lease, request, body)
        except UpstreamError as error:
            if not _repeatable(head, body, lease, error):
                raise
            self._say_retried(lease, head, error)
        lease = await self.lease(target, head, timeout_s, after=lease.slot)
        return await self._attempt(stack, lease, request, body)

    async def _attempt(
        self, stack: AsyncExitStack, lease: Lease, request: Outgoing, body: Replayable | None
    ) -> Response:
        """Send; from the response's head on, the connection stays taken until `stack` ends."""
        outgoing = request if body is None else replace(request, body=body.parts())
        if lease.reused:
            self._say_reused(lease, request.head)
        async with AsyncExitStack() as attempt:
            attempt.callback(self.release, lease)
            response = await attempt.enter_async_context(lease.connection.exchange(outgoing))
            response.reused = lease.reused
            await stack.enter_async_context(attempt.pop_all())
        return response

    async def _tunnel_on(
        self, lease: Lease, head: RequestHead, timeout_s: float
    ) -> tuple[ResponseHead, Tunnel | None]:
        if lease.reused:
            self._say_reused(lease, head)
        async with AsyncExitStack() as attempt:
            attempt.callback(self.release, lease)
            answer, tunnel = await lease.connection.tunnel(head, timeout_s)
            if tunnel is None:
                return answer, None
            attempt.pop_all()
        return answer, PooledTunnel(tunnel, lambda: self.release(lease))

    def _say_retried(self, lease: Lease, head: RequestHead, error: UpstreamError) -> None:
        traceparent = head.headers.get("traceparent")
        flow = lease.connection.flow
        self._ctx.emit("request-retried", flow, attempt=2, cause=str(error), traceparent=traceparent)

    def _say_reused(self, lease: Lease, head: RequestHead) -> None:
        self._ctx.emit(
            "connection-reused",
            lease.connection.flow,
            version=lease.connection.version,
            requests=lease.slot.requests,
            traceparent=head.headers.get("traceparent"),
        )

    # Places in the pool.

    async def lease(
        self,
        target: Target,
        head: RequestHead,
        timeout_s: float,
        *,
        fresh: bool = False,
        after: Slot | None = None,
    ) -> Lease:
        """A connection to `target` for the request `head`, within `timeout_s`; `release` gives it back.

        `after`: one that is newer than this. Nothing is left where it fails or is cancelled.
        Raises UpstreamError (`unsent`).
        """
        if self._closed:
            raise UpstreamError("the pool is closed", unsent=True)
        host = target.address, target.port, target.server_name
        newer = 0 if after is None else self._machine.newer_than(after)
        ticket = self._machine.ask(target, host, _shares(target), alone=fresh, after=newer)
        future: asyncio.Future[Lease] = asyncio.get_running_loop().create_future()
        self._grants[ticket] = future
        try:
            self._settle()
            self._say_waiting(ticket, head)
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError as error:
            cause = f"{target}: no connection was free in {timeout_s:g} s ({ticket.limit}; {self!r})"
            self._withdraw(ticket)
            raise UpstreamError(cause, 504, unsent=True) from error
        except BaseException:
            self._withdraw(ticket)
            raise

    def release(self, lease: Lease) -> None:
        """The request is over; the connection is free for the next, or ends."""
        self._news(lease.slot)
        if self._ctx.stopping:
            self._machine.stop()
        self._machine.release(lease.slot, self._ctx.now())
        self._settle()

    def _withdraw(self, ticket: Ticket) -> None:
        self._grants.pop(ticket, None)
        if ticket.slot is not None:  # granted in the moment in which it was given up
            self._machine.release(ticket.slot, self._ctx.now())
        self._machine.cancel(ticket)
        self._settle()

    def _say_waiting(self, ticket: Ticket, head: RequestHead) -> None:
        if ticket.slot is None and ticket.limit != "connecting":
            self._ctx.emit(
                "pool-wait",
                limit=ticket.limit,
                waiting=self._machine.waiting,
                pool=repr(self),
                traceparent=head.headers.get("traceparent"),
            )

    # What the machine decides.

    def _settle(self) -> None:
        for action in self._machine.settle(self._ctx.now()):
            match action:
                case Grant(ticket, slot, reused):
                    future = self._grants.pop(ticket, None)
                    if future is not None and not future.done():
                        future.set_result(Lease(slot, self._connections[slot], reused))
                case Dial(slot):
                    self._start(slot)
                case Close(slot, cause):
                    self._end(slot, cause)
                case _:
                    assert_never(action)

    def _start(self, slot: Slot) -> None:
        dialling = self._dial(slot)
        try:
            task = self._ctx.tasks.create_task(dialling)
        except RuntimeError:  # the role ends, and its group takes no more tasks
            dialling.close()
            self._refuse("the role ends")
            self._machine.failed(slot)
            return
        self._dials[slot] = task
        task.add_done_callback(lambda _: self._dials.pop(slot, None))
        if self._reaper is None:
            self._reaper = self._ctx.tasks.create_task(self._reap())

    async def _dial(self, slot: Slot) -> None:
        target = slot.key
        assert isinstance(target, Target)  # as `lease` makes the keys
        try:
            connection = await self._dialer(self._ctx, target, target.connect_s)
        except UpstreamError as error:
            self._fail(slot, error)
        else:
            self._opened(slot, connection)

    def _opened(self, slot: Slot, connection: ClientConnection) -> None:
        self._connections[slot] = connection
        if slot.state == "gone":  # it was given up just now
            self._end(slot, "nobody waits for it any more")
            return
        shared = connection.version != "1.1"
        capacity = connection.state.capacity
        self._machine.opened(slot, shared=shared, capacity=capacity, now=self._ctx.now())
        loop = asyncio.get_running_loop()

        def changed() -> None:
            self._news(slot)
            loop.call_soon(self._settle)  # not at once: the connection is in the middle of something

        connection.state.watch = changed
        self._news(slot)
        self._settle()

    def _fail(self, slot: Slot, error: UpstreamError) -> None:
        for ticket in self._machine.failed(slot):
            future = self._grants.pop(ticket, None)
            if future is not None and not future.done():
                future.set_exception(_same(error))
        self._settle()

    def _news(self, slot: Slot) -> None:
        connection = self._connections.get(slot)
        if connection is not None:
            state = connection.state
            self._machine.changed(slot, capacity=state.capacity, closed=state.closed, cause=state.cause)

    def _end(self, slot: Slot, cause: str) -> None:
        """Stop opening a connection, or close it, in a task: nobody waits for its end."""
        dialling = self._dials.get(slot)
        connection = self._connections.pop(slot, None)
        if connection is None:
            if dialling is not None:
                dialling.cancel()
            return
        state = connection.state
        state.watch = None
        if not state.closed:
            state.cause, state.closed = cause, True
        closing = connection.close()
        try:
            task = self._ctx.tasks.create_task(closing)
        except RuntimeError:  # the role ends, and its group takes no more tasks
            closing.close()
            connection.abort()
            return
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _reap(self) -> None:
        """Take out connections that are idle for too long, or too old, until the role stops.

        One that becomes idle while this waits has its full time before it, so waiting no longer than
        that misses none.
        """
        longest_s = min(self._limits.idle_ns, self._limits.lifetime_ns) / 1e9
        while not self._ctx.stopping:
            deadline = self._machine.deadline()
            left_s = longest_s if deadline is None else deadline - self._ctx.now()
            await self._pause(max(0.0, min(left_s, longest_s)))
            self._machine.expire(self._ctx.now())
            self._settle()
        self._machine.stop()
        self._settle()

    async def _pause(self, wait_s: float) -> None:
        """Returns at once where the role stops."""
        try:
            async with self._ctx.idle(wait_s):
                await self._ctx.stopped()
        except TimeoutError:
            return


def _shares(target: Target) -> bool | None:
    """Can connections to it be shared? None: the handshake tells."""
    if "1.1" not in target.versions:
        return True
    return None if target.tls is not None and "2" in target.versions else False


def _same(error: UpstreamError) -> UpstreamError:
    """One for each who waits: an exception that is raised twice collects the traces of both."""
    return UpstreamError(str(error), error.status, unsent=True, check=error.check)


def _repeatable(head: RequestHead, body: Replayable | None, lease: Lease, error: UpstreamError) -> bool:
    """May it be sent again? An HTTP/1.1 connection that ended instead of answering may have been closed
    for its idleness before the request came; or after it was acted on, so only what may be done twice."""
    if body is not None and not body.repeatable:
        return False
    if lease.connection.version != "1.1":
        return error.unsent
    ended = lease.connection.state.closed and error.status == 502
    return lease.reused and (error.unsent or (ended and head.method in IDEMPOTENT))
