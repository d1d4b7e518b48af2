"""Every codec gets its bytes in three ways: whole, byte by byte, and with more bytes behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

Event_co = TypeVar("Event_co", covariant=True)


class Receiver(Protocol[Event_co]):
    """A sans-IO codec, as far as this needs it."""

    def receive(self, data: bytes) -> Sequence[Event_co]: ...

    def buffered(self) -> int: ...


def bytewise(codec: Receiver[Event_co], data: bytes) -> list[Event_co]:
    """The events of `data`, given to `codec` byte by byte."""
    return [event for byte in data for event in codec.receive(bytes((byte,)))]


def feed3(
    make: Callable[[], Receiver[Event_co]],
    data: bytes,
    joined: Callable[[list[Event_co]], object],
    trailing: bytes = b"",
) -> list[Event_co]:
    """The events of `data` fed whole. The other two ways must give the same, as `joined` sees it (which
    puts together what may come in parts); of `trailing`, the codec must keep each byte, as no event."""
    expected = list(make().receive(data))
    single = bytewise(make(), data)
    assert joined(single) == joined(expected), f"byte by byte: {single}\nwhole: {expected}"
    if trailing:
        codec = make()
        events = list(codec.receive(data + trailing))
        assert joined(events) == joined(expected), f"with trailing bytes: {events}\nwhole: {expected}"
        assert codec.buffered() == len(trailing), f"{codec.buffered()} of {len(trailing)} bytes kept"
    return expected
