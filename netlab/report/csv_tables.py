"""Requests, spans and hops as CSV, for spreadsheets and other programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from netlab.report.har import timings
from netlab.trace.client_requests import ClientRequest
from netlab.trace.story import Variant


def requests_csv(requests: Sequence[ClientRequest]) -> str:
    """A line a request; times of CLOCK_REALTIME in ns, parts in ms (-1: not done), bodies in bytes."""
    parts = ("blocked", "dns", "connect", "ssl", "send", "wait", "receive")
    titles = (
        "phase", "node", "start_ns", "total_ms", "http", "method", "url", "status", "request_bytes",
        "response_bytes", *(f"{part}_ms" for part in parts), "frame",
    )  # fmt: skip
    rows = []
    for one in requests:
        span, took = one.span, timings(one)
        rows.append((
            one.phase, one.node, one.start_ns, (one.end_ns - one.start_ns) / 1e6, span.version, span.method,
            one.url, span.status, span.request_body, span.response_body, *(took[part] for part in parts),
            span.asked.frame,
        ))  # fmt: skip
    return _csv(titles, rows)


def spans_csv(variants: Sequence[Variant]) -> str:
    """A line a span; times in ns (CLOCK_REALTIME); frames with spaces between."""
    titles = ("name", "node", "depth", "start_ns", "end_ns", "rtts")
    rows = [
        (one.name, *(getattr(span, name) for name in titles), " ".join(map(str, span.frames)))
        for one in variants
        for span in one.spans
    ]
    return _csv(("request", "span", *titles[1:], "frames"), rows)


def hops_csv(variants: Sequence[Variant]) -> str:
    """A line a packet at an interface; time in ns since the click."""
    titles = (
        "request", "time_ns", "direction", "node", "interface", "src_mac", "dst_mac", "src", "sport", "dst",
        "dport", "ttl", "change", "frame",
    )  # fmt: skip
    rows = [(one.name, *(getattr(hop, name) for name in titles[1:])) for one in variants for hop in one.hops]
    return _csv(titles, rows)


def _csv(titles: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(titles)
    writer.writerows(rows)
    return buffer.getvalue()
