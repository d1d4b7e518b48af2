"""Runs a scenario: a lab, a capture, the stimulus, and then what the run directory says."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile
from typing import Any

from netlab.capture.assemble import annotate, assemble
from netlab.capture.files import Counts, stem
from netlab.decode.frame import frames
from netlab.errors import LabError, RoleError
from netlab.lab import state
from netlab.lab.client import LabClient
from netlab.lab.up import up
from netlab.model.event import Event
from netlab.model.impairment import Impairment, from_document
from netlab.model.load import load
from netlab.model.topology import Topology
from netlab.report.document import document
from netlab.report.html.page import page
from netlab.scenarios import record
from netlab.scenarios.answers import merged, refuse_failed
from netlab.scenarios.bench import Bench
from netlab.scenarios.folder import default_folder, run_folder
from netlab.scenarios.outcome import Outcome, outcome
from netlab.scenarios.scenario import Options, Say, Scenario
from netlab.trace import qlog
from netlab.trace.run import RunCapture, RunDrops, RunPhase, RunRelay

_CACHING = ("resolver", "cdn")


def run(scenario: Scenario, options: Options, say: Say) -> Outcome:
    """Run the scenario and read what it captured. `say` hears what is being done.

    Brings the lab up if it isn't, and takes down what it brought up unless `keep`. If anything
    fails, the capture is stopped, the lab is down if this brought it up (unless `keep`, where only
    a request failed), and the run directory gone.
    Raises what `up` raises; InputError for a topology that the scenario can't use; LabError where a
    request failed that should not; CaptureError where the capture doesn't show a request.
    """
    scenario.check(options)
    topology = load(options.topology)
    scenario.check_topology(topology)
    state.require_root()
    with run_folder(options.out or default_folder(scenario.name)) as folder:
        with _lab(scenario, options, topology, say) as lab:
            copyfile(lab.state / "topology.yaml", folder / "topology.yaml")
            running = _copy(folder)  # what runs may be older than the file
            scenario.check_topology(running)
            captured = _captured(lab, scenario, Bench(lab, scenario, options, running, say), folder)
            keys = lab.keys()
            _write_qlogs(folder, lab.qlogs(), captured.times_ns)
        say("reading the capture")
        return _told(folder, scenario, captured, keys)


@dataclass(frozen=True, slots=True)
class _Captured:
    """What the lab said: counts per interface, events of all roles, when the capture began and ended, and
    what its links did."""

    lab: str
    backend: str
    stats: tuple[Counts, ...]
    events: tuple[Event, ...]
    phases: tuple[RunPhase, ...]
    settings: dict[str, str]
    times_ns: tuple[int, int]
    links: dict[tuple[str, str], tuple[Impairment, Impairment]]
    dropped: dict[tuple[str, str], tuple[RunDrops, RunDrops]]
    relay: RunRelay | None


def _copy(folder: Path) -> Topology:
    """The copy of the topology, without the files that are beside the original."""
    return load(folder / "topology.yaml", files=False)


def _write_qlogs(folder: Path, texts: dict[str, str], times_ns: tuple[int, int]) -> None:
    for name, text in texts.items():
        for file, content in qlog.files(name, text, times_ns):
            (folder / "qlog").mkdir(exist_ok=True)
            (folder / "qlog" / file).write_text(content, encoding="utf-8")


def _told(folder: Path, scenario: Scenario, captured: _Captured, keys: str) -> Outcome:
    """Fills the run directory, and reads it as anyone can later."""
    topology = _copy(folder)
    _write_private(folder / "keys.log", keys)
    lines = "".join(event.to_line() + "\n" for event in captured.events)
    (folder / "events.jsonl").write_text(lines, encoding="utf-8")
    interfaces = [(counts["node"], counts["interface"]) for counts in captured.stats]
    descriptions = record.descriptions_of(topology, interfaces)
    speeds = record.speeds_of(captured.links)
    summary = assemble(folder, captured.stats, keys, record.names_of(topology), descriptions, speeds)
    run = record.run_of(
        topology,
        scenario=scenario.name,
        lab=captured.lab,
        times_ns=captured.times_ns,
        backend=captured.backend,
        capture=RunCapture(packets=summary.packets, dropped=summary.dropped),
        links=captured.links,
        relay=captured.relay,
    ).model_copy(update={"phases": captured.phases, "settings": captured.settings})
    run = record.with_drops(run, captured.dropped)
    (folder / "run.json").write_text(run.to_json(), encoding="utf-8")
    found = outcome(folder)
    comment(folder, run.capture.file, comments(found))
    report = json.dumps(document(str(folder), found.run, found.findings), indent=2, ensure_ascii=False)
    (folder / "report.json").write_text(report + "\n", encoding="utf-8")
    html = page(str(folder), found.recording, found.findings)
    (folder / "report.html").write_text(html, encoding="utf-8")
    return found


@contextmanager
def _lab(scenario: Scenario, options: Options, topology: Topology, say: Say) -> Iterator[LabClient]:
    """The lab of the options: the one that is up, or one of our own, which ends with this context."""
    name = options.lab or topology.name
    if any(directory.name == name and alive for directory, _, alive in state.all_labs()):
        say(f"using the lab {name}, which is up")
        found = LabClient.connect(name)
        if scenario.cold:
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


def _captured(lab: LabClient, scenario: Scenario, bench: Bench, folder: Path) -> _Captured:
    offset, before, counted = lab.events_size(), _relayed(lab), lab.links()
    links = link_impairments(counted)
    chosen = scenario.interfaces(bench.topology) if scenario.interfaces is not None else ()
    where = f"{len(chosen)} interfaces" if chosen else "every interface"
    bench.say(f"capturing {where}")
    started = time.time_ns()
    lab.start_capture(folder, chosen)
    try:
        scenario.stimulus(bench)
    except RoleError:
        refuse_failed(lab.events_since(offset))
        raise
    finally:
        stats = lab.stop_capture()
    ended = time.time_ns()
    return _Captured(
        lab.name,
        str(lab.status().get("backend", "")),
        tuple(map(_counts, stats)),
        merged(bench.asked, lab.events_since(offset)),
        tuple(bench.phases),
        bench.options.settings(),
        (started, ended),
        links,
        record.drops_of(counted, lab.links()),
        _difference(before, _relayed(lab)),
    )


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


def link_impairments(
    links: Iterable[Mapping[str, Any]],
) -> dict[tuple[str, str], tuple[Impairment, Impairment]]:
    """What each link does now; `netlab link set` may have changed it since `up`."""
    return {
        (str(link["ends"][0]), str(link["ends"][1])): (
            from_document(link["up"]["impairment"]),
            from_document(link["down"]["impairment"]),
        )
        for link in links
    }


def comments(found: Outcome) -> dict[int, str]:
    """Frame ─► what it is, for the packets that the report names."""
    said: dict[int, list[str]] = {}
    for variant in found.findings.trace.variants if found.findings.trace is not None else ():
        for span in variant.spans:
            said.setdefault(span.frames[0], []).append(f"{variant.name}: {span.name} begins")
        for hop in variant.hops:
            what = f"{variant.name}: {hop.direction}" + (f", {hop.change}" if hop.change else "")
            said.setdefault(hop.frame, []).append(what)
    for claim in found.findings.claims:
        for name, evidence in claim.evidence.items():
            for frame in evidence[:1]:
                said.setdefault(frame, []).append(f"evidence for {claim.id} ({name})")
    return {frame: "; ".join(texts) for frame, texts in said.items()}


def comment(folder: Path, merged_file: str, said: Mapping[int, str]) -> None:
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
