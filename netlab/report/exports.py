"""What of a run becomes files for other programs: the page, HAR, CSV, JSON, SVG."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from typing import Literal

from netlab.errors import InputError
from netlab.report import csv_tables
from netlab.report.document import request_document
from netlab.report.har import har
from netlab.report.html import panel, timeline
from netlab.report.html.page import page
from netlab.trace.client_requests import ClientRequest, by_part, client_requests
from netlab.trace.client_story import client_stories
from netlab.trace.findings import Findings
from netlab.trace.leg import network
from netlab.trace.packet import packets_of
from netlab.trace.recording import Recording
from netlab.trace.story import Variant

Kind = Literal["html", "har", "csv", "svg", "requests"]


def exports(
    folder: str, read: Recording, findings: Findings, wanted: Collection[Kind]
) -> Iterator[tuple[str, str]]:
    """File name and text of each. `folder`: the run's, as the user types it. Raises InputError where requests
    are wanted and the run has none that can be read, CaptureError where the capture can't be read."""
    if "html" in wanted:
        yield "report.html", page(folder, read, findings)
    if not {"har", "csv", "svg", "requests"} & set(wanted):
        return
    requests = client_requests(read)
    if not requests:
        cause = f"{folder}: no client asked for anything over HTTP that can be read"
        raise InputError(cause, "--html and --json tell what there is; `netlab flows` lists the connections")
    followed = findings.trace.variants if findings.trace is not None else ()
    if "har" in wanted:
        yield "requests.har", _json(har(requests))
    if "svg" in wanted:
        yield from _drawings(requests, followed)
    if {"csv", "requests"} & set(wanted):
        stories = followed or client_stories(requests, network(packets_of(read.frames)), read.run)
        if "csv" in wanted:
            yield "requests.csv", csv_tables.requests_csv(requests)
            yield "spans.csv", csv_tables.spans_csv(stories)
            yield "hops.csv", csv_tables.hops_csv(stories)
        if "requests" in wanted:
            yield "requests.json", _json([request_document(one) for one in stories])


def _drawings(requests: Sequence[ClientRequest], followed: Sequence[Variant]) -> Iterator[tuple[str, str]]:
    """All requests of each phase in one; those that were followed with all their spans."""
    for phase, some in by_part(requests).items():
        yield _named("requests", phase), panel.standalone(some, phase)
    for one in followed:
        yield _named("waterfall", one.name), timeline.standalone(one)


def _named(kind: str, name: str) -> str:
    plain = "".join(sign if sign.isalnum() or sign in "-_." else "_" for sign in name)
    return f"{kind}-{plain}.svg" if plain else f"{kind}.svg"


def _json(document: object) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
