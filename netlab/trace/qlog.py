"""qlog files of a run: what roles wrote, a document per line, as a file per connection, which qvis opens."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

_RECOVERY = ("recovery:metrics_updated", "recovery:metric_update")
_MS = 1_000_000  # nanoseconds; qlog's times are milliseconds since 1970 here


def files(name: str, text: str, times_ns: tuple[int, int]) -> Iterator[tuple[str, str]]:
    """File name and content of each connection that began within `times_ns` (CLOCK_REALTIME).

    `name`: NODE.ROLE of whom wrote `text`. Both ends of a connection have the same number in the name: its
    original destination connection ID. A last line that is not whole, of a role that was killed, is left out.
    """
    for line in text.splitlines():
        try:
            document = json.loads(line)
            trace = document["traces"][0]
            began = _began_ns(trace)
        except (ValueError, LookupError, TypeError):
            continue
        if times_ns[0] <= began <= times_ns[1]:
            yield f"{name}.{trace['common_fields']['ODCID']}.qlog", json.dumps(document, indent=1)


def _began_ns(trace: dict[str, Any]) -> int:
    return int(trace["events"][0]["time"] * _MS)


def recovery(document: Mapping[str, Any], name: str) -> Iterator[tuple[int, float]]:
    """What a connection's end said of its recovery, as (CLOCK_REALTIME ns, value): `name` "cwnd" or
    "bytes_in_flight" in bytes, "latest_rtt" in ms. Nothing where the document is no qlog of this form."""
    try:
        events = document["traces"][0]["events"]
        found = [(int(one["time"] * _MS), one["data"]) for one in events if one["name"] in _RECOVERY]
    except (LookupError, TypeError):
        return
    for time_ns, data in found:
        if isinstance(data, Mapping) and isinstance(data.get(name), (int, float)):
            yield time_ns, float(data[name])
