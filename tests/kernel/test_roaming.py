"""A connection follows its node to another network."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

from netlab.model.event import Flow
from netlab.model.roles import ClientSpec
from netlab.net.context import RoleContext
from netlab.net.roaming import follow, source_to
from tests.kit.roles_in_process import running, until


def ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True)


class Connection:
    """What a QUIC connection is to the roamer."""

    def __init__(self) -> None:
        self.flow = Flow("udp", "10.7.1.1", 5000, "192.0.2.1", 443)
        self.moves: list[str] = []
        self.ended = asyncio.Event()

    def migrate(self, local: str = "", interface: str = "") -> None:
        del interface
        self.moves.append(local)
        self.flow = self.flow._replace(local=local)


def test_it_moves_when_the_first_way_has_no_carrier_and_back(tmp_path: Path) -> None:
    for name, address, metric in (("wifi", "10.7.1", 0), ("lte", "10.7.2", 100)):
        ip(f"link add {name}0 type veth peer name {name}1")
        Path(f"/proc/sys/net/ipv4/conf/{name}0/ignore_routes_with_linkdown").write_text("1")
        ip(f"addr add {address}.1/24 dev {name}0")
        ip(f"link set {name}0 up")
        ip(f"link set {name}1 up")
        ip(f"route add default via {address}.254 metric {metric}")
    asyncio.run(_moves(tmp_path))


async def _moves(directory: Path) -> None:
    connection = Connection()

    async def serve(_: ClientSpec, ctx: RoleContext, __: tuple[str, ...]) -> None:
        follow(ctx, connection)
        ctx.ready()
        await ctx.stopped()

    async with running(serve, ClientSpec(), directory, "phone", ("0.0.0.0",)):
        assert source_to("192.0.2.1", 443) == "10.7.1.1"
        ip("link set wifi1 down")
        await until(lambda: connection.moves == ["10.7.2.1"], "it goes on by the second way")
        ip("link set wifi1 up")
        await until(lambda: connection.moves == ["10.7.2.1", "10.7.1.1"], "it comes back")
        ip("link set wifi1 down")
        ip("link set lte1 down")
        await until(lambda: source_to("192.0.2.1", 443) == "", "no way is left")
    assert "10.7.2.1" in connection.moves
