"""The race of a host's addresses, without sockets: who wins, what is discarded, how it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from netlab.errors import RemoteProtocolError
from netlab.model.launch import Launch
from netlab.model.roles import ClientSpec
from netlab.net.context import RoleContext
from netlab.net.eyeballs import Addresses, first_connected
from netlab.net.upstream import UpstreamError
from netlab.policy.happy_eyeballs import ATTEMPT_DELAY_S
from tests.kit.roles_in_process import context

SIX, FOUR = "2001:db8::1", "192.0.2.1"


class Host:
    """`delays`: how long a lookup or an attempt takes, by version or address; `broken`: those that fail."""

    def __init__(self, ctx: RoleContext) -> None:
        self.ctx = ctx
        self.delays: dict[int | str, float] = {}
        self.broken: set[int | str] = set()
        self.tried: list[str] = []
        self.discarded: list[str] = []
        self.worked: list[str] = []

    async def lookup(self, version: int) -> list[str]:
        await self._step(version)
        return [SIX if version == 6 else FOUR]

    async def attempt(self, address: str) -> str:
        self.tried.append(address)
        await self._step(address)
        return f"connection to {address}"

    async def _step(self, what: int | str) -> None:
        await asyncio.sleep(self.delays.get(what, 0.0))
        if what in self.broken:
            raise RemoteProtocolError(f"no {what}") if isinstance(what, int) else UpstreamError(f"no {what}")

    def addresses(self) -> Addresses:
        return Addresses(self.ctx, self.lookup, (4, 6), worked=self.worked.append)

    async def connect(self) -> str:
        async with self.addresses() as addresses:
            await addresses.ready()
            return await first_connected(self.ctx, addresses, self.attempt, self.discarded.append)


def run(directory: Path, work: Callable[[Host], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            launch = Launch(lab="test", node="n", role="r", spec=ClientSpec())
            await work(Host(context(launch, directory, tasks).ctx))

    asyncio.run(main())


def test_ipv6_wins_where_it_works(tmp_path: Path) -> None:
    async def work(host: Host) -> None:
        assert await host.connect() == f"connection to {SIX}"
        assert (host.tried, host.worked, host.discarded) == ([SIX], [SIX], [])

    run(tmp_path, work)


def test_a_silent_address_gets_company_after_a_quarter_of_a_second(tmp_path: Path) -> None:
    async def work(host: Host) -> None:
        host.delays[SIX] = 60
        started = host.ctx.now()
        assert await host.connect() == f"connection to {FOUR}"
        assert ATTEMPT_DELAY_S <= host.ctx.now() - started < 4 * ATTEMPT_DELAY_S
        assert (host.tried, host.worked) == ([SIX, FOUR], [FOUR])

    run(tmp_path, work)


def test_a_failure_costs_no_wait_and_a_late_lookup_is_not_lost(tmp_path: Path) -> None:
    async def work(host: Host) -> None:
        host.broken.add(SIX)
        host.delays[4] = 0.1  # IPv6 is tried, and fails, before the IPv4 address is known
        assert await host.connect() == f"connection to {FOUR}"
        assert host.tried == [SIX, FOUR]

    run(tmp_path, work)


def test_a_family_without_addresses_is_no_failure(tmp_path: Path) -> None:
    async def work(host: Host) -> None:
        host.broken.add(6)
        assert await host.connect() == f"connection to {FOUR}"

    run(tmp_path, work)


def test_what_fails_says_why(tmp_path: Path) -> None:
    async def work(host: Host) -> None:
        host.broken |= {SIX, FOUR}
        with pytest.raises(UpstreamError, match=f"no {FOUR}"):
            await host.connect()
        host.broken |= {4, 6}
        with pytest.raises(RemoteProtocolError, match="no 4"):
            await host.connect()
        assert host.worked == []

    run(tmp_path, work)


def test_nothing_is_left_of_those_that_lose_or_are_given_up(tmp_path: Path) -> None:
    async def work(host: Host) -> None:
        host.delays |= {SIX: 0.3, FOUR: 0.05}  # both are there at about the same time
        won = await host.connect()
        assert len(host.tried) == 2
        assert set(host.discarded) <= {f"connection to {SIX}", f"connection to {FOUR}"} - {won}

        host.delays |= {SIX: 60, FOUR: 60}
        before = len(asyncio.all_tasks())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.4):
                await host.connect()
        assert len(asyncio.all_tasks()) == before

    run(tmp_path, work)
