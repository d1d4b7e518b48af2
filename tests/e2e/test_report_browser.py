"""report.html in headless Chromium: every view by click and by keyboard, light, dark and on paper."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from netlab.decode.frame import SYN
from netlab.report.har import har
from netlab.report.html.page import page as page_of
from netlab.trace.client_requests import client_requests
from netlab.trace.packet import packets_of
from tests.kit.browser import Page, browser
from tests.kit.har_rules import faults
from tests.kit.html_run import HOSTILE, recorded, written
from tests.kit.large_run import large

pytestmark = pytest.mark.needs("chromium")
VIEWS = ("claims", "map", "waterfall", "ladder", "plots", "packets")
_SHOWN = (
    "[...document.querySelectorAll('[role=tabpanel]')].filter(e => !e.hidden).map(e => e.id.slice(5)).join()"
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("report"))


async def _clicks(page: Page) -> None:
    for name in VIEWS:
        await page.click(f"#tab-{name}")
        assert await page.value(_SHOWN) == name
    await page.click("#tab-map")
    await page.click("#forward")
    await page.click("#forward")
    assert await page.value("document.getElementById('step').textContent.startsWith(' 2/')")
    await page.click("#step button")
    assert await page.value("document.querySelectorAll('#packet .layer').length") >= 5
    await page.click("#packet .layer button")
    assert await page.value("document.querySelectorAll('#packet .hex mark').length") > 0
    first = await page.value("document.querySelector('#packet h2').textContent")
    await page.click("#packet button:nth-child(2)")
    assert await page.value("document.querySelector('#packet h2').textContent") != first
    await page.press("Escape")
    assert await page.value("document.getElementById('packet').hidden")
    for name, what in (("waterfall", ".row text"), ("ladder", ".step .what"), ("claims", "button.frame")):
        await page.click(f"#tab-{name}")
        await page.click(f"#view-{name} {what}")
        assert not await page.value("document.getElementById('packet').hidden"), name
        await page.press("Escape")


async def _keys(page: Page) -> None:
    await page.value("document.getElementById('tab-claims').focus()")
    for name in VIEWS[1:]:
        await page.press("ArrowRight")
        assert await page.value(_SHOWN) == name
    await page.value("document.getElementById('list').focus()")
    await page.press("ArrowDown")
    await page.press("Enter")
    assert "frame 2 " in await page.value("document.querySelector('#packet h2').textContent")
    await page.press("ArrowRight")
    await page.press("Escape")
    await page.value(
        "document.getElementById('tab-waterfall').click(); document.querySelector('.row').focus()"
    )
    await page.press("Enter")
    assert not await page.value("document.getElementById('packet').hidden")
    await page.press("Escape")
    assert await page.value("document.activeElement.classList.contains('row')"), "the focus comes back"


async def _looks(page: Page) -> None:
    colours = []
    for scheme in ("light", "dark"):
        await page.scheme(scheme)
        colours.append(await page.value("getComputedStyle(document.body).backgroundColor"))
    assert colours[0] != colours[1]
    await page.call("Emulation.setEmulatedMedia", media="print")
    hidden = (
        "[...document.querySelectorAll('[role=tabpanel]')].filter(e => !e.checkVisibility()).map(e => e.id)"
    )
    assert await page.value(hidden) == ["view-packets"], "paper has every view but the list"
    assert len((await page.call("Page.printToPDF"))["data"]) > 1000


def test_every_view_by_click_by_keyboard_in_both_schemes_and_on_paper(file: Path) -> None:
    async def drive() -> list[str]:
        async with browser() as page:
            await page.open(file)
            await _clicks(page)
            await _keys(page)
            await _looks(page)
            assert await page.value("typeof window.hacked") == "undefined"
            assert HOSTILE in await page.value("document.querySelector('header p').textContent")
            return page.errors

    assert asyncio.run(drive()) == []


_SCROLLED = """(async () => {
  document.getElementById('tab-packets').click();
  const list = document.getElementById('list'), took = [], steps = 60;
  for (let n = 1; n <= steps; n++) {
    const start = performance.now();
    list.scrollTop = (list.scrollHeight - list.clientHeight) * n / steps;
    await new Promise(requestAnimationFrame);
    took.push(performance.now() - start);
  }
  await new Promise(requestAnimationFrame);
  const last = document.getElementById('rows').lastChild.textContent;
  return {median: took.sort((a, b) => a - b)[steps / 2], last};
})()"""

_SOUGHT = """{
  const box = document.getElementById('find');
  box.value = 'syn'; box.dispatchEvent(new Event('input')); undefined
}"""


def test_a_page_of_a_hundred_thousand_packets_stays_usable(tmp_path: Path) -> None:
    read, findings = large(100_000)
    file = tmp_path / "report.html"
    file.write_text(page_of("run", read, findings), encoding="utf-8")

    async def drive() -> dict[str, Any]:
        async with browser() as page:
            await page.open(file)
            await page.until("performance.getEntriesByName('first-contentful-paint').length > 0")
            painted = await page.value("performance.getEntriesByName('first-contentful-paint')[0].startTime")
            scrolled = await page.promised(_SCROLLED)
            await page.value(_SOUGHT)
            count = await page.value("document.getElementById('count').textContent")
            return {"painted": painted, "count": count, "errors": page.errors, **scrolled}

    found = asyncio.run(drive())
    assert found["errors"] == []
    assert found["painted"] < 2000, found
    assert found["median"] < 100, f"ms from a step to its frame: {found}"
    assert found["last"].split()[0] == str(len(read.frames)), found
    every = sum(packet.headers.flags & SYN > 0 for packet in packets_of(read.frames))
    assert found["count"].strip() == f"{every} of {len(read.frames)}"


# Chromium's network panel, and what it makes of a HAR: its own modules, in its own page.
DEVTOOLS = "devtools://devtools/bundled/devtools_app.html"
_IMPORTED = """import('./models/har/har.js').then(({HARFormat, Importer}) =>
  Importer.Importer.requestsFromHARLog(new HARFormat.HARRoot(%s).log).map(one => ({
    url: one.url(), method: one.requestMethod, status: one.statusCode, duration: one.duration * 1000,
    type: one.mimeType, sent: one.requestHeaders().length, told: one.responseHeaders.length,
    size: one.resourceSize, address: one.remoteAddress(),
  })))"""


def test_chromiums_network_panel_imports_the_har(tmp_path: Path) -> None:
    read, findings = recorded(tmp_path)
    assert findings.trace is not None
    document = har(client_requests(read))
    assert faults(document) == []

    async def imported() -> list[dict[str, Any]]:
        async with browser(DEVTOOLS) as page:
            await page.until("document.readyState === 'complete'")
            found: list[dict[str, Any]] = await page.promised(_IMPORTED % json.dumps(document))
            return found

    entries = document["log"]["entries"]
    shown = asyncio.run(imported())
    assert len(shown) == len(entries) == 3
    for one, entry in zip(shown, entries, strict=True):
        assert one["url"] == entry["request"]["url"], one
        assert (one["method"], one["status"]) == ("GET", 200)
        assert one["duration"] == pytest.approx(entry["time"], abs=0.1)
        assert one["sent"] == len(entry["request"]["headers"])
        assert one["told"] == len(entry["response"]["headers"])
        assert one["size"] == entry["response"]["content"]["size"] > 0
