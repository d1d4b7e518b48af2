"""A run for report.html: the three requests of `tests.kit.story`, with names that a page must not believe."""

from __future__ import annotations

from pathlib import Path

from netlab.decode.tls import KeyLog
from netlab.report.html.page import page
from netlab.scenarios.claims import rest_claims
from netlab.trace.findings import Findings
from netlab.trace.load import Trace, variants
from netlab.trace.recording import Recording
from netlab.trace.run import RunCapture, RunNode
from netlab.trace.table import Row, Table
from tests.kit.story import run, three

HOSTILE = '</script><script>window.hacked=1</script><img src=x onerror="hacked=2">\'&'


def recorded(directory: Path) -> tuple[Recording, Findings]:
    """`directory` gets the certificates of the requests."""
    wire, keys, events = three(directory)
    log, frames = KeyLog.parse(keys), tuple(wire.frames())
    nodes = run().nodes | {HOSTILE: RunNode(location=HOSTILE, roles=(HOSTILE,), addresses=(HOSTILE,))}
    ran = run().model_copy(update={"nodes": nodes, "capture": RunCapture(packets=len(frames))})
    found = variants(frames, events, log, ran)
    table = Table(HOSTILE, ("way", HOSTILE), (Row((HOSTILE, 1.5), (1, 2)),), (HOSTILE,))
    findings = Findings((table,), rest_claims(found, ()), Trace(ran, found), (HOSTILE,))
    read = Recording(directory, ran, events, log)
    read.__dict__["frames"] = frames  # as if it had been read from a capture
    return read, findings


def written(directory: Path) -> Path:
    """report.html of it."""
    read, findings = recorded(directory)
    file = directory / "report.html"
    file.write_text(page(HOSTILE, read, findings), encoding="utf-8")
    return file
