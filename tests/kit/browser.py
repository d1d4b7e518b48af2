"""Headless Chromium, driven by its DevTools protocol: a page from disk, its errors, keys and clicks."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import websockets

DEADLINE_S = 20  # for anything that a browser on a busy machine should do at once


class Page:
    """One tab. `errors`: what the console said of errors, and exceptions."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self._socket = socket
        self._number = 0
        self.errors: list[str] = []

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        await self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(await asyncio.wait_for(self._socket.recv(), DEADLINE_S))
            if message.get("id") == self._number:
                assert "error" not in message, message
                found: dict[str, Any] = message["result"]
                return found
            self._heard(message)

    def _heard(self, message: dict[str, Any]) -> None:
        said = message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            self.errors.append(str(said["exceptionDetails"]))
        if message.get("method") == "Log.entryAdded" and said["entry"]["level"] in ("error", "warning"):
            self.errors.append(said["entry"]["text"])

    async def open(self, path: Path) -> None:
        for domain in ("Page", "Runtime", "Log"):
            await self.call(f"{domain}.enable")
        await self.call("Page.navigate", url=path.as_uri())
        await self.until("document.readyState === 'complete' && location.protocol === 'file:'")

    async def value(self, expression: str) -> Any:
        found = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, (expression, found)
        return found["result"].get("value")

    async def promised(self, expression: str) -> Any:
        """What the promise brings."""
        found = await self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, (expression[:200], found)
        return found["result"].get("value")

    async def until(self, expression: str) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not await self.value(expression):  # noqa: ASYNC110 - the page has no event for it
                await asyncio.sleep(0.02)

    async def press(self, key: str) -> None:
        code = {"Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowRight": 39, "ArrowDown": 40, "End": 35}[key]
        text = {"text": "\r"} if key == "Enter" else {}
        await self.call("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, **text)
        await self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    async def click(self, selector: str) -> None:
        """A real click in the middle of the first such element that is there."""
        found = json.dumps(selector)
        await self.value(f"document.querySelector({found}).scrollIntoView({{block:'center'}})")
        middle = "(r => [r.x + r.width / 2, r.y + r.height / 2])"
        box = f"{middle}(document.querySelector({found}).getBoundingClientRect())"
        x, y = await self.value(box)
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def scheme(self, name: str) -> None:
        await self.call(
            "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}]
        )

    async def picture(self, width: int, height: int) -> bytes:
        """PNG."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        made = await self.call("Page.captureScreenshot", format="png")
        return base64.b64decode(made["data"])


def chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@asynccontextmanager
async def browser(url: str = "about:blank") -> AsyncIterator[Page]:
    """A browser of its own, without a network, that shows `url`; it ends with the context."""
    program = chromium()
    assert program is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            program, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--remote-debugging-port=0",
            "--disable-dev-shm-usage", f"--user-data-dir={profile}", "--window-size=1280,800", "about:blank",
            stderr=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            port, path = await _port(Path(profile) / "DevToolsActivePort")
            async with websockets.connect(f"ws://127.0.0.1:{port}{path}", max_size=None) as root:
                made = Page(root)
                target = (await made.call("Target.createTarget", url=url))["targetId"]
                address = f"ws://127.0.0.1:{port}/devtools/page/{target}"
                async with websockets.connect(address, max_size=None) as socket:
                    yield Page(socket)
                await made.call("Browser.close")
            await asyncio.wait_for(process.wait(), DEADLINE_S)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def _port(file: Path) -> tuple[str, str]:
    """Port and path of its DevTools, from the file that it writes when it is ready."""
    async with asyncio.timeout(DEADLINE_S):
        while len(lines := _lines(file)) != 2:  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.02)
    return lines[0], lines[1]


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []
