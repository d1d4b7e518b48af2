"""Pages: what one client got at once, and over which connections."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from netlab.scenarios.measured import Asked
from netlab.scenarios.objects import Page, pages
from netlab.trace.round_trips import Moment

FIRST, SECOND = (SimpleNamespace(start=Moment(at, frame)) for at, frame in ((100, 1), (200, 2)))


def one(name: str, asked: int, done: int | None, connection: SimpleNamespace = FIRST) -> Asked:
    span = SimpleNamespace(
        asked=Moment(asked, asked), done=None if done is None else Moment(done, done), stream=0
    )
    return cast("Asked", SimpleNamespace(name=name, connection=connection, span=span))


def test_times_count_from_the_first_packet_of_any_connection() -> None:
    page = Page((one("p/1", 110, 300), one("p/2", 210, 900, SECOND), one("p/3", 310, 500)))
    assert (page.start_ns, page.first_ns, page.all_ns) == (100, 200, 800)
    assert len(page.connections) == 2
    assert page.frames == (1, 900)


def test_requests_at_once_are_counted_by_connection() -> None:
    spans = [(110, 300), (120, 400), (130, 200), (300, 500)]  # the last begins as the first ends
    page = Page(tuple(one(f"p/{number}", *span) for number, span in enumerate(spans)))
    assert page.at_once == 3
    apart = Page((one("p/1", 110, 300), one("p/2", 120, 300, SECOND)))
    assert apart.at_once == 1


def test_a_page_that_is_not_whole_is_left_out() -> None:
    found = dict(pages([one("a/1", 110, 300), one("b/1", 120, None), one("a/2", 130, 400), one("b/2", 1, 2)]))
    assert list(found) == ["a"]
    assert [asked.name for asked in found["a"].asked] == ["a/1", "a/2"]
