"""What an edge keeps: the cache in memory, and behind it a disk where it has one."""

from __future__ import annotations

from dataclasses import replace

from netlab.model.roles import CdnSpec
from netlab.net.context import RoleContext
from netlab.net.disk_store import DiskStore, store_directory
from netlab.policy.cache import Cache, Change, Lookup
from netlab.policy.cache_key import Key, KeySettings
from netlab.policy.compression import LEAST, MOST_WHOLE, gzipped, gzipped_head, wants_gzip
from netlab.policy.purge import Condition
from netlab.policy.stored import Stored, is_negative
from netlab.proto.http import RequestHead, ResponseHead


class EdgeStore:
    """As policy's Cache, to which all decisions are left. Raises LabError where the disk has no place."""

    def __init__(self, ctx: RoleContext, spec: CdnSpec) -> None:
        self.configure(spec)
        self._journal: list[Change] = []
        self._disk = DiskStore(ctx, store_directory(), spec.disk.bytes) if spec.disk else None
        settings = KeySettings(**spec.key.model_dump())
        self._cache = Cache(spec.cache_bytes, settings, self._journal if self._disk else None)

    def configure(self, spec: CdnSpec) -> None:
        """Take what may change while the edge runs."""
        self._negative_s = spec.negative_ns / 1e9

    async def open(self) -> None:
        if self._disk is not None:
            await self._disk.open()

    async def close(self) -> None:
        if self._disk is not None:
            await self._disk.close()

    def key_of(self, request: RequestHead) -> Key:
        return self._cache.key_of(request)

    @property
    def on_disk(self) -> bool:
        """Whether `load` is to come before `look_up`."""
        return self._disk is not None

    async def load(self, request: RequestHead) -> None:
        """What the disk has of the request's key is in memory after it."""
        if self._disk is not None:
            key = self._cache.key_of(request)
            for variant in self._disk.missing(key, self._cache.variants(key)):
                entry = await self._disk.load(variant)
                if entry is not None:
                    self._cache.admit(variant, entry)

    def look_up(self, request: RequestHead, now: float) -> Lookup:
        return self._cache.look_up(request, now)

    def form_of(self, request: RequestHead, entry: Stored) -> Stored:
        """The form of a stored response, which may be compressed, that the request wants. It is compressed
        once, and kept in memory beside what it is made of."""
        if not LEAST <= len(entry.body) <= MOST_WHOLE or not wants_gzip(request):
            return entry
        if entry.packed is None:
            packed = gzipped(entry.body)
            made = replace(entry, head=gzipped_head(entry.head, len(packed)), body=packed)
            self._cache.add_packed(request, entry, made)
            return made
        return entry.packed

    def store(
        self, request: RequestHead, response: ResponseHead, body: bytes, requested_at: float, now: float
    ) -> Stored | None:
        default_s = self._negative_s if is_negative(response.status) else 0.0
        entry = self._cache.store(request, response, body, requested_at, now, default_s)
        self._follow()
        return entry

    def refresh(
        self, request: RequestHead, entry: Stored, response: ResponseHead, requested_at: float, now: float
    ) -> Stored | None:
        fresh = self._cache.refresh(request, entry, response, requested_at, now)
        self._follow()
        return fresh

    def head_seen(self, request: RequestHead, response: ResponseHead, asked_at: float, now: float) -> None:
        self._cache.head_seen(request, response, asked_at, now)
        self._follow()

    def invalidate(self, request: RequestHead, response: ResponseHead, now: float) -> bool:
        done = self._cache.invalidate(request, response, now)
        self._follow()
        return done

    def purge(self, condition: Condition, now: float, *, soft: bool = False) -> int:
        """How many responses that are, in memory or on the disk."""
        chosen = set(self._cache.matching(condition))
        if self._disk is not None:
            chosen.update(self._disk.matching(condition))
        self._cache.purge(condition, now, soft=soft)
        self._follow()
        return len(chosen)

    def _follow(self) -> None:
        if self._disk is not None and self._journal:
            self._disk.follow(self._journal)
            self._journal.clear()
