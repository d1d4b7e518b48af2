"""Ends a capture that a user started: its files become pcapng, with the lab's names and secrets,
and comments on the packets that open something."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netlab.capture.assemble import Summary, assemble, salvage
from netlab.decode.frame import frames
from netlab.lab.client import LabClient
from netlab.model.load import load
from netlab.scenarios import record
from netlab.scenarios.openings import openings
from netlab.scenarios.running import comment, link_impairments


def gather(lab: LabClient, ended: Mapping[str, Any]) -> Summary:
    """Assembles what `LabClient.end_capture` told of, also where the recorder died. Raises CaptureError."""
    directory = Path(ended["directory"])
    interfaces = [tuple(str(name).split(":", 1)) for name in ended["interfaces"]]
    places = [(node, interface) for node, interface in interfaces]
    counts = ended["counts"]
    stats = salvage(directory, places) if counts is None else list(counts)
    topology = load(lab.state / "topology.yaml", files=False)
    names = record.names_of(topology)
    summary = assemble(
        directory,
        stats,
        lab.keys(),
        names,
        record.descriptions_of(topology, places),
        record.speeds_of(link_impairments(lab)),
    )
    merged = summary.files[0]
    comment(directory, merged.name, openings(frames(merged.read_bytes(), merged.name), names))
    return summary
