"""A trace as data: what `--json` prints and report.json holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from netlab.trace.claim import Claim
from netlab.trace.findings import Findings
from netlab.trace.flows import Flow
from netlab.trace.losses import Lost
from netlab.trace.run import Run
from netlab.trace.story import Hop, LayerTable, Span, Variant
from netlab.trace.table import Table


def document(folder: str, run: Run, findings: Findings) -> dict[str, Any]:
    """`folder`: the run's. Times of hops are ns since the click, of spans CLOCK_REALTIME ns."""
    capture, relay, trace = run.capture, run.relay, findings.trace
    return {
        "run": folder,
        "scenario": run.scenario,
        "settings": run.settings,
        "capture": {"file": capture.file, "packets": capture.packets, "dropped": capture.dropped},
        "relay": relay.model_dump() if relay is not None else None,
        "phases": [phase.model_dump() for phase in run.phases],
        "variants": [_variant(variant) for variant in trace.variants] if trace is not None else [],
        "tables": [_measured(table) for table in findings.tables],
        "claims": [_claim(claim) for claim in findings.claims],
        "failed": list(findings.failed),
    }


def request_document(variant: Variant) -> dict[str, Any]:
    """One request, as `document` has it under "variants"."""
    return _variant(variant)


def flow_documents(found: Sequence[Flow]) -> list[dict[str, Any]]:
    """Sockets as text; times CLOCK_REALTIME ns."""
    return [
        asdict(one)
        | {
            "client": str(one.client),
            "server": str(one.server),
            "translated": str(one.translated) if one.translated is not None else None,
        }
        for one in found
    ]


def loss_documents(found: Sequence[Lost]) -> list[dict[str, Any]]:
    """`frames`: the last sighting of each packet that was lost. `counted`: by the link, of all its frames."""
    return [
        {
            "after": ":".join(one.after),
            "before": ":".join(one.before),
            "link": one.link,
            "lost": len(one.packets),
            "sent": one.sent,
            "counted": one.counted.model_dump() if one.counted is not None else None,
            "frames": [packet.number for packet in one.packets],
        }
        for one in found
    ]


def undelivered_documents(run: Run) -> list[dict[str, Any]]:
    """By the links' own counters; `queue` None where `lost` has it too."""
    return [{"from": end, "to": other, **drops.model_dump()} for end, other, drops in run.undelivered]


def _measured(table: Table) -> dict[str, Any]:
    """Rows as objects: column ─► value, and the frames that prove it."""
    return {
        "title": table.title,
        "columns": list(table.columns),
        "rows": [
            dict(zip(table.columns, row.cells, strict=True)) | {"frames": list(row.evidence)}
            for row in table.rows
        ],
        "notes": list(table.notes),
    }


def _variant(variant: Variant) -> dict[str, Any]:
    return {
        "name": variant.name,
        "url": variant.url,
        "trace_id": variant.trace_id,
        "status": variant.status,
        "click_ns": variant.click_ns,
        "total_ms": round(variant.total_ms, 6),
        "spans": [_span(span) for span in variant.spans],
        "hops": [_hop(hop) for hop in variant.hops],
        "layers": [_table(table) for table in variant.layers],
    }


def _span(span: Span) -> dict[str, Any]:
    return {
        "name": span.name,
        "node": span.node,
        "depth": span.depth,
        "start_ns": span.start_ns,
        "end_ns": span.end_ns,
        "duration_ms": round(span.duration_ms, 6),
        "rtts": span.rtts,
        "frames": list(span.frames),
    }


def _hop(hop: Hop) -> dict[str, Any]:
    return asdict(hop)


def _table(table: LayerTable) -> dict[str, Any]:
    return {
        "node": table.node,
        "interface": table.interface,
        "frame": table.frame,
        "rows": [{"osi": row.osi, "name": row.name, "fields": dict(row.fields)} for row in table.rows],
    }


def _claim(claim: Claim) -> dict[str, Any]:
    return {
        "id": claim.id,
        "guide": claim.guide,
        "statement": claim.statement,
        "expected": claim.expected,
        "measured": claim.measured,
        "verdict": claim.verdict.value,
        "evidence": [{"variant": name, "frames": list(frames)} for name, frames in claim.evidence.items()],
    }
