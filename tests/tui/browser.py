"""The dashboard in headless Chromium: the command that serves it, a tab, and what the tab shows.

Only for what pytest.importorskip("playwright") and `chromium()` let through. Playwright brings no browser here: it
drives the one that the system has.
"""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.conftest import Learner

PATIENCE_MS = 60_000
"""When something that should be shown has failed to for certain."""
TERMINALS = """
// xterm.js keeps its terminal to itself. It is taken in the moment in which its constructor sets `_core`.
Object.defineProperty(Object.prototype, "_core", {
  configurable: true,
  set(core) {
    Object.defineProperty(this, "_core", { value: core, writable: true, configurable: true });
    if (this.open && this.loadAddon) window.terminal = this;
  },
});
window.shown = () => {
  const buffer = window.terminal?.buffer?.active;  // none until it is open
  if (!buffer) return "";
  const lines = Array.from({ length: terminal.rows }, (_, row) => buffer.getLine(row));
  return lines.map((line) => (line ? line.translateToString(true) : "")).join("\\n");
};
"""


def chromium() -> str | None:
    """Where the system's Chromium is."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for path in map(shutil.which, names) if path), None)


@contextmanager
def served(learner: Learner, **variables: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`dashboard --web` on a free port: the process and the link that it has told. It is ended with Ctrl-C."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [learner.program, "dashboard", "--web", "--port", str(port)],
        cwd=learner.workspace,
        env=learner.environment | variables,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        told = process.stdout.readline()
        link = re.search(r"http://\S+", told)
        assert link is not None, told
        yield process, link[0]
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) in (0, 130, -signal.SIGKILL)
        process.stdout.close()


@dataclass
class Tab:
    """A tab of the browser that shows the dashboard."""

    page: Any
    addresses: list[str] = field(default_factory=list)
    """All that it has asked for, over HTTP and WebSocket."""
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.add_init_script(TERMINALS)
        self.page.on("request", lambda request: self.addresses.append(request.url))
        self.page.on("websocket", lambda socket: self.addresses.append(socket.url))
        self.page.on("requestfailed", lambda request: self.faults.append(f"{request.url}: {request.failure}"))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))

    def open(self, link: str) -> None:
        self.page.goto(link)
        self.wait_for("c Check")

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)

    def wait_for(self, text: str, *, gone: bool = False) -> None:
        """Until the terminal in the page shows a text, spaces and line ends apart, or shows it no more."""
        words = re.escape(text).replace(r"\ ", r"\s+")
        try:
            self.page.wait_for_function(
                "([words, there]) => new RegExp(words).test(shown()) === there", arg=[words, not gone]
            )
        except Exception as error:
            raise AssertionError(f"{text!r} is {'still' if gone else 'not'} shown:\n{self.shown}") from error

    @property
    def shown(self) -> str:
        return str(self.page.evaluate("shown()"))


@contextmanager
def tabs(width: int = 1280, height: int = 800, scale: float = 1) -> Iterator[Any]:
    """A browser; a call opens a tab in it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium())
        context = browser.new_context(viewport={"width": width, "height": height}, device_scale_factor=scale)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        try:
            yield lambda: Tab(context.new_page())
        finally:
            browser.close()
