"""An edge behind which a shield stands: the origin is asked once for all edges, and also without it."""

from __future__ import annotations

import asyncio
from ipaddress import ip_network
from pathlib import Path

from netlab.net.stream import Stream
from tests.kit.edge import Edge, edge, http
from tests.kit.roles_in_process import Running, until

SHIELD = 8444
FRESH = "Cache-Control: max-age=300"


async def script(_: str, stream: Stream) -> None:
    await stream.write(http(b"content", FRESH))


def test_a_miss_of_one_edge_is_a_hit_of_the_shield_for_another(tmp_path: Path) -> None:
    async def work(made: Edge) -> None:
        trusted = {"shield": None, "trusted": (ip_network("127.0.0.0/8"),)}
        async with made.beside("shield", SHIELD, **trusted), made.beside("tokyo", 8445) as other:
            first = await made.ask("/x", "X-Forwarded-For: 9.9.9.9")
            assert first.cache == (
                "shield; fwd=uri-miss; fwd-status=200; stored, cdn; fwd=uri-miss; fwd-status=200; stored"
            )
            second = await other.ask("/x")
            members = [one.strip() for one in second.cache.split(",")]
            assert members[0].startswith("shield; hit; ttl="), second
            assert members[1] == "tokyo; fwd=uri-miss; fwd-status=200; stored", second
            assert len(made.asked) == 1, made.asked
            lines = made.asked[0].split("\r\n")
            assert "CDN-Loop: cdn, shield" in lines, lines
            assert "Via: 1.1 cdn, 1.1 shield" in lines, lines
            assert "X-Forwarded-For: 127.0.0.1, 127.0.0.1" in lines, "the edge's word, not the client's"

    edge(tmp_path, script, work, shield=f"127.0.0.1:{SHIELD}")


def test_without_its_shield_an_edge_asks_the_origin(tmp_path: Path) -> None:
    async def work(made: Edge) -> None:
        for target in ("/1", "/2"):
            answer = await made.ask(target)
            assert (answer.status, answer.body) == (200, b"content")
            assert answer.cache == "cdn; fwd=uri-miss; fwd-status=200; stored"
        assert len(made.asked) == 2, made.asked
        assert len(made.role.events("shield-failed")) == 1, "it is left alone for a while"

    edge(tmp_path, script, work, shield=f"127.0.0.1:{SHIELD}")


def test_a_post_that_the_shield_may_have_acted_on_is_not_repeated(tmp_path: Path) -> None:
    async def cut(_: str, stream: Stream) -> None:
        await stream.close()

    async def work(made: Edge) -> None:
        async with made.beside("shield", SHIELD, shield=None):
            answer = await made.ask("/x", "Content-Length: 1", method="POST", body="a")
            assert answer.status == 502, answer
            assert len(made.asked) == 1, made.asked

    edge(tmp_path, cut, work, shield=f"127.0.0.1:{SHIELD}")


def test_a_purge_goes_to_the_shield_too(tmp_path: Path) -> None:
    loopback = (ip_network("127.0.0.0/8"),)

    async def work(made: Edge) -> None:
        async with made.beside("shield", SHIELD, shield=None):
            await made.ask("/x")
            purged = await made.ask("/x", method="PURGE")
            assert (purged.status, purged.body) == (200, b'{"purged": 1, "shield": 1}')
            after = await made.ask("/x")
            assert after.cache.startswith("shield; fwd=uri-miss"), after
            assert len(made.asked) == 2, made.asked
        alone = await made.ask("/x", method="PURGE")
        assert alone.status == 502, "what the shield has kept would come back"
        assert "fwd=uri-miss" in (await made.ask("/x")).cache, "the edge's own is gone all the same"

    edge(tmp_path, script, work, shield=f"127.0.0.1:{SHIELD}", purge=loopback)


def test_what_is_stale_at_the_shield_too_does_not_refresh_an_edge(tmp_path: Path) -> None:
    versions = iter(range(1, 9))

    async def changing(_: str, stream: Stream) -> None:
        rule = "Cache-Control: max-age=1, stale-while-revalidate=60"
        await stream.write(http(f"version {next(versions)}".encode(), rule))

    async def work(made: Edge) -> None:
        async with made.beside("shield", SHIELD, shield=None):
            assert (await made.ask("/x")).body == b"version 1"
            await asyncio.sleep(1.1)
            assert (await made.ask("/x")).body == b"version 1", "stale, while it is asked about"
            await until(lambda: len(made.role.events("cache-stored")) == 2, "the edge has another")
            assert (await made.ask("/x")).body == b"version 2"

    edge(tmp_path, changing, work, shield=f"127.0.0.1:{SHIELD}")


def test_a_shield_comes_and_goes_while_the_edge_runs(tmp_path: Path) -> None:
    async def work(made: Edge) -> None:
        async with made.beside("shield", SHIELD):
            assert isinstance(made.role, Running)
            control = made.role.ctx.control
            assert "shield" not in (await made.ask("/1")).cache
            told = {"op": "set", "settings": {"shield": f"127.0.0.1:{SHIELD}", "compress": "true"}}
            assert control.answer(told) == {"ok": {"shield": "", "compress": "false"}}
            assert (await made.ask("/2")).cache.startswith("shield; fwd=uri-miss")
            wrong = control.answer({"op": "set", "settings": {"shields": "x:1"}})
            assert "a cdn has no setting shields" in wrong["error"]["cause"], wrong
            assert control.answer({"op": "set", "settings": {"shield": ""}})["ok"]["shield"]
            assert "shield" not in (await made.ask("/3")).cache

    edge(tmp_path, script, work)
