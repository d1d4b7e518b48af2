"""report.html in headless Chromium: every view by click and by keyboard, light, dark and on paper."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.kit.browser import Page, browser
from tests.kit.html_run import HOSTILE, written

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
