"""The one screen that is always there: bar, panes, a line that says what goes on. What the panes show is in `views`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.events import Resize
from textual.screen import Screen
from textual.widgets import Footer, Static

from coursecli.check.verdict import first_failure
from coursecli.errors import CourseError
from coursecli.expect.words import plural
from coursecli.render.console import THEME, clean
from coursecli.tui import views
from coursecli.tui.checker import Checker
from coursecli.tui.desk import Desk, Target
from coursecli.tui.messages import (
    CheckBegan,
    CheckEnded,
    CheckMoved,
    ChecksRest,
    FilesChanged,
    LessonStarted,
    ProgressChanged,
    StateRead,
    Trouble,
    WorkspaceGone,
)
from coursecli.tui.opening import open_in_editor
from coursecli.tui.pages import LEAST_COLUMNS, LEAST_ROWS, is_too_small, pages_for, panes_shown
from coursecli.tui.watcher import Watcher
from coursecli.tui.widgets.chat_pane import ChatPane
from coursecli.tui.widgets.course_tree import CourseTree
from coursecli.tui.widgets.page_bar import PageBar, PageTab
from coursecli.tui.widgets.rich_view import RichView
from coursecli.tui.widgets.runs_pane import RunsPane

if TYPE_CHECKING:
    from coursecli.course.manifest import Task
    from coursecli.progress.recorded import Recorded
    from coursecli.progress.state import CourseState, LessonState

SETTLE_SECONDS = 0.15
"""How long the cursor rests on an entry before it is laid out."""

ABOUT_LESSONS = ("check", "check_lesson", "start", "hint", "edit", "edit_in_vs_code", "show_all")
"""What keys do on the pages about lessons only."""


class Home(Screen[None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "check", "Check", tooltip="Check what the cursor is on: a task, or a lesson"),
        Binding("C", "check_lesson", "Check the whole lesson", show=False),
        Binding("a", "show_all", "All failures", show=False, tooltip="Every failing test whole, or only the first"),
        Binding("x", "stop", "Stop", tooltip="Stop the check that runs"),
        Binding("s", "start", "Start", tooltip="Start this lesson: its files are put into your workspace"),
        Binding("h", "hint", "Hint", tooltip="The next hint for the task in hand"),
        Binding("e", "edit", "Edit", tooltip="Open the line in your editor"),
        Binding("v", "edit_in_vs_code", "VS Code", show=False, tooltip="Open the line in VS Code"),
        Binding("w", "watch", "Watch on or off", show=False, tooltip="Check again whenever you save"),
        Binding("escape", "back", "Back", show=False, tooltip="Stop what runs, else go back to the course"),
        *(Binding(str(key), f"page_number({key})", f"Page {key}", show=False) for key in range(1, 10)),
    ]

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.pages = pages_for(instructor=desk.instructor)
        self.page = self.pages[0]
        self.state: CourseState | None = None
        self.watching = True
        self._reading = self.pages[1]
        """The page that the reader shows, or would show."""
        self._target: Target | None = None
        self._checked: Target | None = None
        """What a save checks again."""
        self._verdicts: dict[str, tuple[Target, Recorded, CourseState]] = {}
        """By lesson, since the dashboard was opened."""
        self._show_all = False
        self.checker = Checker(desk, self.post_message)
        self.watcher = Watcher(desk.course, desk.workspace, self.post_message)

    def compose(self) -> ComposeResult:
        yield Static("", id="too-small")
        yield PageBar([(page.name, page.title) for page in self.pages])
        with Horizontal(id="panes"):
            yield CourseTree(id="tree")
            yield RichView(id="reader", classes="pane")
            yield RichView(id="verdict", classes="pane")
            yield RunsPane(self.desk.workspace.runs)
            yield ChatPane(self.desk)
        yield Static("", id="doing")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self.read_state()
        self.go_to_page("course")
        self.watcher.start()

    def on_unmount(self) -> None:
        self.watcher.close()
        self.checker.close()

    # What is known, and where it is shown

    def read_state(self) -> None:
        """Ask for the progress as it is now, in a thread."""
        self.run_worker(self._read_state, group="state", exclusive=True, thread=True)

    def _read_state(self) -> None:
        try:
            self.post_message(StateRead(self.desk.state()))
        except CourseError as error:
            self.post_message(Trouble(error))

    def on_state_read(self, event: StateRead) -> None:
        self.state = event.state
        tree = self.query_one(CourseTree)
        tree.take(event.state)
        self._target = self._target or tree.first  # the cursor gets there a moment later; a key may come before
        done = sum(entry.done for entry in event.state.lessons)
        self.query_one(PageBar).tell(Text(f"{done} of {len(event.state.lessons)} lessons"))
        if any(entry.started for entry in event.state.lessons):
            self.checker.warm_up()
        self.query_one(ChatPane).take(event.state)
        self._show()

    @property
    def entry(self) -> LessonState | None:
        """The state of the lesson that the cursor is in."""
        return self.state.lesson(self._target.lesson) if self.state and self._target else None

    @on(CourseTree.Looked)
    def _look(self, event: CourseTree.Looked) -> None:
        self._target = event.target
        self.refresh_bindings()
        self.set_timer(SETTLE_SECONDS, partial(self._show_if_still, event.target))

    def _show_if_still(self, target: Target) -> None:
        if target == self._target:
            self._show()

    @on(CourseTree.Chosen)
    def _choose(self, event: CourseTree.Chosen) -> None:
        self._target = event.target
        self.go_to_page("lesson")

    def go_to_page(self, name: str) -> None:
        self.page = next(page for page in self.pages if page.name == name)
        if self.page.pane == "reader":
            self._reading = self.page
        self._arrange()
        self._show()
        self.refresh_bindings()
        pane = self.query_one(f"#{self.page.pane}")
        (pane.query_one("#run-list") if self.page.pane == "runs" else pane).focus()

    def go_to(self, target: Target) -> None:
        """Put the cursor on a lesson or task, and read about it."""
        self.query_one(CourseTree).go_to(target)
        self._target = target
        self.go_to_page("lesson")

    @on(RunsPane.Talk)
    def _talk(self, event: RunsPane.Talk) -> None:
        self.query_one(ChatPane).talk_to(event.run)
        self.go_to_page("chat")

    def action_page_number(self, number: int) -> None:
        if number <= len(self.pages):
            self.go_to_page(self.pages[number - 1].name)

    @on(PageTab.Clicked)
    def _clicked(self, event: PageTab.Clicked) -> None:
        self.go_to_page(event.page)

    def on_resize(self, event: Resize) -> None:
        self._arrange()
        self._show()

    def _arrange(self) -> None:
        """Show the panes that fit."""
        columns, rows = self.app.size
        small = is_too_small(columns, rows)
        self.set_class(small, "-too-small")
        self.query_one("#too-small", Static).update(
            f"This window has {columns} × {rows} characters.\nThe dashboard needs {LEAST_COLUMNS} × {LEAST_ROWS}."
        )
        shown = panes_shown(self.page, columns)
        for pane in self.query("#panes > *"):
            pane.display = pane.id in shown
        self.set_class(len(shown) > 1, "-several")
        self.query_one(PageBar).choose(self.page.name)

    def _show(self) -> None:
        """Fill the panes that are on the screen."""
        target, state, entry = self._target, self.state, self.entry
        if target is None or state is None or entry is None:
            return
        columns = self.app.size.width
        shown = panes_shown(self.page, columns)
        if "reader" in shown:
            self._show_reader(target, entry)
        if "verdict" in shown:
            self._show_verdict(target, entry, state)

    def _show_reader(self, target: Target, entry: LessonState) -> None:
        reader, name = self.query_one("#reader", RichView), self._reading.name
        verdict = self._verdicts.get(target.lesson.id)
        place = f"{name} {target.name}"
        match name:
            case "lesson":
                reader.show(lambda width: views.safe(partial(views.lesson_page, target, width)), place=place)
            case "hints":
                task = self._task_in_hand(entry)
                seen = next(each.hints for each in entry.tasks if each.task.id == task.id)
                make = partial(views.hints_page, self.desk, entry, task, seen)
                reader.show(lambda width: views.safe(partial(make, width)), place=f"hints {task.id}")
            case "code":
                where = views.place_of(self.desk, target, verdict[1] if verdict else None)
                dark = self.app.current_theme.dark
                reader.show(
                    lambda width: views.safe(partial(views.code_page, where, dark=dark)),
                    place=f"code {where.file}",
                    at=views.POINTER,
                )
            case "solution":
                reader.show(
                    lambda width: views.safe(partial(views.solution_page, self.desk, target, width)), place=place
                )
            case "notes":
                reader.show(lambda width: views.safe(partial(views.notes_page, self.desk, target)), place=place)

    def _show_verdict(self, target: Target, entry: LessonState, state: CourseState) -> None:
        pane = self.query_one("#verdict", RichView)
        verdict = self._verdicts.get(target.lesson.id)
        if verdict is None:
            pane.show(lambda width: views.overview_page(entry, state), place=f"overview {target.lesson.id}")
            return
        make = partial(views.verdict_page, self.desk, *verdict, show_all=self._show_all)
        pane.show(lambda width: views.safe(partial(make, width)), place=f"verdict {id(verdict)} {self._show_all}")

    def _task_in_hand(self, entry: LessonState) -> Task:
        """The task that the cursor is on; else that of the failing test; else the first that does not pass."""
        if self._target is not None and self._target.task is not None:
            return self._target.task
        verdict = self._verdicts.get(entry.lesson.id)
        first = first_failure(verdict[1].result) if verdict else None
        if first is not None:
            return entry.lesson.task(first.task)
        waiting = [each for each in entry.tasks if not each.passes_now]
        failing = [each for each in waiting if each.passes_now is False]
        return (failing or waiting or entry.tasks)[0].task

    # Checks

    def action_check(self) -> None:
        if self._target is not None:
            self._check(self._target)

    def action_check_lesson(self) -> None:
        if self._target is not None:
            self._check(Target(self._target.lesson))

    def _check(self, target: Target) -> None:
        entry = self.state.lesson(target.lesson) if self.state else None
        if entry is None or not (entry.started or entry.skipped):
            self.say(Text(f"{target.lesson.short} has not been started: press s."))
            return
        self._checked = target
        self.checker.start(target)
        self.go_to_page("check")

    def on_check_began(self, event: CheckBegan) -> None:
        self.say(clean(f"Checking {event.target.title}: starting Python"))
        self.refresh_bindings()

    def on_check_moved(self, event: CheckMoved) -> None:
        self.say(clean(f"Checking {event.target.title}: {event.doing}"))

    def on_check_ended(self, event: CheckEnded) -> None:
        result, lesson = event.recorded.result, event.target.lesson
        if result.interrupted:
            return
        if self.state is not None:
            self._verdicts[lesson.id] = (event.target, event.recorded, self.state)
        passed = sum(test.outcome == "passed" for test in result.tests)
        if event.again and not result.passed:
            self.say(Text(f"✗ {lesson.short} passed before and fails now: a later edit broke it.", "bold"))
        elif result.passed:
            self.say(Text.assemble(("✓ ", THEME.styles["good"]), clean(f"{event.target.title}: passed")))
        else:
            where = f": {passed} of {len(result.tests)} tests pass" if result.tests else ""
            self.say(Text.assemble(("✗ ", THEME.styles["bad"]), clean(f"{event.target.title}{where}")))
        self.read_state()
        self._show()

    def on_checks_rest(self, event: ChecksRest) -> None:
        self.refresh_bindings()
        if event.stopped:
            self.say(Text("Stopped. Your progress is as it was."))

    def action_stop(self) -> None:
        if self.checker.cancel():
            self.say(Text("Stopping"))

    def action_back(self) -> None:
        if self.page.name == "chat" and self.query_one(ChatPane).interrupt():
            return
        if not self.checker.cancel():
            self.go_to_page("course")

    def action_show_all(self) -> None:
        self._show_all = not self._show_all
        self.go_to_page("check")

    # What happens outside

    def on_files_changed(self, event: FilesChanged) -> None:
        self.read_state()
        if not self.watching:
            return
        target = self._checked or self._target
        entry = self.state.lesson(target.lesson) if self.state and target else None
        if target is not None and entry is not None and (entry.started or entry.skipped):
            self._checked = target
            self.checker.start(target)
            if self.page.name in ("course", "lesson", "hints"):
                self.go_to_page("check")

    def on_progress_changed(self, event: ProgressChanged) -> None:
        self.read_state()

    def on_workspace_gone(self, event: WorkspaceGone) -> None:
        self.checker.cancel()
        root = self.desk.workspace.root
        self.say(clean(f"✗ The workspace is gone: {root}" if event.gone else "The workspace is there again."))
        if not event.gone:
            self.read_state()

    def on_trouble(self, event: Trouble) -> None:
        self.say(clean(f"✗ {event.error.message} {event.error.remedy}"))

    # Lessons, hints, editors

    def action_start(self) -> None:
        entry = self.entry
        if entry is not None:
            self.run_worker(partial(self._start, entry), thread=True, group="start")

    def _start(self, entry: LessonState) -> None:
        try:
            with self.watcher.looking_away():
                changes = self.desk.start(entry.lesson)
            self.post_message(LessonStarted(entry.lesson, changes))
        except CourseError as error:
            self.post_message(Trouble(error))

    def on_lesson_started(self, event: LessonStarted) -> None:
        files = plural(len(event.changes), "file")
        self.say(clean(f"{event.lesson.heading} is started: {files} written in your workspace."))
        self._checked = None
        self.read_state()

    def action_hint(self) -> None:
        entry = self.entry
        if entry is None:
            return
        task = self._task_in_hand(entry)
        seen = next(each.hints for each in entry.tasks if each.task.id == task.id)
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
        if self._target is None:
            return
        verdict = self._verdicts.get(self._target.lesson.id)
        place = views.place_of(self.desk, self._target, verdict[1] if verdict else None)
        self.say(clean(open_in_editor(self.app, place, in_vs_code=vs_code)))

    def action_watch(self) -> None:
        self.watching = not self.watching
        self.say(Text("Every save is checked." if self.watching else "Saves are not checked any more: c checks."))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that mean nothing at the moment are not offered."""
        if action == "stop":
            return self.checker.running is not None
        if action in ABOUT_LESSONS and self.page.pane in ("runs", "chat"):
            return False
        if action == "start":
            entry = self.entry
            return entry is not None and entry.open and not entry.started
        return True

    def say(self, line: Text) -> None:
        """One line about what goes on."""
        line.no_wrap = True
        line.overflow = "ellipsis"
        self.query_one("#doing", Static).update(line)
