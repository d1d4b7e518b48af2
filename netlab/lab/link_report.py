"""Links of a lab as documents: what `link show --json` and `ps --json` print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netlab.fabric.observe import Seen
from netlab.lab.live_link import DIRECTIONS, LiveLink, total
from netlab.plan.render import impairment as in_words

if TYPE_CHECKING:
    from netlab.lab.links import Links

Counted = dict[str, Any] | None  # what the relay answers to "stats"


def link_documents(links: Links, chosen: list[LiveLink], counted: Counted) -> list[dict[str, Any]]:
    """One document per link; under "up" and "down", what that direction does."""
    seen, dropped = links.observe(chosen), links.dropped(chosen)
    return [_document(links, link, seen, _carried(link, seen, dropped, counted)) for link in chosen]


def _document(
    links: Links, link: LiveLink, seen: dict[str, Seen], carried: dict[str, dict[str, int]]
) -> dict[str, Any]:
    own = {end: seen[end] for end in link.ends if end in seen}
    return {
        **link_summary(links, link, own),
        "mtu": link.link.mtu,
        "middle": list(link.middle),
        "interfaces": {end: {"up": one.up, "carrier": one.carrier} for end, one in own.items()},
        "playing": {way: player.to_json() for way, player in link.players.items()},
        **{way: _direction(link, way, carried.get(way, {})) for way in DIRECTIONS},
    }


def link_summary(links: Links, link: LiveLink, seen: dict[str, Seen] | None = None) -> dict[str, Any]:
    """What `ps` says of a link."""
    return {
        "name": link.name,
        "ends": list(link.ends),
        "medium": link.link.medium,
        "backend": link.backend,
        "state": links.state(link, seen),
    }


def _direction(link: LiveLink, way: str, carried: dict[str, int]) -> dict[str, Any]:
    """`given` is what the link goes back to when a playback ends."""
    return {
        "from": str(link.sender(way)),
        "words": in_words(link.now[way]),
        "impairment": link.now[way].document(),
        "given": link.given[way].document(),
        "counters": carried,
    }


def _carried(
    link: LiveLink, seen: dict[str, Seen], dropped: dict[str, int], counted: Counted
) -> dict[str, dict[str, int]]:
    """By direction: the relay's counters, which end with it; else what the far end's interface received, and
    what netem dropped at the near one."""
    if link.backend == "wire":
        found: dict[str, dict[str, int]] = counted["links"].get(link.name, {}) if counted else {}
        return found
    carried = {}
    for way, near, far in zip(DIRECTIONS, link.ends, reversed(link.ends), strict=True):
        if far in seen:
            carried[way] = {"frames": seen[far].received_frames, "bytes": seen[far].received_bytes}
            carried[way] |= {"dropped": dropped[near]} if near in dropped else {}
    return carried


def relay_totals(counted: Counted) -> dict[str, int] | None:
    """The relay's counters over all links and directions; None where there is no relay.

    "unable" has the frames that belong to no link that can be known, too (docs/links.md).
    """
    if counted is None:
        return None
    sums = total(link[way] for link in counted["links"].values() for way in DIRECTIONS)
    sums["unable"] = sums.get("unable", 0) + counted["unable"]
    return sums | {"in_flight": counted["in_flight"]}
