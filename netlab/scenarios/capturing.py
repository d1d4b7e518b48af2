"""Captures that a user starts and ends: their files become pcapng, with the lab's names and secrets, and
comments on the packets that open something."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from netlab.capture.assemble import Summary, assemble, salvage
from netlab.decode.frame import frames
from netlab.decode.openings import Openings
from netlab.decode.tls import KeyLog
from netlab.errors import InputError
from netlab.lab.client import LabClient
from netlab.lab.live_client import ending_on_signals
from netlab.model.load import load
from netlab.scenarios import record
from netlab.scenarios.folder import give, run_folder
from netlab.scenarios.running import comment, link_impairments
from netlab.scenarios.scenario import Say
from netlab.trace.request_comments import request_comments

Value = TypeVar("Value")
_FEW_PACKETS = 20_000  # of so many, what is encrypted is read too, for comments on requests


def begin(
    lab: LabClient, out: Path, interfaces: Sequence[str], expression: str, snaplen: int, ring: str
) -> dict[str, Any]:
    """As `LabClient.start_capture`, into a new or empty directory. Raises InputError where it is none."""
    with run_folder(out):
        return lab.start_capture(out, interfaces, expression, snaplen, ring)


def end(lab: LabClient, number: int | None) -> tuple[dict[str, Any], Summary]:
    """What `LabClient.end_capture` told, and what was assembled of it; the files belong to who called sudo.

    Also where the recorder died. Raises LabError, CaptureError.
    """
    ended = lab.end_capture(number)
    directory = Path(ended["directory"])
    try:
        return ended, _gather(lab, ended, directory)
    finally:
        give(directory, ())


def stream(
    lab: LabClient, output: int, interfaces: Sequence[str], expression: str, snaplen: int, say: Say
) -> None:
    """A live capture to the descriptor `output`, until SIGINT, SIGTERM, the lab's end, or nobody reads it.

    `say` hears what is being done. Raises InputError where `output` is a terminal.
    """
    if os.isatty(output):
        raise InputError(
            "a live capture is bytes for a program, not text for a terminal",
            "netlab capture live | wireshark -k -i -",
        )
    topology = load(lab.state / "topology.yaml", files=False)
    places = [(node, one) for node, found in topology.nodes.items() for one in found.interfaces]
    said = {
        "names": record.names_of(topology),
        "descriptions": _by_name(record.descriptions_of(topology, places)),
        "speeds": _by_name(record.speeds_of(link_impairments(lab.links()))),
    }
    with lab.live_capture(interfaces, expression, snaplen, said) as capture, ending_on_signals(capture):
        count = len(capture.document["interfaces"])
        say(f"capturing {count} interface{'s' if count != 1 else ''}; Ctrl-C ends it")
        capture.copy(output)


def _by_name(found: Mapping[tuple[str, str], Value]) -> dict[str, Value]:
    return {f"{node}:{interface}": value for (node, interface), value in found.items()}


def document(ended: Mapping[str, Any], summary: Summary) -> dict[str, Any]:
    """`netlab capture stop --json`."""
    known = ended["counts"] is not None
    return {
        **{key: ended[key] for key in ("id", "directory", "filter", "snaplen", "ring", "cause")},
        "packets": summary.packets,
        "dropped": summary.dropped if known else None,
        "files": [str(path) for path in summary.files],
        "interfaces": [
            {
                "interface": f"{one.node}:{one.interface}",
                "packets": one.packets,
                "dropped": one.dropped if one.dropped >= 0 else None,
                "missing": {"packets": one.missing, "seconds": one.missing_s},
            }
            for one in summary.interfaces
        ],
    }


def _gather(lab: LabClient, ended: Mapping[str, Any], directory: Path) -> Summary:
    interfaces = [tuple(str(name).split(":", 1)) for name in ended["interfaces"]]
    places = [(node, interface) for node, interface in interfaces]
    counts = ended["counts"]
    stats = salvage(directory, places) if counts is None else list(counts)
    topology = load(lab.state / "topology.yaml", files=False)
    names = record.names_of(topology)
    keys = lab.keys()
    summary = assemble(
        directory,
        stats,
        keys,
        names,
        record.descriptions_of(topology, places),
        record.speeds_of(link_impairments(lab.links())),
        comment=Openings(names).comment,
        started_ns=int(ended["started"] * 1_000_000_000),
    )
    if summary.packets <= _FEW_PACKETS:
        merged = summary.files[0]
        seen = frames(merged.read_bytes(), merged.name)
        comment(directory, merged.name, request_comments(seen, KeyLog.parse(keys), names))
    return summary
