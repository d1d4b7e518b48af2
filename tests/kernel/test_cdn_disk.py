"""The disk behind an edge: it outlives the role, also one that is killed, and serves no damaged file."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from netlab.model.roles.cdn import Disk
from netlab.net import disk_store
from netlab.net.stream import Stream
from tests.kit.edge import PORT, Edge, edge, http
from tests.kit.role_process import RoleProcess
from tests.kit.roles_in_process import until

FRESH = "Cache-Control: max-age=300"
BIG = bytes(range(256)) * 256


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "store"
    place.mkdir()
    monkeypatch.setenv("NETLAB_STORE", str(place))
    return place


def names(store: Path) -> list[str]:
    return [path.name for path in store.iterdir()]


def next_run(directory: Path) -> Path:
    """For its events alone: the store is the same."""
    place = directory / "again"
    place.mkdir()
    return place


async def script(head: str, stream: Stream) -> None:
    target = head.split()[1]
    language = next((line for line in head.split("\r\n") if line.startswith("Accept-Language")), "")
    fields = (FRESH, "Vary: Accept-Language", f"Cache-Tag: {target[1:2]}", 'ETag: "1"')
    await stream.write(http(f"{target} {language}".encode() + BIG, *fields))


def test_what_was_stored_is_a_hit_after_a_restart(tmp_path: Path) -> None:
    async def work(made: Edge) -> None:
        await made.ask("/a", "Accept-Language: de")
        await made.ask("/a", "Accept-Language: en")

    async def again(made: Edge) -> None:
        for language in ("de", "en"):
            found = await made.ask("/a", f"Accept-Language: {language}")
            assert "hit" in found.cache, found.cache
            assert found.body.startswith(f"/a Accept-Language: {language}".encode())
            assert len(found.body) > len(BIG)
        assert "vary-miss" in (await made.ask("/a", "Accept-Language: fr")).cache
        assert len(made.asked) == 1, made.asked

    disk = Disk(bytes="1mb")
    edge(tmp_path, script, work, disk=disk)
    edge(next_run(tmp_path), script, again, disk=disk)


def test_many_who_ask_at_once_are_one_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []

    def counted(path: Path) -> bytes:
        read.append(path)
        time.sleep(0.1)
        return path.read_bytes()

    async def work(made: Edge) -> None:
        await made.ask("/a")

    async def again(made: Edge) -> None:
        monkeypatch.setattr(disk_store, "_read", counted)
        answers = await asyncio.gather(*(made.ask("/a") for _ in range(8)))
        assert all("hit" in one.cache and one.body.endswith(BIG) for one in answers)
        assert len(read) == 1, read

    disk = Disk(bytes="1mb")
    edge(tmp_path, script, work, disk=disk)
    edge(next_run(tmp_path), script, again, disk=disk)


def test_memory_and_disk_are_bounded_apart(tmp_path: Path, store: Path) -> None:
    """Memory has room for eight responses, the disk for ten."""

    async def work(made: Edge) -> None:
        for number in range(1, 13):
            assert "stored" in (await made.ask(f"/{number}")).cache
        assert "hit" in (await made.ask("/4")).cache, "no longer in memory, but on the disk"
        assert "uri-miss" in (await made.ask("/1")).cache, "what was used least recently is gone"
        await until(lambda: len(names(store)) == 10, "ten files are left")

    edge(tmp_path, script, work, disk=Disk(bytes=10 * 72 * 1024), cache_bytes=8 * 66_000)


@pytest.mark.parametrize("damage", ["cut", "flip", "rubbish"])
def test_a_damaged_file_is_dropped_and_fetched_again(tmp_path: Path, store: Path, damage: str) -> None:
    async def work(made: Edge) -> None:
        await made.ask("/a")

    async def again(made: Edge) -> None:
        if damage != "flip":  # the head says that
            assert len(made.role.events("store-damaged")) == 1
            assert not names(store)
        found = await made.ask("/a")
        assert "fwd=uri-miss" in found.cache, found.cache
        assert found.body.endswith(BIG)
        assert len(made.role.events("store-damaged")) == 1
        assert "hit" in (await made.ask("/a")).cache

    disk = Disk(bytes="1mb")
    edge(tmp_path, script, work, disk=disk)
    (path,) = store.iterdir()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes({"cut": bytes(data[:-9]), "flip": bytes(data), "rubbish": b"?"}[damage])
    edge(next_run(tmp_path), script, again, disk=disk)


def test_what_was_purged_does_not_come_back(tmp_path: Path) -> None:
    async def work(made: Edge) -> None:
        for target in ("/a", "/b", "/c"):
            await made.ask(target)
        gone = await made.ask("/", "Cache-Tag: a", method="PURGE")
        assert gone.body == b'{"purged": 1}'
        await made.ask("/b", "Soft-Purge: 1", method="PURGE")

    async def again(made: Edge) -> None:
        assert "uri-miss" in (await made.ask("/a")).cache
        assert "fwd=stale" in (await made.ask("/b")).cache
        assert "hit" in (await made.ask("/c")).cache

    spec = {"disk": Disk(bytes="1mb"), "purge": ("127.0.0.0/8",)}
    edge(tmp_path, script, work, **spec)
    edge(next_run(tmp_path), script, again, **spec)


def test_a_killed_role_leaves_no_half_response(tmp_path: Path, store: Path) -> None:
    """It is killed while it writes; whatever the next one finds is whole."""

    async def killed(made: Edge) -> None:
        async with made.process(PORT + 1, disk=Disk(bytes="8mb")) as asking:
            for number in range(40):
                answer = await asking.ask(f"/{number}")
                assert answer.status == 200, answer
                if len(names(store)) > 20:
                    break
            assert isinstance(asking.role, RoleProcess)
            os.kill(asking.role.process.pid, signal.SIGKILL)
            await asyncio.to_thread(asking.role.wait)

    async def again(made: Edge) -> None:
        kept = [name for name in names(store) if not name.endswith(".new")]
        assert len(kept) > 5
        for number in range(len(kept)):
            found = await made.ask(f"/{number}")
            assert found.body == f"/{number} ".encode() + BIG, (number, found.cache)
        assert not [name for name in names(store) if name.endswith(".new")]

    edge(tmp_path, script, killed)
    (store / "0.new").write_bytes(b"half")
    edge(next_run(tmp_path), script, again, disk=Disk(bytes="8mb"))
