"""The one screen that is always there: what its keys do, and what happens meanwhile. How it looks is up to `Frame`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType

from coursecli.errors import CourseError
from coursecli.expect.words import plural
from coursecli.render.console import clean
from coursecli.tui import views
from coursecli.tui.checks import Checks, trouble
from coursecli.tui.desk import Desk, Target
from coursecli.tui.messages import (
    CheckSaid,
    FilesChanged,
    LessonStarted,
    ProgressChanged,
    StateRead,
    Trouble,
    WorkspaceGone,
)
from coursecli.tui.opening import open_in_editor
from coursecli.tui.screens.frame import Frame
from coursecli.tui.watcher import Watcher
from coursecli.tui.widgets.chat_pane import ChatPane
from coursecli.tui.widgets.panes import Panes
from coursecli.watch.messages import Began, Done, Rests

if TYPE_CHECKING:
    from coursecli.course.manifest import Task
    from coursecli.progress.state import LessonState

ABOUT_LESSONS = ("check", "check_lesson", "start", "hint", "edit", "edit_in_vs_code", "show_all")
"""What keys do on the pages about lessons only."""
READING = ("course", "lesson", "hints")
"""Pages that a save leaves for the verdict on it."""


class Home(Frame):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "check", "Check", tooltip="Check what the cursor is on: a task, or a lesson"),
        Binding("C", "check_lesson", "Check the whole lesson", show=False),
        Binding("a", "show_all", "All failures", show=False, tooltip="Every failing test whole, or only the first"),
        Binding("x", "stop", "Stop", tooltip="Stop the check that runs"),
        Binding("s", "start", "Start", tooltip="Start this lesson, or the next: its files are put into your workspace"),
        Binding("h", "hint", "Hint", tooltip="The next hint for the task in hand"),
        Binding("e", "edit", "Edit", tooltip="Open the line in your editor"),
        Binding("v", "edit_in_vs_code", "VS Code", show=False, tooltip="Open the line in VS Code"),
        Binding("w", "watch", "Watch on or off", show=False, tooltip="Check again whenever you save"),
        Binding("escape", "back", "Back", show=False, tooltip="Stop what runs, else go back to the course"),
        *(Binding(str(key), f"page_number({key})", f"Page {key}", show=False) for key in range(1, 10)),
    ]

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.checks = Checks(desk, self.verdicts, self.post_message)
        self.watcher = Watcher(desk.course, desk.workspace, self.post_message)

    def on_mount(self) -> None:
        self.watcher.start()
        self.checks.start()

    def on_unmount(self) -> None:
        self.watcher.close()
        self.checks.close()

    # What happens: checks, saves, the workspace

    def on_check_said(self, event: CheckSaid) -> None:
        try:
            line = self.checks.hear(event.said)
        except CourseError as error:
            line = trouble(error)
        if line is not None:
            self.say(line)
        if isinstance(event.said, Began | Rests):
            self.refresh_bindings()
        if isinstance(event.said, Done):
            self.read_state()
            self.refresh_panes()

    def on_files_changed(self, event: FilesChanged) -> None:
        self.read_state()
        if self.checks.check_saved(event.files, self.target, self.state) and self.page.name in READING:
            self.go_to_page("check")

    def on_progress_changed(self, event: ProgressChanged) -> None:
        self.read_state()

    def on_workspace_gone(self, event: WorkspaceGone) -> None:
        self.checks.cancel()
        root = self.desk.workspace.root
        self.say(clean(f"✗ The workspace is gone: {root}" if event.gone else "The workspace is there again."))
        if not event.gone:
            self.read_state()

    def on_trouble(self, event: Trouble) -> None:
        self.say(trouble(event.error))

    def on_lesson_started(self, event: LessonStarted) -> None:
        files = plural(len(event.changes), "file")
        self.say(clean(f"{event.lesson.heading} is started: {files} written in your workspace."))
        self.checks.target = None
        self.read_state()
        if self.target is not None and self.target.lesson != event.lesson:
            self.go_to(Target(event.lesson))

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that mean nothing at the moment are not offered."""
        if action == "stop":
            return self.checks.running is not None and not self.checks.running.again
        if action in ABOUT_LESSONS and self.page.pane in ("runs", "chat"):
            return False
        if action == "start":
            return self._to_start is not None
        return True

    @property
    def _to_start(self) -> LessonState | None:
        """The lesson that the cursor is in; when that is done, the one that comes next."""
        entry = self.entry
        if entry is not None and entry.done and self.state is not None and self.state.current is not None:
            entry = self.state.lesson(self.state.current)
        return entry if entry is not None and entry.open and not entry.started else None

    def action_check(self) -> None:
        if self.target is not None:
            self._check(self.target)

    def action_check_lesson(self) -> None:
        if self.target is not None:
            self._check(Target(self.target.lesson))

    def _check(self, target: Target) -> None:
        if self.state is not None and self.checks.check(target, self.state):
            self.go_to_page("check")
        else:
            self.say(Text(f"{target.lesson.short} has not been started: press s."))

    def action_stop(self) -> None:
        if self.checks.cancel():
            self.say(Text("Stopping"))

    def action_back(self) -> None:
        if self.page.name == "chat" and self.query_one(ChatPane).interrupt():
            return
        if not self.checks.cancel():
            self.go_to_page("course")

    def action_show_all(self) -> None:
        self.query_one(Panes).turn_failures()
        self.go_to_page("check")

    def action_watch(self) -> None:
        self.checks.watch(not self.checks.watching)
        watching = "Every save is checked." if self.checks.watching else "Saves are not checked any more: c checks."
        self.say(Text(watching))

    def action_start(self) -> None:
        entry = self._to_start
        if entry is not None:
            self.run_worker(partial(self._start, entry), thread=True, group="start")

    def _start(self, entry: LessonState) -> None:
        try:
            with self.watcher.looking_away():
                changes = self.desk.start(entry.lesson)
            self.post_message(LessonStarted(entry.lesson, changes))
        except CourseError as error:
            self.post_message(Trouble(error))

    def action_hint(self) -> None:
        entry = self.entry
        if entry is None or self.target is None:
            return
        task = views.task_in_hand(self.target, entry, self.verdict)
        seen = views.hints_seen(entry, task)
        if (entry.started or entry.skipped) and not self.desk.instructor and seen < len(task.hints):
            self.run_worker(partial(self._see_hint, task, seen + 1), thread=True, group="hint", exclusive=True)
        self.go_to_page("hints")

    def _see_hint(self, task: Task, level: int) -> None:
        try:
            self.desk.see_hint(task, level)
            self.post_message(StateRead(self.desk.state()))
        except CourseError as error:
            self.post_message(Trouble(error))

    def action_edit(self) -> None:
        self._edit(vs_code=False)

    def action_edit_in_vs_code(self) -> None:
        self._edit(vs_code=True)

    def _edit(self, *, vs_code: bool) -> None:
        entry = self.entry
        if entry is None or self.target is None:
            return
        place = views.place_of(self.desk, self.target, entry, self.verdict)
        self.say(clean(open_in_editor(self.app, place, in_vs_code=vs_code)))
