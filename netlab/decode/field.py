"""Layers and their fields, with the bytes of the frame that each is."""

from __future__ import annotations

from typing import NamedTuple


class Field(NamedTuple):
    """`value` as it is in the header, a number where it is one; `text` for people, with names and units.

    `start` and `length` in the frame's bytes; `length` 0 where it isn't in them as it is (decrypted,
    or computed).
    """

    name: str
    value: int | str
    text: str
    start: int = 0
    length: int = 0


class Layer(NamedTuple):
    """`osi` is the layer's number in the OSI model; `fields` in the header's order. The bytes of the frame
    from `start` to before `end` are this layer: of layers 2 to 4 the header."""

    osi: int
    name: str
    fields: tuple[Field, ...]
    start: int = 0
    end: int = 0

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Names and texts."""
        return tuple((field.name, field.text) for field in self.fields)

    def field(self, name: str) -> int | str | None:
        """The value of the first field of that name."""
        return next((one.value for one in self.fields if one.name == name), None)
