"""Frames in memory: VLAN tags put back, and the store."""

from __future__ import annotations

import ctypes
import struct

from netlab.wire.frame import VNET
from netlab.wire.ring import SLOT_BYTES, tagged
from netlab.wire.store import Store

_MACS = bytes(range(12))
_REST = b"\x08\x00" + b"payload"


def frame(flags: int = 0, gso: int = 0, header: int = 0, start: int = 0) -> memoryview:
    return memoryview(struct.pack("=BBHHHH", flags, gso, header, 1400, start, 16) + _MACS + _REST)


def test_a_tag_goes_between_addresses_and_type() -> None:
    data = tagged(frame(), tci=0x2064, tpid=0x8100)
    assert bytes(data[VNET:]) == _MACS + b"\x81\x00\x20\x64" + _REST


def test_an_unfinished_checksum_moves_with_the_tag() -> None:
    data = tagged(frame(flags=1, gso=1, header=54, start=34), tci=5, tpid=0x88A8)
    assert struct.unpack_from("=BBHHHH", data) == (1, 1, 58, 1400, 38, 16)


def test_offsets_of_a_finished_frame_stay_zero() -> None:
    assert struct.unpack_from("=BBHHHH", tagged(frame(), tci=5, tpid=0x8100)) == (0, 0, 0, 1400, 0, 16)


def test_the_store_keeps_copies_at_their_addresses() -> None:
    store = Store(capacity=4)
    frames = [bytes([number]) * (100 + number) for number in range(4)]
    kept = [store.keep(memoryview(data)) for data in frames]
    for where, data in zip(kept, frames, strict=True):
        assert where is not None
        assert ctypes.string_at(where[0], len(data)) == data


def test_a_full_store_says_so_until_a_frame_leaves() -> None:
    store = Store(capacity=1)
    first = store.keep(memoryview(b"first"))
    assert first is not None
    assert store.keep(memoryview(b"second")) is None
    store.release([first])
    assert store.keep(memoryview(b"third")) == first


def test_a_frame_longer_than_a_slot_has_memory_of_its_own() -> None:
    store, data = Store(capacity=1), bytes(range(256)) * 200
    kept = store.keep(memoryview(data))
    assert kept is not None
    assert len(data) > SLOT_BYTES
    assert ctypes.string_at(kept[0], len(data)) == data
    store.release([kept])
    assert store.keep(memoryview(b"small")) is not None
