"""report.html without a browser: its data, its escaping, its policy, its size."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from netlab.report.csv_tables import hops_csv, spans_csv
from netlab.report.html import ladder, plots, timeline, topology_map
from netlab.report.html.markup import data, el
from netlab.report.html.page import page
from netlab.trace.deep import Deep
from netlab.trace.findings import Findings
from netlab.trace.leg import network
from netlab.trace.packet import packets_of
from netlab.trace.recording import Recording
from netlab.trace.story import Variant
from tests.kit.html_run import HOSTILE, recorded
from tests.kit.large_run import large
from tests.kit.story import Story
from tests.kit.story import run as story_run


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recording, Findings]:
    return recorded(tmp_path_factory.mktemp("html"))


def variants_of(told: tuple[Recording, Findings]) -> tuple[Variant, ...]:
    assert told[1].trace is not None
    return told[1].trace.variants


class Seen(HTMLParser):
    """Tags, attributes and script blocks, as a parser of HTML sees them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.blocks: dict[str, str] = {}
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self._open = (dict(attrs).get("id") or tag) if tag in ("script", "style") else ""

    def handle_data(self, data: str) -> None:
        if self._open:
            self.blocks[self._open] = self.blocks.get(self._open, "") + data

    def handle_endtag(self, tag: str) -> None:
        self._open = ""


def test_hostile_names_stay_text(told: tuple[Recording, Findings]) -> None:
    seen = Seen(page(HOSTILE, *told))
    assert "img" not in seen.tags
    assert seen.tags.count("script") == 5, "four blocks of data, one script"
    assert not [name for name in seen.attributes if name.startswith("on")]
    assert json.loads(seen.blocks["run"])["folder"] == HOSTILE


def test_policy_allows_this_style_and_this_script_only(told: tuple[Recording, Findings]) -> None:
    text = page("runs/1", *told)
    seen = Seen(text)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy is not None
    for name in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(seen.blocks[name].encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy[1]
    assert "default-src 'none'" in policy[1]
    assert "unsafe" not in policy[1]
    assert not {"style", "src", "href"} & seen.attributes, "nothing is loaded, nothing inline"


def test_every_frame_has_a_line_and_every_hop_its_bytes(told: tuple[Recording, Findings]) -> None:
    blocks = Seen(page("runs/1", *told)).blocks
    every, whole = json.loads(blocks["packets-all"]), json.loads(blocks["packets-whole"])
    frames = told[0].frames
    assert {len(every[key]) for key in ("time", "place", "text", "length", "journey")} == {len(frames)}
    for variant in variants_of(told):
        for hop in variant.hops:
            found = whole[str(hop.frame)]
            assert base64.b64decode(found["bytes"]) == frames[hop.frame - 1].data
            assert every["places"][every["place"][hop.frame - 1]] == f"{hop.node}:{hop.interface}"


def test_fields_are_where_the_stack_says(told: tuple[Recording, Findings]) -> None:
    variant = variants_of(told)[0]
    hop = variant.hops[0]
    whole = json.loads(Seen(page("runs/1", *told)).blocks["packets-whole"])[str(hop.frame)]
    raw = base64.b64decode(whole["bytes"])
    named = {(layer["osi"], field[0]): field for layer in whole["layers"] for field in layer["fields"]}
    start, length = named["L3", "source"][2:]
    assert raw[start : start + length] == bytes(map(int, hop.src.split(".")))
    start, length = named["L4", "source port"][2:]
    assert int.from_bytes(raw[start : start + length]) == hop.sport
    order = [layer["osi"] for layer in whole["layers"]]
    assert order == sorted(order, reverse=True), order
    assert order[0] == "L7", "the request of the first hop is decrypted"


def test_same_run_same_page(told: tuple[Recording, Findings]) -> None:
    assert page("runs/1", *told) == page("runs/1", *told)


def test_a_run_without_packets_has_a_page(told: tuple[Recording, Findings]) -> None:
    read = Recording(Path("runs/1"), told[0].run, (), told[0].keys)
    read.__dict__["frames"] = ()
    assert "No claim was judged" in page("runs/1", read, Findings())


def test_five_thousand_packets_are_a_page_below_three_seconds_and_three_megabytes() -> None:
    """The figures of a machine that does nothing else: processor time stands for it."""
    read, findings = large(5000)
    started = time.process_time()
    text = page("runs/1", read, findings)
    took = time.process_time() - started
    assert len(text.encode()) < 3_000_000
    assert took < 3, f"{took:.2f} s of processor time for {len(read.frames)} packets"
    blocks = Seen(text).blocks
    whole = json.loads(blocks["packets-whole"])
    shown = {number for claim in findings.claims for some in claim.evidence.values() for number in some[:6]}
    assert {str(number) for number in shown} <= whole.keys(), "what a click shows is there"
    assert f"{len(whole)} of {len(read.frames)} packets are in this page" in text


def test_markup_escapes_text_and_attributes_but_not_markup() -> None:
    assert el("a", "<b>&", el("i", "x"), title='"<') == '<a title="&quot;&lt;">&lt;b&gt;&amp;<i>x</i></a>'
    assert "<" not in data("k", "</script><!--")[40:-9]


def test_map_has_every_node_once_and_apart(told: tuple[Recording, Findings]) -> None:
    spots = topology_map.layout(told[0].run, "client-a")
    assert spots.keys() == told[0].run.nodes.keys()
    assert len(set(spots.values())) == len(spots)


def test_waterfall_alone_is_a_drawing(told: tuple[Recording, Findings]) -> None:
    variant = variants_of(told)[0]
    root = ET.fromstring(timeline.standalone(variant))
    rows = [one for one in root.iter("{http://www.w3.org/2000/svg}g") if one.get("class") == "row"]
    assert len(rows) == len(variant.spans)


def test_ladder_shows_what_was_lost_and_what_was_sent_again(tmp_path: Path) -> None:
    story = Story(tmp_path, lost=True).tell()
    all_of = network(packets_of(story.wire.frames()))
    legs = ladder.chosen(all_of, [])
    shown = ladder.drawing(all_of, legs, story.click, "lost", Deep())
    assert shown.count('class="step lost"') == 1
    assert "lost after home-router" in shown
    assert shown.count('class="step again"') == 1
    assert re.search(r"again \(as \d+\)", shown)
    ((where, lost),) = plots.losses(legs[0], all_of, story_run()).items()
    assert where == "after home-router:wan"
    assert lost[-1][1] == 1.0, lost


def test_throughput_and_thinning_keep_what_counts() -> None:
    points = plots.throughput([(0.0, 1000), (50.0, 2000), (100.0, 3000)], 10)
    assert sum(value for _, value in points) * 10 == pytest.approx(6000 * 8 / 1e3)  # ms × Mbit/s = kbit
    many = [(float(x), 100.0 if x == 777 else float(x % 3)) for x in range(5000)]
    thin = plots.thinned(many)
    assert len(thin) <= 500
    assert max(thin, key=lambda one: one[1]) == (777.0, 100.0)
    assert thin == sorted(thin)


def test_csv_has_a_line_for_each(told: tuple[Recording, Findings]) -> None:
    found = variants_of(told)
    assert len(spans_csv(found).splitlines()) == 1 + sum(len(one.spans) for one in found)
    assert len(hops_csv(found).splitlines()) == 1 + sum(len(one.hops) for one in found)
