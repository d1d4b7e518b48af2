"""A link of a running lab, as programs and the command line use it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netlab.errors import InputError, LabError
from netlab.lab import state

if TYPE_CHECKING:
    from netlab.lab.client import LabClient

_ANSWER_S = 30.0
_LONG_S = 20 * 86_400.0  # a flap without a count; about what poll(2) can wait


class LinkClient:
    """The link of one `node:interface` (or of a node with a single link).

    Everything returns the link's document, as `show`. Raises InputError where no link ends there, or
    where what is asked for makes no sense; LabError where the lab can't do it.
    """

    def __init__(self, lab: LabClient, end: str) -> None:
        """Use `LabClient.link`."""
        self._lab = lab
        self.end = end

    def show(self) -> dict[str, Any]:
        """name, ends, medium, mtu, backend, state ("up", "down", "no carrier", "relay ended"), interfaces
        (up, carrier), playing; and per direction ("up": from the first end to the second; "down"): from,
        words, impairment (in force), given (what it goes back to after a playback), counters (frames, bytes;
        of a relayed link also lost, overlimit, late, unable; of a netem link dropped)."""
        found: dict[str, Any] = show_links(self._lab, [self.end])[0]
        return found

    def set(self, *words: str, direction: str = "both", **changes: object) -> dict[str, Any]:
        """Change what it does to frames that come from now on: `set(delay="80ms", loss="1%")`, or in words as
        the command line has them. What isn't named stays. `direction`: "up", "down" or "both"."""
        from netlab.lab.live_link import chosen_directions
        from netlab.model.change import parse
        from netlab.model.impairment import from_document

        words = (*words, *(f"{name}={value}" for name, value in changes.items()))
        now = self.show()
        wanted = {
            way: parse(words, from_document(now[way]["given"]), now["mtu"]).document()
            for way in chosen_directions(direction)
        }
        return self._ask("link-set", wanted)

    def restore(self, shown: dict[str, Any]) -> dict[str, Any]:
        """Give it back what it did when `show` gave this document."""
        return self._ask("link-set", {way: shown[way]["given"] for way in ("up", "down")})

    def down(self) -> dict[str, Any]:
        """Take the carrier from both ends. Frames under way are lost."""
        return self._ask("link-state", {"up": False})

    def up(self) -> dict[str, Any]:
        """Give both ends their carrier back, and their nodes the routes that they had lost with it."""
        return self._ask("link-state", {"up": True})

    def play(self, path: Path, direction: str = "both", *, loop: bool = False) -> dict[str, Any]:
        """Change it as a trace file says; returns when it has begun (see `netlab.model.playback`).

        `loop`: again and again. Else the link is then what it was before.
        """
        from netlab.model.playback import load

        playback = load(path)
        return self._ask(
            "link-play",
            {
                "direction": direction,
                "title": path.name,
                "steps": [[step.at_ns, dict(step.changes)] for step in playback.steps],
                "period_ns": playback.period_ns,
                "repeat": loop,
            },
        )

    def stop(self, direction: str = "both") -> dict[str, Any]:
        """End what it plays. LabError where it plays nothing."""
        return self._ask("link-stop", {"direction": direction})

    def flap(
        self, every_s: float, for_s: float, count: int = 0, tell: Callable[[int], None] = lambda _: None
    ) -> dict[str, Any]:
        """Down for `for_s` in every `every_s` seconds, `count` times (0: until this process is interrupted).

        `tell` hears of each time that it went down. However it ends, the link is up afterwards.
        """
        request = {"op": "link-flap", "end": self.end, "every_s": every_s, "for_s": for_s, "count": count}
        wait_s = count * every_s + _ANSWER_S if count else _LONG_S
        with contextlib.closing(self._lab.converse(request, min(wait_s, _LONG_S))) as answers:
            try:
                for answer in answers:
                    if "progress" in answer:
                        tell(int(answer["progress"]))
                    if "ok" in answer:
                        return dict(answer["ok"])
            except KeyboardInterrupt:
                self.up()
                raise
        raise LabError("the lab gave no answer", "see: netlab ps")

    def _ask(self, operation: str, fields: dict[str, Any]) -> dict[str, Any]:
        try:
            found: dict[str, Any] = self._lab.ask({"op": operation, "end": self.end, **fields})
        except InputError as error:
            raise _with_other_labs(error, self._lab, [self.end]) from error
        return found


def show_links(lab: LabClient, ends: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The documents of these links (see `LinkClient.show`), of all where none is named."""
    try:
        found: list[dict[str, Any]] = lab.ask({"op": "link-show", "ends": list(ends)})
    except InputError as error:
        raise _with_other_labs(error, lab, ends) from error
    return found


def _with_other_labs(error: InputError, lab: LabClient, ends: Sequence[str]) -> InputError:
    """The error, with a better remedy where other labs have these ends."""
    having = [
        directory.name
        for directory, _, alive in state.all_labs(lab.state.parent)
        if alive
        and directory.name != lab.name
        and ends
        and _has(type(lab)(directory.name, directory.parent), ends)
    ]
    if not having:
        return error
    remedy = "; ".join(f"lab {name} has it: --lab {name}" for name in having)
    return InputError(f"{error.cause} in lab {lab.name}", remedy)


def _has(lab: LabClient, ends: Sequence[str]) -> bool:
    try:
        lab.ask({"op": "link-show", "ends": list(ends)})
    except (InputError, LabError):
        return False
    return True
