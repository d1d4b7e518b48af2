"""Scenario A of the guide: one client asks for user 42, straight from the origin, then through the CDN.

Three requests of one process: `direct` to the origin with everything cold; `miss` through the CDN edge,
whose cache is empty; `hit`, the same again.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile
from typing import Any

from netlab.capture.assemble import annotate, assemble
from netlab.capture.files import Counts, stem
from netlab.decode.frame import frames
from netlab.errors import InputError, LabError, RoleError
from netlab.lab import state
from netlab.lab.client import LabClient
from netlab.lab.up import up
from netlab.model.event import Event
from netlab.model.impairment import Impairment, from_document
from netlab.model.load import load
from netlab.model.roles import ClientSpec, Request
from netlab.model.topology import Topology
from netlab.report.document import document
from netlab.scenarios import record
from netlab.scenarios.folder import default_folder, run_folder
from netlab.scenarios.outcome import Outcome, outcome
from netlab.trace.run import RunCapture, RunRelay

NAME = "rest"
REQUESTS = tuple(
    Request(name=name, url=url, http="1.1", fresh=True)
    for name, url in (
        ("direct", "https://origin.example.com/user/42"),
        ("miss", "https://api.example.com/user/42"),
        ("hit", "https://api.example.com/user/42"),
    )
)
_CLIENT = "client-a"
_TIMEOUT_S = 90.0
_CACHING = ("resolver", "cdn")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """`lab`: its name, "" for the topology's. `out`: None for a new directory below ./runs."""

    topology: Path
    lab: str = ""
    out: Path | None = None
    keep: bool = False


def rest(options: Options, say: Say) -> Outcome:
    """Run the scenario and read what it captured. `say` hears what is being done.

    Brings the lab up if it isn't, and takes down what it brought up unless `keep`. If anything
    fails, the capture is stopped, the lab is down if this brought it up (unless `keep`, where only
    a request failed), and the run directory gone.
    Raises what `up` raises; InputError for a topology without a client; LabError where a request
    failed; CaptureError where the capture doesn't show a request.
    """
    topology = load(options.topology)
    client_of(topology)
    state.require_root()
    with run_folder(options.out or default_folder(NAME)) as folder:
        with _lab(options, topology, say) as lab:
            copyfile(lab.state / "topology.yaml", folder / "topology.yaml")
            node, role = client_of(_copy(folder))  # what runs may be older than the file
            say(f"asking from {node}, and capturing every interface")
            captured = _captured(lab, node, role, folder)
            keys = lab.keys()
        say("reading the capture")
        return _told(folder, captured, keys)


@dataclass(frozen=True, slots=True)
class _Captured:
    """What the lab said: counts per interface, events of all roles, when the capture began and ended, and
    what its links did."""

    lab: str
    backend: str
    stats: tuple[Counts, ...]
    events: tuple[Event, ...]
    times_ns: tuple[int, int]
    links: dict[tuple[str, str], tuple[Impairment, Impairment]]
    relay: RunRelay | None


def _copy(folder: Path) -> Topology:
    """The copy of the topology, without the files that are beside the original."""
    return load(folder / "topology.yaml", files=False)


def _told(folder: Path, captured: _Captured, keys: str) -> Outcome:
    """Fills the run directory, and reads it as anyone can later."""
    topology = _copy(folder)
    _write_private(folder / "keys.log", keys)
    lines = "".join(event.to_line() + "\n" for event in captured.events)
    (folder / "events.jsonl").write_text(lines, encoding="utf-8")
    interfaces = [(counts["node"], counts["interface"]) for counts in captured.stats]
    descriptions = record.descriptions_of(topology, interfaces)
    summary = assemble(folder, captured.stats, keys, record.names_of(topology), descriptions)
    run = record.run_of(
        topology,
        scenario=NAME,
        lab=captured.lab,
        times_ns=captured.times_ns,
        backend=captured.backend,
        capture=RunCapture(packets=summary.packets, dropped=summary.dropped),
        links=captured.links,
        relay=captured.relay,
    )
    (folder / "run.json").write_text(run.to_json(), encoding="utf-8")
    found = outcome(folder)
    _comment(folder, run.capture.file, comments(found))
    report = json.dumps(document(str(folder), found.trace, found.claims), indent=2, ensure_ascii=False)
    (folder / "report.json").write_text(report + "\n", encoding="utf-8")
    return found


def client_of(topology: Topology) -> tuple[str, ClientSpec]:
    """The node that asks, and its role: client-a, or the first client. Raises InputError."""
    clients = {
        name: role
        for name, node in topology.nodes.items()
        for role in node.roles
        if isinstance(role, ClientSpec)
    }
    if not clients:
        remedy = "give a node `roles: [{kind: client}]`"
        raise InputError(f"the topology {topology.name} has no client to ask", remedy)
    name = _CLIENT if _CLIENT in clients else next(iter(clients))
    return name, clients[name]


@contextmanager
def _lab(options: Options, topology: Topology, say: Say) -> Iterator[LabClient]:
    """The lab of the options: the one that is up, or one of our own, which ends with this context."""
    name = options.lab or topology.name
    if any(directory.name == name and alive for directory, _, alive in state.all_labs()):
        say(f"using the lab {name}, which is up")
        found = LabClient.connect(name)
        _empty_caches(found, say)
        yield found
        return
    say(f"bringing the lab {name} up ({options.topology})")
    lab = up(options.topology, name, leashed=True, progress=_steps(say))
    keep = False
    try:
        yield lab
        keep = options.keep
    except LabError:
        keep = options.keep  # to look into what failed
        raise
    finally:
        if keep:
            lab.release()
            say(f"the lab {name} stays up; to end it: netlab down {name}")
        else:
            lab.down()


def _empty_caches(lab: LabClient, say: Say) -> None:
    """`direct` and `miss` are cold: resolvers and CDN edges that have served before start anew."""
    cached = [
        (str(node["node"]), str(role["role"]))
        for node in lab.status()["nodes"]
        for role in node["roles"]
        if role["kind"] in _CACHING
    ]
    if cached:
        say(f"restarting, for their caches: {', '.join(node for node, _ in cached)}")
    for node, role in cached:
        lab.restart(node, role)


def _steps(say: Say) -> Callable[[str, int, int], None]:
    """Says each step of `up` once, with how many things there are to do."""
    said: set[str] = set()

    def step(what: str, _done: int, of: int) -> None:
        if what not in said:
            said.add(what)
            say(f"  {what} ({of})")

    return step


def _captured(lab: LabClient, node: str, role: ClientSpec, folder: Path) -> _Captured:
    offset, started, before = lab.events_size(), time.time_ns(), _relayed(lab)
    lab.start_capture(folder)
    try:
        spec = role.model_copy(update={"requests": REQUESTS})
        asked = lab.run(node, spec, timeout_s=_TIMEOUT_S)
    except RoleError:
        refuse_failed(lab.events_since(offset))
        raise
    finally:
        stats = lab.stop_capture()
    ended = time.time_ns()
    refuse_failed(asked)
    events = merged(asked, lab.events_since(offset))
    backend = str(lab.status().get("backend", ""))
    relay = _difference(before, _relayed(lab))
    counts = tuple(map(_counts, stats))
    return _Captured(lab.name, backend, counts, events, (started, ended), _links(lab), relay)


def _relayed(lab: LabClient) -> dict[str, int] | None:
    totals: dict[str, int] | None = lab.link_stats()["totals"]
    return totals


def _difference(before: dict[str, int] | None, after: dict[str, int] | None) -> RunRelay | None:
    """What the relay did between two counts. Raises LabError where it has ended in between."""
    if before is None:
        return None
    if after is None:
        raise LabError(
            "the relay of the lab's links ended during the run", "netlab down, and bring it up again"
        )
    return RunRelay(**{name: after[name] - before[name] for name in RunRelay.model_fields})


def _links(lab: LabClient) -> dict[tuple[str, str], tuple[Impairment, Impairment]]:
    """What each link does now; `netlab link set` may have changed it since `up`."""
    return {
        (str(link["ends"][0]), str(link["ends"][1])): (
            from_document(link["up"]["impairment"]),
            from_document(link["down"]["impairment"]),
        )
        for link in lab.links()
    }


def refuse_failed(events: Sequence[Event]) -> None:
    """Raises LabError with every request that got no answer."""
    causes = [
        f"{event.node}: {event.data.get('name')}: {event.data.get('cause')}"
        for event in events
        if event.event == "request-failed"
    ]
    if causes:
        raise LabError(
            "no answer: " + "; ".join(causes), "run it again with --keep, then see: netlab logs NODE"
        )


def merged(asked: Sequence[Event], others: Sequence[Event]) -> tuple[Event, ...]:
    """Events of the client and of the lab, each once, by time."""
    lines = {event.to_line(): event for event in (*asked, *others)}
    return tuple(sorted(lines.values(), key=lambda event: event.time_ns))


def comments(found: Outcome) -> dict[int, str]:
    """Frame ─► what it is, for the packets that the report names."""
    said: dict[int, list[str]] = {}
    for variant in found.trace.variants:
        for span in variant.spans:
            said.setdefault(span.frames[0], []).append(f"{variant.name}: {span.name} begins")
        for hop in variant.hops:
            what = f"{variant.name}: {hop.direction}" + (f", {hop.change}" if hop.change else "")
            said.setdefault(hop.frame, []).append(what)
    return {frame: "; ".join(texts) for frame, texts in said.items()}


def _comment(folder: Path, merged_file: str, said: Mapping[int, str]) -> None:
    """Puts the comments into the merged file, and into the file of each interface, which counts its own."""
    seen: Counter[str] = Counter()
    of_hop: dict[str, dict[int, str]] = {}
    for frame in frames((folder / merged_file).read_bytes(), merged_file):
        name = stem(frame.node, frame.interface)
        seen[name] += 1
        if frame.number in said:
            of_hop.setdefault(name, {})[seen[name]] = said[frame.number]
    annotate(folder / merged_file, said)
    for name, texts in of_hop.items():
        annotate(folder / "hops" / f"{name}.pcapng", texts)


def _counts(one: Mapping[str, Any]) -> Counts:
    return Counts(
        node=str(one["node"]),
        interface=str(one["interface"]),
        packets=int(one["packets"]),
        dropped=int(one["dropped"]),
    )


def _write_private(path: Path, text: str) -> None:
    """Secrets: for the owner alone."""
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
