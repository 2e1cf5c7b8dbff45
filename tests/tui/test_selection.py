"""Text that the mouse selects can be read, and copied with Ctrl-C, which quits a terminal's dashboard otherwise."""

from __future__ import annotations

import pytest
from textual.geometry import Offset
from textual.pilot import Pilot

from coursecli.tui.app import Dashboard
from coursecli.tui.widgets.rich_view import RichView
from tests.conftest import Learner
from tests.tui.conftest import Running, desk_of, home_of


async def select(pilot: Pilot[None]) -> RichView:
    """The first line of text of the lesson, with the mouse."""
    pane = home_of(pilot).query_one("#reader", RichView)
    line = next(row for row in range(pane.size.height) if pane.render_line(row).text.strip())
    text = pane.render_line(line).text
    start = len(text) - len(text.lstrip())
    corner = pane.content_region.offset - pane.region.offset
    first, last = corner + Offset(start, line), corner + Offset(len(text.rstrip()) - 1, line)
    await pilot.mouse_down(pane, offset=first)
    await pilot.hover(pane, offset=last)
    await pilot.mouse_up(pane, offset=last)
    await pilot.pause()
    return pane


async def test_what_is_selected_can_be_read(learner: Learner, opened: Running) -> None:
    async with opened(desk_of(learner)) as pilot:
        pane = await select(pilot)
        assert pilot.app.screen.get_selected_text()
        marked = pilot.app.screen.get_component_rich_style("screen--selection").bgcolor
        selected = [
            part for row in range(pane.size.height) for part in pane.render_line(row) if part.style.bgcolor == marked
        ]
        assert "".join(part.text for part in selected).strip()
        assert all(part.style.color != marked for part in selected)


async def test_ctrl_c_copies_a_selection_and_quits_without_one(learner: Learner, opened: Running) -> None:
    async with opened(desk_of(learner)) as pilot:
        await select(pilot)
        selected = pilot.app.screen.get_selected_text()
        await pilot.press("ctrl+c")
        assert selected and pilot.app.clipboard == selected
        assert pilot.app.is_running and not pilot.app.screen.get_selected_text()
        await pilot.press("ctrl+c")
        assert not pilot.app._running or pilot.app._exit


async def test_in_a_browser_ctrl_c_does_not_quit(
    learner: Learner, opened: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Dashboard, "is_web", True)
    async with opened(desk_of(learner)) as pilot:
        await pilot.press("ctrl+c")
        assert not pilot.app._exit
