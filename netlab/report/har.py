"""A run's requests as the client saw them, as HAR 1.2, and spans and hops as tables for other programs.

Source: the HTTP Archive format 1.2 (W3C Web Performance Working Group's draft).
"""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import Any

from netlab.trace.story import Span, Variant

_CONNECTING = ("TCP", "QUIC")


def har(variants: tuple[Variant, ...]) -> dict[str, Any]:
    """Times in ms. `_frame` of an entry is its first packet in trace.pcapng."""
    return {
        "log": {
            "version": "1.2",
            "creator": {"name": "netlab", "version": "1"},
            "pages": [],
            "entries": [_entry(one) for one in variants],
        }
    }


def _entry(variant: Variant) -> dict[str, Any]:
    version = f"HTTP/{variant.http}" if variant.http else ""
    empty: dict[str, Any] = {
        "httpVersion": version,
        "cookies": [],
        "headers": [],
        "headersSize": -1,
        "bodySize": -1,
    }
    method, headers = _asked(variant)
    first = variant.hops[0] if variant.hops else None
    return {
        "startedDateTime": datetime.fromtimestamp(variant.click_ns / 1e9, UTC).isoformat(
            timespec="milliseconds"
        ),
        "time": variant.total_ms,
        "request": {"url": variant.url, "queryString": [], **empty, "method": method, "headers": headers},
        "response": {
            "status": variant.status,
            "statusText": "",
            "content": {"size": 0, "mimeType": ""},
            "redirectURL": "",
            **empty,
        },
        "cache": {},
        "timings": _timings(variant),
        "serverIPAddress": first.dst if first is not None else "",
        "connection": str(first.sport) if first is not None else "",
        "comment": variant.name,
        "_frame": first.frame if first is not None else 0,
    }


def _asked(variant: Variant) -> tuple[str, list[dict[str, str]]]:
    """Method and headers as the client's packets have them; GET and none where no layer table says it."""
    rows = [row for table in variant.layers[:1] for row in table.rows if row.osi == "L7"]
    fields = rows[0].fields if rows else ()
    method = next((value.split(" ")[0] for name, value in fields if name == "request line"), "GET")
    return method, [{"name": name, "value": value} for name, value in fields if name != "request line"]


def _timings(variant: Variant) -> dict[str, float]:
    """`connect` has the time of `ssl` in it, and all the parts without `ssl` add up to the whole."""
    top = [one for one in variant.spans if one.depth == 0]
    dns, ssl, tcp = (_sum(top, names) for names in (("DNS",), ("TLS",), _CONNECTING))
    connect = -1 if tcp < 0 and ssl < 0 else max(tcp, 0) + max(ssl, 0)
    request, response = variant.span("request"), variant.span("response")
    asked = (request.start_ns if request is not None else variant.click_ns) - variant.click_ns
    receive = response.duration_ms if response is not None else 0.0
    blocked = max(asked / 1e6 - max(dns, 0) - max(connect, 0), 0.0)
    rest = variant.total_ms - blocked - max(dns, 0) - max(connect, 0) - receive
    return {
        "blocked": blocked,
        "dns": dns,
        "connect": connect,
        "ssl": ssl,
        "send": 0.0,
        "wait": rest,
        "receive": receive,
    }


def _sum(spans: list[Span], names: tuple[str, ...]) -> float:
    """-1 where there is none, as HAR says it."""
    found = [one.duration_ms for one in spans if one.name in names]
    return sum(found) if found else -1


def spans_csv(variants: tuple[Variant, ...]) -> str:
    """A line a span; times in ns (CLOCK_REALTIME); frames with spaces between."""
    titles = ("name", "node", "depth", "start_ns", "end_ns", "rtts")
    rows = [
        (one.name, *(getattr(span, name) for name in titles), " ".join(map(str, span.frames)))
        for one in variants
        for span in one.spans
    ]
    return _csv(("request", "span", *titles[1:], "frames"), rows)


def hops_csv(variants: tuple[Variant, ...]) -> str:
    """A line a packet at an interface; time in ns since the click."""
    titles = (
        "request", "time_ns", "direction", "node", "interface", "src_mac", "dst_mac", "src", "sport", "dst",
        "dport", "ttl", "change", "frame",
    )  # fmt: skip
    rows = [(one.name, *(getattr(hop, name) for name in titles[1:])) for one in variants for hop in one.hops]
    return _csv(titles, rows)


def _csv(titles: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(titles)
    writer.writerows(rows)
    return buffer.getvalue()
