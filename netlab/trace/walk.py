"""All packets of a capture in order, decoded deeply, in memory that does not grow with the capture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from netlab.decode.frame import Frame
from netlab.decode.tls import KeyLog
from netlab.errors import CaptureError, InputError
from netlab.proto.capture_file import Place
from netlab.trace.deep import Deep, deep
from netlab.trace.dissection import Dissection, dissect
from netlab.trace.index import Index, Unit

ACTIVE = 64 << 20  # bytes of the connections that are held decoded at once

Chooses = Callable[[Frame], bool]


@dataclass
class Walk:
    """`shallow`: packets of connections of which only headers were decoded, for want of memory."""

    index: Index
    keys: KeyLog
    active: int = ACTIVE
    shallow: int = 0

    def packets(self, chosen: Chooses | None = None) -> Iterator[Dissection]:
        """Those that `chosen` takes. Raises CaptureError where the file is damaged, after all before it."""
        held: dict[int, Deep] = {}
        refused: set[int] = set()
        size = 0
        units = self.index.units_of
        for number, place in enumerate(self.index.file.places(), 1):
            which = units[number - 1] if number <= len(units) else 0
            unit = self.index.units[which]
            frame = self.index.frame(number, place)
            known = held.get(which)
            wanted = chosen is None or chosen(frame)
            if unit is not None and known is None and wanted and which not in refused:
                if size + unit.bytes <= self.active:
                    size += unit.bytes
                    known = held[which] = deep(self.index.frames(unit), self.keys)
                else:
                    refused.add(which)
            if wanted:
                yield self._dissected(frame, unit, known)
            if unit is not None and unit.last == number and held.pop(which, None) is not None:
                size -= unit.bytes

    def _dissected(self, frame: Frame, unit: Unit | None, known: Deep | None) -> Dissection:
        if unit is None:
            return dissect(frame)
        if known is None or (unit.cut and frame.number not in known.connections and unit.protocol == "tcp"):
            self.shallow += 1
        return dissect(frame, known)

    def packet(self, number: int) -> Dissection:
        """One of them. Raises InputError where the capture has no such packet."""
        place = next((one for at, one in enumerate(self._places(), 1) if at == number), None)
        if place is None:
            last = self.index.packets
            raise InputError(f"{self.index.file.source}: no packet {number}: it has {last}")
        unit = self.index.unit(number)
        frame = self.index.frame(number, place)
        return self._dissected(frame, unit, deep(self.index.frames(unit), self.keys) if unit else None)

    def _places(self) -> Iterator[Place]:
        """The packets before the damage, if there is any."""
        try:
            yield from self.index.file.places()
        except CaptureError:
            return
