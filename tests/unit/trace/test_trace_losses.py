"""Packets lost between interfaces are found where they were lost, none too many."""

from __future__ import annotations

import pytest

from netlab.decode.tls import KeyLog
from netlab.errors import InputError
from netlab.report.document import loss_documents, undelivered_documents
from netlab.report.html import plots
from netlab.report.text import render_losses
from netlab.trace.flows import flows
from netlab.trace.leg import Network, network
from netlab.trace.load import Trace
from netlab.trace.losses import losses
from netlab.trace.packet import packets_of
from netlab.trace.recording import Recording
from netlab.trace.run import RunDrops, RunLink
from tests.kit.story import run, three
from tests.kit.tcp_path import Loss, TcpPath

LINKED = run().model_copy(update={"links": (RunLink(ends=("client:eth0", "server:eth0")),)})


def over(down: Loss, size: int = 60_000) -> tuple[TcpPath, Network]:
    """`size` bytes from the server to the client, whose loss is `down`."""
    path = TcpPath(lost_down=down)
    got = bytearray()
    path.client.heard = got.extend
    path.connect()
    path.server.send(bytes(size))
    path.run(lambda: len(got) == size)
    path.settle()
    return path, network(packets_of(path.frames()))


def test_each_loss_is_between_the_right_interfaces() -> None:
    _, joined = over(lambda number, payload: number in (5, 9, 20) and bool(payload))
    (lost,) = losses((*joined.legs, *joined.flows), joined.journeys, LINKED)
    assert (lost.after, lost.before) == (("server", "eth0"), ("client", "eth0"))
    assert len(lost.packets) == 3, lost
    assert lost.link == "server:eth0 ─ client:eth0"
    assert lost.sent > 40, lost.sent
    assert {packet.place for packet in lost.packets} == {("server", "eth0")}


def test_the_links_own_counters_stand_beside_what_packets_show() -> None:
    _, joined = over(lambda number, payload: number in (5, 9, 20) and bool(payload))
    drops = RunDrops(), RunDrops(lost=0, queue=3)  # the server is the second end
    link = LINKED.links[0].model_copy(update={"dropped": drops})
    ran = LINKED.model_copy(update={"links": (link,)})
    found = losses((*joined.legs, *joined.flows), joined.journeys, ran)
    assert found[0].counted == drops[1]
    shown = render_losses(found, ran)
    assert "3 queue full" in shown
    assert shown.count("server:eth0") == 2, "by packets, and by counters"
    assert loss_documents(found)[0]["counted"] == {"lost": 0, "queue": 3}
    told = {"from": "server:eth0", "to": "client:eth0", "lost": 0, "queue": 3}
    assert undelivered_documents(ran) == [told]
    ((name, points),) = plots.losses(joined.legs[0], joined, ran).items()
    assert name == "after server:eth0: queue full"
    assert points[-1][1] == 3.0
    assert points == sorted(points)


def test_without_loss_nothing_is_lost() -> None:
    _, joined = over(lambda _, __: False)
    assert losses(joined.legs, joined.journeys, LINKED) == ()


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    directory = tmp_path_factory.mktemp("keys")
    wire, keys, events = three(directory)
    made = Recording(directory, run(), events, KeyLog.parse(keys))
    made.__dict__["frames"] = tuple(wire.frames())  # as if trace.pcapng had been read
    return made


def test_flows_name_their_ends_their_translation_and_what_they_speak(recording: Recording) -> None:
    found = flows(network(packets_of(recording.frames)), recording.keys, recording.run)
    first = next(one for one in found if one.names[0] == "client-a")
    assert first.protocol == "tcp"
    assert first.translated is not None, "behind the home router"
    assert first.translated.address == "203.0.113.5"
    assert (first.way[0], first.speaks) == ("client-a:eth0", "TLS 1.3, HTTP/1.1")
    assert first.requests == 1
    assert [one.start_ns for one in found] == sorted(one.start_ns for one in found)


def test_one_request_is_followed_by_number_and_by_name(recording: Recording) -> None:
    (second,) = Trace.follow(recording, "2").variants
    (miss,) = Trace.follow(recording, "miss").variants
    assert second.name == miss.name == "miss"
    assert second.hops == miss.hops
    with pytest.raises(InputError, match="no request 'mis', of 3"):
        Trace.follow(recording, "mis")


def test_a_run_without_requests_says_so(recording: Recording) -> None:
    empty = Recording(recording.folder, recording.run, (), recording.keys)
    with pytest.raises(InputError) as caught:
        Trace.follow(empty, "1")
    assert "no requests" in caught.value.remedy
