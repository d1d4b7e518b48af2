"""qlog documents of a role become files of a run."""

from __future__ import annotations

import json

from netlab.trace.qlog import files


def line(odcid: str, time_ms: float) -> str:
    trace = {"common_fields": {"ODCID": odcid}, "events": [{"time": time_ms, "name": "x", "data": {}}]}
    return json.dumps({"qlog_format": "JSON", "qlog_version": "0.3", "traces": [trace]}) + "\n"


def test_a_file_for_each_connection_of_the_run() -> None:
    text = line("aa", 999.0) + line("bb", 1000.5) + line("cc", 2001.0) + line("dd", 1500.0)[:40]
    found = dict(files("edge.cdn", text, (1_000_000_000, 2_000_000_000)))
    assert list(found) == ["edge.cdn.bb.qlog"]
    assert json.loads(found["edge.cdn.bb.qlog"])["traces"][0]["common_fields"]["ODCID"] == "bb"
