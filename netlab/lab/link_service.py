"""The control socket's operations on links."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from netlab.errors import InputError, LabError, NetlabError
from netlab.lab.connection import Connection
from netlab.lab.control import Message
from netlab.lab.flapping import Flapper
from netlab.lab.link_report import link_documents, relay_totals
from netlab.lab.links import Done
from netlab.lab.live_link import DIRECTIONS, LiveLink, chosen_directions
from netlab.lab.playing import play, score_of, stop_playing
from netlab.model.impairment import Impairment, from_document

if TYPE_CHECKING:
    from netlab.lab.supervisor import Supervisor


class LinkService:
    """One method per operation; what can't be answered at once is answered from a callback.

    `end` in a request names a link, as `find_link` says.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self._lab = supervisor
        self.operations: dict[str, Callable[[Connection, Message], None]] = {
            "link-show": self._show,
            "link-stats": self._stats,
            "link-set": self._set,
            "link-state": self._state,
            "link-flap": self._flap,
            "link-play": self._play,
            "link-stop": self._stop,
        }

    def _show(self, connection: Connection, request: Message) -> None:
        """{"ends": [END…]}, none for every link."""
        links = self._lab.links
        chosen = [links.find(str(end)) for end in request.get("ends", [])] or list(links.all)
        links.counters(lambda counted: _answer(connection, lambda: link_documents(links, chosen, counted)))

    def _stats(self, connection: Connection, _: Message) -> None:
        """Of the relay: {"links": […], "totals": {…} or null}."""

        def answered(counted: dict[str, Any] | None) -> None:
            links = counted["links"] if counted is not None else {}
            listed = [{"link": name, **counters} for name, counters in links.items()]
            connection.ok({"links": listed, "totals": relay_totals(counted)})

        self._lab.links.counters(answered)

    def _set(self, connection: Connection, request: Message) -> None:
        """{"end", "up": document, "down": document}, or one of the two. Ends what they play."""
        link = self._link(request)
        wanted = {way: from_document(dict(request[way])) for way in DIRECTIONS if way in request}
        if not wanted:
            raise InputError("link-set without up and down")

        def stopped(error: NetlabError | None) -> None:
            if error is not None:
                connection.error(error)
            else:
                self._lab.links.change(
                    link, wanted, lambda failed: self._was_set(connection, link, wanted, failed)
                )

        stop_playing(link, wanted, stopped)

    def _was_set(
        self, connection: Connection, link: LiveLink, wanted: dict[str, Impairment], error: NetlabError | None
    ) -> None:
        if error is None:
            link.given.update(wanted)
        self._show_after(connection, link)(error)

    def _state(self, connection: Connection, request: Message) -> None:
        """{"end", "up": bool}."""
        link, links = self._link(request), self._lab.links
        done = self._show_after(connection, link)
        if request["up"]:
            links.bring_up(link, done)
        else:
            links.take_down(link, str(request["end"]), done)

    def _flap(self, connection: Connection, request: Message) -> None:
        """{"end", "every_s", "for_s", "count"}; progress counts. Ends with who asked."""
        link = self._link(request)
        every_s, for_s, count = float(request["every_s"]), float(request["for_s"]), int(request["count"])
        if not 0 < for_s < every_s or count < 0:
            raise InputError("a link flaps for a part of every period", "--every 5s --for 1s")
        done = self._show_after(connection, link)
        flapper = Flapper(
            self._lab.links,
            self._lab.loop,
            link,
            str(request["end"]),
            every_s,
            for_s,
            count,
            connection.progress,
            done,
        )
        connection.on_close.append(flapper.stop)
        flapper.start()

    def _play(self, connection: Connection, request: Message) -> None:
        """{"end", "direction", "title", "steps": [[ns, {field: value}]…], "period_ns", "repeat"}."""
        link = self._link(request)
        directions = chosen_directions(str(request["direction"]))
        done = self._show_after(connection, link)
        play(self._lab.links, self._lab.loop, link, directions, score_of(request), done)

    def _stop(self, connection: Connection, request: Message) -> None:
        """{"end", "direction"}: what it plays."""
        link = self._link(request)
        directions = chosen_directions(str(request["direction"]))
        if not any(way in link.players for way in directions):
            raise LabError(f"{link.name} plays nothing", "netlab link show")
        stop_playing(link, directions, self._show_after(connection, link))

    def _link(self, request: Message) -> LiveLink:
        if self._lab.phase != "up":
            raise LabError(f"the lab is {self._lab.phase}", "wait until netlab ps shows it as up")
        return self._lab.links.find(str(request["end"]))

    def _show_after(self, connection: Connection, link: LiveLink) -> Done:
        """Answer with the link as it then is, or with the error."""
        links = self._lab.links

        def done(error: NetlabError | None) -> None:
            if error is not None:
                connection.error(error)
            else:
                links.counters(
                    lambda counted: _answer(connection, lambda: link_documents(links, [link], counted)[0])
                )

        return done


def _answer(connection: Connection, find: Callable[[], object]) -> None:
    """What is found, or why it isn't; for callbacks, in which an error would end the lab."""
    try:
        found = find()
    except NetlabError as error:
        connection.error(error)
    else:
        connection.ok(found)
