"""The report of a capture with known times: as text and as data."""

from __future__ import annotations

import json
from typing import Any

import pytest

from netlab.decode.tls import KeyLog
from netlab.report import budget, tables
from netlab.report.document import document
from netlab.report.text import WIDTH, render
from netlab.scenarios.claims import rest_claims
from netlab.trace.findings import Findings
from netlab.trace.load import Trace, variants
from netlab.trace.run import Run, RunCapture, RunRelay
from netlab.trace.story import Span, Variant
from netlab.trace.table import Row, Table
from tests.kit.story import run, three


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Findings]:
    wire, keys, events = three(tmp_path_factory.mktemp("keys"))
    found = variants(wire.frames(), events, KeyLog.parse(keys), run())
    capture = RunCapture(packets=len(wire.frames()), dropped=0)
    ran = run().model_copy(update={"capture": capture})
    return ran, Findings(claims=rest_claims(found, ()), trace=Trace(ran, found))


Told = tuple[Run, Findings]


def variants_of(told: Told) -> tuple[Variant, ...]:
    assert told[1].trace is not None
    return told[1].trace.variants


def judged(told: Told, run: Run) -> Findings:
    """As if the run had been `run`."""
    return Findings(claims=rest_claims(variants_of(told), run.flaws), trace=Trace(run, variants_of(told)))


def test_text_fits_a_terminal_and_has_no_escapes_for_a_pipe(told: Told) -> None:
    text = render("runs/rest-1", *told)
    commands = ("  tshark", "  wireshark", "  netlab")
    wide = [line for line in text.splitlines() if len(line) > WIDTH and not line.startswith(commands)]
    assert wide == []
    assert "\x1b" not in text
    assert all(line == line.rstrip() for line in text.splitlines())


def test_colour_adds_escapes_and_nothing_else(told: Told) -> None:
    coloured = render("runs/rest-1", *told, colour=True)
    assert "\x1b[" in coloured


def test_text_has_the_parts_in_the_readers_order(told: Told) -> None:
    text = render("runs/rest-1", *told)
    parts = [
        "direct: https://origin.example.com/user/42 ─► 200 in 162.4 ms",
        "NAT 192.168.1.10:40000",
        "guide, ms",
        "220–270",
        "miss: https://api.example.com/user/42",
        "edge ─► origin TLS",
        "hit: https://api.example.com/user/42",
        "Layers of the request at client-a:eth0",
        "Layers of the request at app-1:eth0",
        "A hit is 11.0× faster than a miss",
        "a round trip too long",
        "The guide's claims",
        "refuted",
        "runs/rest-1/trace.pcapng",
        "wireshark runs/rest-1/hops/client-a.eth0.pcapng",
        "-o protocols.conversation_deinterlacing_key:.MI runs/rest-1/trace.pcapng",
    ]
    places = [text.find(part) for part in parts]
    assert -1 not in places, dict(zip(parts, places, strict=True))
    assert places == sorted(places), dict(zip(parts, places, strict=True))


def test_data_has_the_promised_shape(told: Told) -> None:
    found: dict[str, Any] = json.loads(json.dumps(document("runs/x", *told)))
    assert (found["run"], found["capture"]["file"], found["capture"]["dropped"]) == (
        "runs/x",
        "trace.pcapng",
        0,
    )
    assert found["capture"]["packets"] > 100
    assert [variant["name"] for variant in found["variants"]] == ["direct", "miss", "hit"]
    for variant in found["variants"]:
        assert {"name", "total_ms", "spans", "hops", "layers"} <= set(variant)
        for span in variant["spans"]:
            assert {"name", "node", "start_ns", "end_ns", "duration_ms", "rtts", "frames"} <= set(span)
            assert span["frames"], span
            assert span["duration_ms"] == pytest.approx((span["end_ns"] - span["start_ns"]) / 1e6)
        for hop in variant["hops"]:
            wanted = "time_ns node interface src sport dst dport ttl change frame src_mac dst_mac direction"
            assert set(wanted.split()) == set(hop)
    for claim in found["claims"]:
        wanted = "id guide statement expected measured verdict evidence"
        assert set(wanted.split()) == set(claim)
        assert claim["verdict"] in {"holds", "partly", "refuted", "not run"}


def test_the_waterfalls_top_spans_and_the_rest_are_the_total(told: Told) -> None:
    for variant in variants_of(told):
        rest = variant.total_ms - variant.accounted_ms
        assert 0 <= rest < 2, (variant.name, rest)


def test_a_capture_with_drops_says_so(told: Told) -> None:
    run = told[0].model_copy(update={"capture": RunCapture(packets=9, dropped=2)})
    text = render("runs/x", run, judged(told, run))
    assert "9 packets, 2 dropped" in text
    assert "No claim is judged by this run: the capture lost 2 packets." in text
    assert "holds" not in text


def test_a_relay_that_did_not_keep_up_is_said(told: Told) -> None:
    run = told[0].model_copy(update={"relay": RunRelay(frames=500, late=7, unable=0)})
    text = render("runs/x", run, judged(told, run))
    assert "7 of 500 relayed frames over 1 ms late, 0 not carried" in text
    assert "holds" in text, "late frames are said, and judged"
    run = run.model_copy(update={"relay": RunRelay(frames=500, late=7, unable=1)})
    text = render("runs/x", run, judged(told, run))
    assert "No claim is judged by this run: the relay could not carry 1 frames." in text
    assert "holds" not in text


def test_a_run_without_requests_is_still_a_report(told: Told) -> None:
    text = render("runs/x", told[0], Findings())
    assert "runs/x/trace.pcapng" in text


def one_span(start: int, end: int, total: int) -> tuple[Span, Variant]:
    span = Span("TCP", "c", start, end, 1, (1,))
    return span, Variant("direct", "", "", 200, 0, total, (span,), (), ())


@pytest.mark.parametrize(
    ("start", "end", "drawn"),
    [
        (0, 100, (0, 24)),
        (0, 50, (0, 12)),
        (50, 100, (12, 24)),
        (0, 0, (0, 1)),
        (100, 100, (23, 24)),
        (-5, 1, (0, 1)),
    ],
)
def test_bars_lie_where_their_spans_do(start: int, end: int, drawn: tuple[int, int]) -> None:
    assert tables.bar(*one_span(start, end, 100)) == " " * drawn[0] + "█" * (drawn[1] - drawn[0])


def test_frame_lists_draw_runs_together() -> None:
    assert tables.frame_list((3, 1, 2, 7)) == "1–3, 7"
    assert tables.frame_list((1, 3, 5, 7)) == "1, 3, 5, …"
    assert tables.frame_list(()) == ""


def test_the_guides_budget_goes_with_the_variant(told: Told) -> None:
    direct, miss, hit = variants_of(told)
    assert budget.budget(direct)["TLS"] == "40"
    assert budget.budget(direct)["proxy"] == "20"
    assert (budget.budget(miss), budget.total(miss)) == ({}, "220–270")
    assert (budget.budget(hit)["TCP"], budget.total(hit)) == ("5", "~20")


def test_the_arithmetic_is_computed_and_can_come_out_right() -> None:
    def exchange(rtts: float) -> Variant:
        spans = (
            Span("TCP", "c", 0, 40_000_000, 1, (1,)),
            Span("request", "c", 0, 40_000_000, rtts, (2,)),
            Span("response", "c", 0, 40_000_000, rtts, (3,)),
        )
        return Variant("direct", "", "", 200, 0, 120_000_000, spans, (), ())

    assert "2 round trips, 80.0 ms in all (frames 2 to 3)" in budget.arithmetic(exchange(1))
    assert "Here its sum holds" in budget.arithmetic(exchange(1))
    assert "costs one round trip" in budget.arithmetic(exchange(0.5))


def test_measured_tables_are_told_and_kept_as_data(told: Told) -> None:
    table = Table(
        "Round trips",
        ("way", "round trips", "ms"),
        (Row(("TLS 1.3", 3, 150.25), (4, 9)), Row(("0-RTT", 1, None))),
        ("One could not be measured.",),
    )
    text = render("runs/x", told[0], Findings(tables=(table,)))
    for part in ("Round trips", "TLS 1.3", "150", "4, 9", "–", "One could not be measured."):
        assert part in text, text
    (found,) = document("runs/x", told[0], Findings(tables=(table,)))["tables"]
    assert found["rows"] == [
        {"way": "TLS 1.3", "round trips": 3, "ms": 150.25, "frames": [4, 9]},
        {"way": "0-RTT", "round trips": 1, "ms": None, "frames": []},
    ]
