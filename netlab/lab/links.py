"""Changes links of a lab that is up: by the relay, by netem, or by taking an interface down."""

from __future__ import annotations

import errno
import sys
import time
from collections.abc import Callable
from typing import Any

from netlab.errors import HostError, KernelError, LabError, NetlabError
from netlab.fabric.kernel import Kernel
from netlab.fabric.observe import Seen, dropped, observe
from netlab.lab.carriers import Carriers
from netlab.lab.helpers import Helper, describe
from netlab.lab.live_link import DIRECTIONS, Cut, LiveLink, end_to_cut, find_link, live_links
from netlab.lab.loop import Loop
from netlab.lab.order import Order
from netlab.lab.restoring import lost_by
from netlab.model.impairment import Impairment
from netlab.plan.ops import StartWire, WireLink

Done = Callable[[NetlabError | None], None]
_CARRIER_S = 3.0
_COUNTERS_S = 3.0
_PAUSE_S = 0.002


class Links:
    """All links of a lab, and their relay, if some are relayed.

    What takes time is told to `done`, with the error that kept it from being so.
    """

    def __init__(
        self, order: Order, kernel: Kernel, loop: Loop, fork_relay: Callable[[StartWire], Helper]
    ) -> None:
        self.all = live_links(order.topology, order.plan)
        self.relay: Helper | None = None
        self.relay_restarts = 0  # each began all counters of relayed links anew
        self._fork_relay = fork_relay
        self._lost: list[LiveLink] = []  # were up when the relay ended
        self._order = order
        self._kernel = kernel
        self._loop = loop
        self._carriers: Carriers | None = None

    def watch(self) -> None:
        """From now on, an end that goes down takes the other end's carrier along."""
        self._carriers = Carriers(self._kernel, self._loop, self.all)

    def find(self, end: str) -> LiveLink:
        """See `find_link`."""
        return find_link(self.all, end)

    def state(self, link: LiveLink, seen: dict[str, Seen] | None = None) -> str:
        """ "up", "down" (by `link down`), "relay ended", or "no carrier" where the kernel sees none."""
        if link.backend == "wire" and not self._relay_lives():
            return "relay ended"
        if not link.wanted_up:
            return "down"
        return "no carrier" if seen and not all(one.carrier for one in seen.values()) else "up"

    def observe(self, links: list[LiveLink]) -> dict[str, Seen]:
        """What the kernel says of their ends; those that can't be seen are left out."""
        ends = {str(end): end for link in links for end in link.link.ends}
        wanted: dict[int, list[str]] = {}
        for end in ends.values():
            wanted.setdefault(self._kernel.namespace(end.node), []).append(end.interface)
        seen = observe(wanted)
        places = {name: (self._kernel.namespace(end.node), end.interface) for name, end in ends.items()}
        return {name: seen[place] for name, place in places.items() if place in seen}

    def dropped(self, links: list[LiveLink]) -> dict[str, int]:
        """How many frames that each end sent netem dropped, of those links that it impairs."""
        places = {}
        for link in links:
            for way in DIRECTIONS if link.backend == "netem" else ():
                node, interface = link.qdisc(way)
                places[str(link.sender(way))] = (self._kernel.namespace(node), interface)
        counts = dropped(places.values())
        return {name: counts[place] for name, place in places.items() if place in counts}

    def counters(self, done: Callable[[dict[str, Any] | None], None]) -> None:
        """The relay's own counters, as it gives them ("links", "unable", "in_flight").

        None without a relay, or where it doesn't say anything.
        """
        if self.relay is None or not self.relay.alive:
            done(None)
            return
        heard: list[bool] = []

        def once(answer: dict[str, Any]) -> None:
            if not heard:
                heard.append(True)
                done(answer.get("ok"))

        self.relay.ask({"op": "stats"}, once)
        self._loop.after(_COUNTERS_S, lambda: once({}))

    # What links do to frames.

    def change(self, link: LiveLink, wanted: dict[str, Impairment], done: Done) -> None:
        """From now on, `wanted` in these directions. Frames under way keep what they met."""
        if link.backend == "wire":
            self._ask_relay(
                {
                    "op": "set",
                    "link": link.name,
                    **{direction: one.document() for direction, one in wanted.items()},
                },
                lambda error: _told(error, done, lambda: link.now.update(wanted)),
            )
            return
        try:
            for direction, one in wanted.items():
                self._change_netem(link, direction, one)
        except NetlabError as error:
            done(error)
        else:
            done(None)

    def _change_netem(self, link: LiveLink, direction: str, wanted: Impairment) -> None:
        if link.backend == "none" and wanted.perfect:
            return
        try:
            self._kernel.set_impairment(*link.qdisc(direction), wanted)
        except HostError as error:
            if link.backend != "none":
                raise
            raise LabError(
                f"{link.name} is a plain link, which only netem can change: {error.cause}",
                "say `backend: wire` on this link in the topology, and bring the lab up again",
            ) from error
        link.backend = "netem"
        link.now[direction] = wanted

    # Whether they are there.

    def take_down(self, link: LiveLink, near: str, done: Done) -> None:
        """Both ends lose their carrier; frames under way are lost."""
        if not link.wanted_up:
            done(None)
        elif link.backend == "wire":
            self._plug(link, up=False, done=done)
        elif link.middle:
            self._attempt(done, lambda: self._switch(link, up=False))
        else:
            kinds = {name: node.kind for name, node in self._order.topology.nodes.items()}
            cut = end_to_cut(link.link, near, kinds)
            self._attempt(done, lambda: self._cut(link, cut))

    def bring_up(self, link: LiveLink, done: Done) -> None:
        """`done` when both ends have their carrier again, and their nodes what they had lost."""
        if link.backend == "wire" and not self._relay_lives():
            self._restart_relay(link, done)
        elif link.wanted_up:
            done(None)
        elif link.backend == "wire":
            self._plug(link, up=True, done=lambda error: self._wait(link, error, done))
        else:
            mend = self._switch_on if link.middle else self._mend
            self._attempt(lambda error: self._wait(link, error, done), lambda: mend(link))

    def _plug(self, link: LiveLink, *, up: bool, done: Done) -> None:
        """The relay brings its two interfaces up or down."""

        def plugged() -> None:
            link.wanted_up, link.held = up, ""

        request = {"op": "carrier", "link": link.name, "up": up}
        self._ask_relay(request, lambda error: _told(error, done, plugged))

    def _switch(self, link: LiveLink, *, up: bool) -> None:
        """The link's two interfaces in its middle go up or down."""
        for interface in link.middle:
            self._kernel.set_link(link.middle_node, interface, up=up)
        link.wanted_up, link.held = up, ""

    def _switch_on(self, link: LiveLink) -> None:
        self._switch(link, up=True)

    def _cut(self, link: LiveLink, cut: Cut) -> None:
        self._kernel.set_link(cut.node, cut.interface, up=False)
        link.cut, link.wanted_up = cut, False

    def _mend(self, link: LiveLink) -> None:
        assert link.cut is not None
        self._kernel.set_link(link.cut.node, link.cut.interface, up=True)
        link.wanted_up = True
        for operation in lost_by(self._order.plan, link.cut):
            try:
                self._kernel.apply([operation])
            except KernelError as error:
                if error.errno != errno.EEXIST:  # a user was quicker
                    raise

    def _wait(self, link: LiveLink, error: NetlabError | None, done: Done) -> None:
        """Until both ends run: the kernel tells a carrier's return a moment after it is there."""
        if error is not None:
            done(error)
            return
        deadline = time.monotonic() + _CARRIER_S

        def look() -> None:
            missing = [name for name, seen in self.observe([link]).items() if not seen.carrier]
            if not missing or not link.wanted_up:
                done(None)
            elif time.monotonic() > deadline:
                done(LabError(f"no carrier at {', '.join(missing)} after {_CARRIER_S:g} s"))
            else:
                self._loop.after(_PAUSE_S, look)

        look()

    def _attempt(self, done: Done, work: Callable[[], None]) -> None:
        try:
            work()
        except NetlabError as error:
            done(error)
        else:
            done(None)

    # The relay.

    def relay_ended(self) -> None:
        """Its links carry nothing any more: their ends are to see that."""
        relayed = [link for link in self.all if link.backend == "wire"]
        self._lost += [link for link in relayed if link.wanted_up]
        for link in relayed:
            self._attempt(_log, lambda link=link: self._switch(link, up=False))  # type: ignore[misc]

    def _restart_relay(self, link: LiveLink, done: Done) -> None:
        """A new relay does what the old one did at last; `link`, and what was up until then, comes up."""
        wires = [
            WireLink(one.name, one.middle[0], one.middle[1], one.now["up"], one.now["down"])
            for one in self.all
            if one.backend == "wire"
        ]
        lost, self._lost = self._lost, []
        self.relay = self._fork_relay(StartWire(tuple(wires)))
        self.relay_restarts += 1

        def switch_on() -> None:
            for one in {id(one): one for one in (link, *lost)}.values():
                self._switch(one, up=True)

        def ready(answer: dict[str, Any]) -> None:
            _told(_refusal(answer), lambda error: self._wait(link, error, done), switch_on)

        self.relay.expect(ready)

    def _relay_lives(self) -> bool:
        return self.relay is not None and self.relay.alive

    def _wired(self) -> str:
        """An end of the first relayed link."""
        return next(link.ends[0] for link in self.all if link.backend == "wire")

    def _no_relay(self) -> LabError:
        how = self.relay.status if self.relay is not None else "is not there"
        return LabError(
            f"the lab's relay {how}: its links carry nothing any more",
            f"netlab link up {self._wired()} --lab {self._order.name} starts it again",
        )

    def _ask_relay(self, request: dict[str, Any], done: Done) -> None:
        if not self._relay_lives():
            done(self._no_relay())
            return
        assert self.relay is not None
        self.relay.ask(request, lambda answer: done(_refusal(answer)))


def _refusal(answer: dict[str, Any]) -> NetlabError | None:
    if "error" not in answer:
        return None
    return LabError(f"the relay refused: {describe(answer['error'])}")


def _told(error: NetlabError | None, done: Done, then: Callable[[], None]) -> None:
    """Do `then`, unless there is an error already; `done` hears of both."""
    if error is None:
        try:
            then()
        except NetlabError as failure:
            error = failure
    done(error)


def _log(error: NetlabError | None) -> None:
    if error is not None:
        print(f"links: {error}", file=sys.stderr)
