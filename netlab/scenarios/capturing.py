"""Ends a capture that a user started: its files become pcapng, with the lab's names and secrets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netlab.capture.assemble import Summary, assemble, salvage
from netlab.lab.client import LabClient
from netlab.model.load import load
from netlab.scenarios import record
from netlab.scenarios.running import link_impairments


def gather(lab: LabClient, ended: Mapping[str, Any]) -> Summary:
    """Assembles what `LabClient.end_capture` told of, also where the recorder died. Raises CaptureError."""
    directory = Path(ended["directory"])
    interfaces = [tuple(str(name).split(":", 1)) for name in ended["interfaces"]]
    places = [(node, interface) for node, interface in interfaces]
    counts = ended["counts"]
    stats = salvage(directory, places) if counts is None else list(counts)
    topology = load(lab.state / "topology.yaml", files=False)
    return assemble(
        directory,
        stats,
        lab.keys(),
        record.names_of(topology),
        record.descriptions_of(topology, places),
        record.speeds_of(link_impairments(lab)),
    )
