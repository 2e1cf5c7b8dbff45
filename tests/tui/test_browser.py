"""`dashboard --web` in headless Chromium, as a learner uses it: real keys, a real mouse, the screen that is drawn."""

from __future__ import annotations

import base64
import os
import signal
import sys
from urllib.parse import urlsplit

import pytest

from tests.checking import marked, wait_until
from tests.conftest import Learner
from tests.tui.browser import chromium, served, tabs
from tests.tui.conftest import FAILING

pytest.importorskip("textual_serve", reason="the extra web")
pytest.importorskip("playwright", reason="Playwright, of the extra dev, drives the browser")
pytestmark = [
    pytest.mark.skipif(chromium() is None, reason="neither chromium nor google-chrome is on the path"),
    pytest.mark.skipif(sys.platform != "linux", reason="processes are counted in /proc"),
]
COLOURS = """
async picture => {
  const image = await createImageBitmap(await (await fetch("data:image/png;base64," + picture)).blob());
  const canvas = new OffscreenCanvas(image.width, image.height).getContext("2d");
  canvas.drawImage(image, 0, 0);
  return new Set(new Uint32Array(canvas.getImageData(0, 0, image.width, image.height).data.buffer)).size;
}
"""


def test_a_check_its_diagnosis_and_the_pass(learner: Learner) -> None:
    mark = f"MARK=browser-{os.getpid()}"
    learner.write("discount", FAILING)
    with tabs() as new_tab, served(learner, MARK=mark.removeprefix("MARK=")) as (server, link):
        tab = new_tab()
        tab.open(link)
        assert tab.page.title() == "intro2llm"
        tab.wait_for("Lesson 1 · Prices")
        tab.press("ArrowDown")  # a page takes keys before it is clicked
        tab.wait_for("Lesson 1 · Prices", gone=True)  # but what it says about the first task
        tab.press("c")
        tab.wait_for("expected 60.0")
        tab.wait_for("actual 20.0")
        tab.wait_for("A known mistake: returns what is taken off")
        assert "✗ A discount" in tab.shown
        picture = base64.b64encode(tab.page.screenshot()).decode()
        assert tab.page.evaluate(COLOURS, picture) > 50, "what the terminal holds is drawn"

        learner.solve("1")  # what is saved is checked
        tab.wait_for("✓ A discount")
        tab.wait_for("1 of 2 lessons")

        assert {urlsplit(address).hostname for address in tab.addresses} == {"127.0.0.1"}
        assert not tab.faults
        tab.page.close()
        assert wait_until(lambda: marked(mark) == [server.pid])
    assert wait_until(lambda: not marked(mark))


def test_a_tab_that_goes_away_ends_its_check_and_no_other(learner: Learner) -> None:
    mark = f"MARK=away-{os.getpid()}"
    learner.write("discount", "while True:\n    pass")
    with tabs() as new_tab, served(learner, MARK=mark.removeprefix("MARK=")) as (server, link):
        stays = new_tab()
        stays.open(link)
        quiet = set(marked(mark))
        tab = new_tab()
        tab.open(link)
        tab.press("c")
        tab.wait_for("1/11")
        busy = set(marked(mark)) - quiet
        tab.page.reload()
        tab.wait_for("A discount")
        assert wait_until(lambda: not busy & set(marked(mark)))
        tab.press("c")
        tab.wait_for("1/11")
        tab.page.close()
        assert wait_until(lambda: set(marked(mark)) == quiet)

        server.send_signal(signal.SIGINT)  # with a tab open
        assert server.wait(timeout=60) in (0, 130)
        stays.page.get_by_text("The dashboard has ended.").wait_for()
    assert wait_until(lambda: not marked(mark))


def test_q_ends_it_and_the_page_opens_it_again(learner: Learner) -> None:
    with tabs(800, 600) as new_tab, served(learner) as (_, link):
        tab = new_tab()
        tab.open(link)
        tab.press("q")
        tab.page.get_by_role("button", name="Open it again").click()
        tab.wait_for("c Check")


def test_the_mouse_selects_and_ctrl_c_copies(learner: Learner) -> None:
    learner.write("discount", FAILING)
    with tabs() as new_tab, served(learner) as (_, link):
        tab = new_tab()
        tab.open(link)
        tab.press("Control+c")  # nothing is selected, and nothing happens
        tab.press("c")
        tab.wait_for("actual 20.0")
        [(row, line)] = [(row, line) for row, line in enumerate(tab.shown.split("\n")) if "actual    20.0" in line]
        wide, high = tab.page.evaluate("[terminal.cols, terminal.rows]")
        screen = tab.page.locator(".xterm-screen").bounding_box()
        cell, y = screen["width"] / wide, screen["y"] + (row + 0.5) * screen["height"] / high
        first = line.index("actual")
        tab.page.mouse.move(screen["x"] + (first + 0.5) * cell, y)
        tab.page.mouse.down()
        tab.page.mouse.move(screen["x"] + (first + 6.5) * cell, y, steps=5)
        tab.page.mouse.up()
        copied = "navigator.clipboard.readText()"

        def copies() -> bool:
            tab.press("Control+c")
            tab.page.wait_for_timeout(200)
            return bool(tab.page.evaluate(copied))

        assert wait_until(copies, 60)
        assert tab.page.evaluate(copied).startswith("actual")
