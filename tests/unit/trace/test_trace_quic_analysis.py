"""Round trips, bytes in flight and losses of QUIC, on a path with known times; and what a qlog says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from netlab.decode.quic import Side
from netlab.errors import CaptureError
from netlab.report.html import plots
from netlab.trace.connection import Connection, connections
from netlab.trace.deep import Deep
from netlab.trace.leg import network as join
from netlab.trace.packet import packets_of
from netlab.trace.qlog import recovery
from netlab.trace.quic_analysis import QuicAnalysis, analyse_quic
from netlab.trace.recording import Recording
from netlab.trace.run import Run
from tests.kit.quic_bytes import MS, Network, network


def fetched(made: Network) -> tuple[Network, Connection]:
    """One answer, as the server's interface saw it."""
    made.connect()
    made.fetch("/a")
    made.settle(300 * MS)
    (found,) = connections(made.frames("server"), made.keys)
    return made, found


def analysed(found: Connection, side: Side) -> QuicAnalysis:
    assert found.quic is not None
    return analyse_quic(found.quic, side)


def test_a_round_trip_is_that_of_the_path_and_all_is_acknowledged_in_the_end() -> None:
    made, found = fetched(network(answer=lambda _: bytes(60_000)))
    seen = analysed(found, "server")
    assert len(seen.rtts) > 5
    least = min(one.value for one in seen.rtts) / MS
    assert least == pytest.approx(2 * made.one_way_ns / MS, rel=0.1)
    assert all(one.value >= 0 for one in seen.flight)
    assert max(one.value for one in seen.flight) > 10_000
    assert seen.flight[-1].value < 1500, "the last acknowledgement may not come any more"
    assert seen.lost == ()


def test_what_is_lost_is_counted_and_leaves_the_flight() -> None:
    lost: list[int] = []

    def loses(number: int, _: bytes) -> bool:
        if number in (14, 22):
            lost.append(number)
        return number in (14, 22)

    _, found = fetched(network(answer=lambda _: bytes(60_000), lost_down=loses))
    seen = analysed(found, "server")
    assert len(lost) == 2
    assert len(seen.lost) == 2, seen.lost
    assert all(one.value >= 0 for one in seen.flight)


def test_windows_come_from_the_qlog_of_the_sender(tmp_path: Path) -> None:
    made, found = fetched(network(answer=lambda _: bytes(60_000)))
    assert found.quic is not None
    original = found.quic.packets[0].sealed.destination.hex()
    at_ms = found.packets[0].time_ns / 1e6
    events = [
        {"name": "recovery:metrics_updated", "time": at_ms + number, "data": {"cwnd": 12_000 + number}}
        for number in range(5)
    ]
    (tmp_path / "qlog").mkdir()
    document = {"traces": [{"events": events, "common_fields": {"ODCID": original}}]}
    file = tmp_path / "qlog" / f"server.app.{original}.qlog"
    file.write_text(json.dumps(document))
    run = Run(scenario="x", lab="x", topology="x", started_ns=0, ended_ns=1, nodes={})
    read = Recording(tmp_path, run, (), made.keys)
    shown = list(recovery(read.qlog("server", original), "cwnd"))
    assert [value for _, value in shown] == [12_000.0 + number for number in range(5)]
    assert shown[0][0] == pytest.approx(at_ms * 1e6, abs=1000)
    assert read.qlog("client", original) == {}
    all_of = join(packets_of(made.frames("server")))
    drawn = plots.drawings(all_of.flows[0], all_of, read, Deep())
    assert drawn.count("<polyline") == 5, "round trips, flight, window, throughput, losses"
    assert "nothing to show" not in drawn
    file.write_text("{")
    with pytest.raises(CaptureError, match="qlog"):
        read.qlog("server", original)


@pytest.mark.parametrize(
    "document", [{}, {"traces": []}, {"traces": [{"events": [{"name": 1}]}]}, {"traces": 3}]
)
def test_another_document_says_nothing(document: dict[str, object]) -> None:
    assert list(recovery(document, "cwnd")) == []
