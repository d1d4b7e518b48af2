"""Carriers across the middle of links: an interface that goes down at one end is seen at the other.

A veth tells only its own peer. Of a link with a middle that is the interface in the middle, so the lab takes
its neighbour there down as well, and with it the far end's carrier, until the near one is back.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

from netlab.errors import KernelError, LabError
from netlab.fabric.changes import Flags, LinkChanges
from netlab.fabric.kernel import Kernel
from netlab.lab.live_link import LiveLink
from netlab.lab.loop import Loop


class Step(NamedTuple):
    """What to do with one of a link's two interfaces in the middle, and which one is held down afterwards."""

    interface: str
    up: bool
    held: str


def next_step(middle: tuple[str, ...], held: str, flags: dict[str, Flags]) -> Step | None:
    """What the flags of a link's `middle` ask for; `held` is the interface that is down for the other's sake.

    Never are both held down: the one that is up is what shows when the end beyond it comes back.
    """
    for near, far in (middle, middle[::-1]):
        if not flags[near].up:
            continue
        if held == far and flags[near].carrier:
            return Step(far, up=True, held="")
        if not held and not flags[near].carrier:
            return Step(far, up=False, held=far)
    return None


class Carriers:
    """Keeps the carriers of both ends of every link with a middle alike."""

    def __init__(self, kernel: Kernel, loop: Loop, links: Iterable[LiveLink]) -> None:
        self._kernel = kernel
        self._links = [link for link in links if link.middle]
        for node in {link.middle_node for link in self._links}:
            changes = LinkChanges(kernel.namespace(node))
            loop.watch(changes, lambda node=node, changes=changes: self._changed(node, changes))  # type: ignore[misc]

    def _changed(self, node: str, changes: LinkChanges) -> None:
        """Something did: what there is now counts, not what the messages say of a moment ago."""
        names = changes.read()
        for link in self._links:
            changed = names is None or not names.isdisjoint(link.middle)
            if changed and link.middle_node == node and link.wanted_up:
                with suppress(KernelError, LabError):  # a user deleted the far end, and with it this one
                    self._settle(link)

    def _settle(self, link: LiveLink) -> None:
        flags = {one: self._kernel.flags(link.middle_node, one) for one in link.middle}
        step = next_step(link.middle, link.held, flags)
        if step is not None:
            self._kernel.set_link(link.middle_node, step.interface, up=step.up)
            link.held = step.held
