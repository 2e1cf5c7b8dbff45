"""A check's result: one failing test, whole; the rest one line each; after a pass, what was learnt and what is next."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from coursecli.check.results import CheckResult, Frame, Outcome, Problem, TestResult
from coursecli.check.verdict import FAILING
from coursecli.expect.words import plural
from coursecli.render.console import clean, visible
from coursecli.render.failure import failure_view
from coursecli.render.source import excerpt, places

if TYPE_CHECKING:
    from coursecli.course.catalogue import Lesson
    from coursecli.course.manifest import MistakeCatalogue, Task
    from coursecli.progress.state import CourseState, LessonState

SIGNS = {
    "passed": ("✓", "passed", "good"),
    "failed": ("✗", "failed", "bad"),
    "error": ("✗", "raised an error", "bad"),
    "not_written": ("○", "not written yet", "wait"),
    "timeout": ("✗", "took too long", "bad"),
    "crashed": ("✗", "crashed", "bad"),
    "tampered": ("✗", "does not count", "bad"),
    "blocked": ("·", "waits for another task", "quiet"),
    "not_run": ("·", "not run", "quiet"),
}
UNRUN: tuple[Outcome, ...] = ("blocked", "not_run")
WAITING: tuple[Outcome, ...] = ("not_written", *UNRUN)
OUTPUT_LINES, OUTPUT_CHARACTERS = 12, 2000
LISTED = 6
PLACES = 2


class ResultView:
    """Renders one check of `lesson` on the files of `package`, the learner's."""

    def __init__(
        self, result: CheckResult, lesson: Lesson, mistakes: MistakeCatalogue, package: Path, *, width: int
    ) -> None:
        self.result = result
        self.lesson = lesson
        self.mistakes = {mistake.id: mistake for mistake in mistakes.mistakes}
        self.package = package
        self.root = package.parent
        self.width = width

    def failing(self, first: TestResult | None, *, show_all: bool) -> RenderableType:
        """A check that did not pass: `first` is the test to look at."""
        parts: list[RenderableType] = []
        if self.result.problem is not None:
            parts.append(self._problem(self.result.problem))
        shown = [first] if first is not None else []
        if show_all:
            shown += [test for test in self.result.tests if test.outcome in FAILING and test is not first]
        for test in shown:
            parts += [self._whole(test), Text()]
        if self.result.suspects:
            parts += [self._suspects(), Text()]
        if any(test.outcome not in UNRUN for test in self.result.tests):
            parts.append(self._list_of_tests(shown, everything=show_all))
        return Group(*parts, *self._last_words(first))

    def _problem(self, problem: Problem) -> RenderableType:
        """What kept the tests from running."""
        parts: list[RenderableType] = [clean(problem.summary, "bad")]
        if problem.frame is not None and problem.kind != "encoding":
            parts += [Text(), *self._code(problem.frame)]
        if problem.detail:
            parts += [Text(), clean(problem.detail)]
        if problem.remedy:
            parts += [Text(), clean(problem.remedy)]
        return Group(*parts, Text())

    def _whole(self, test: TestResult) -> RenderableType:
        """One test with everything that helps: words, difference, mistake, the learner's line, their output."""
        sign, words, style = SIGNS[test.outcome]
        task = self.lesson.task(test.task)
        parts: list[RenderableType] = [
            Text.assemble((f"{sign} ", style), clean(task.title, "title"), (f"  {words}", style))
        ]
        parts += [Padding(clean(test.title), (0, 0, 0, 2), expand=False), Text()]
        if test.outcome == "not_written":
            parts += self._not_written(test, task)
        elif test.failure is not None:
            mistake = self.mistakes.get(test.failure.mistake or "")
            parts.append(failure_view(test.failure, width=self.width, mistake=mistake))
            if test.error is None:
                parts += [Text(), *self._where(task)]
        elif test.outcome in ("timeout", "crashed"):
            parts.append(clean(f"It {test.note}.", "bad"))
        elif test.error is not None:
            error = test.error
            parts.append(clean(f"{error.type}: {error.message}" if error.message else error.type, "bad"))
        if test.note and test.outcome not in ("timeout", "crashed"):
            parts.append(clean(test.note))
        if test.error is not None and test.error.frames and test.outcome != "not_written":
            parts += [Text(), *self._code(test.error.frames[-1]), *self._called_from(test.error.frames[:-1])]
        elif test.outcome in ("timeout", "crashed"):  # whoever could have told the line was killed as well
            parts += [Text(), *self._where(task)]
        if test.output:
            parts += [Text(), *_output(test)]
        return Group(*parts)

    def _list_of_tests(self, shown: list[TestResult], *, everything: bool) -> RenderableType:
        """The other failing tests, a line each; those that did not get that far, counted. Or every test."""
        tests = self.result.tests
        passed = sum(test.outcome == "passed" for test in tests)
        parts: list[RenderableType] = [Text(f"{passed} of {len(tests)} tests pass.", style="title")]
        table = Table.grid(padding=(0, 1, 0, 0))
        table.add_column(width=1)
        table.add_column(overflow="fold")
        failed = [test for test in tests if test.outcome in FAILING and test not in shown]
        failed_here = [test for test in failed if test.outcome != "not_written"]
        listed = tests if everything else failed_here[:LISTED]
        for test in listed:
            sign, words, style = SIGNS[test.outcome]
            line = Text.assemble(clean(self._title(test)), (f"  {words}", style))
            if everything and test.note and test.outcome in UNRUN:
                line.append_text(clean(f" ({test.note})", "quiet"))
            table.add_row(Text(sign, style), line)
        if not everything and len(failed_here) > LISTED:
            table.add_row(Text("✗", "bad"), Text(f"and {len(failed_here) - LISTED} more that fail"))
        for outcome in () if everything else WAITING:
            waiting = sum(test.outcome == outcome for test in tests if test not in shown)
            if waiting:
                sign, words, style = SIGNS[outcome]
                table.add_row(Text(sign, style), Text.assemble((words, style), f": {plural(waiting, 'test')}"))
        if table.row_count:
            parts.append(table)
        if failed_here and not everything:
            command = f"intro2llm check {self._name} --all"
            parts.append(Text.assemble(("Every failing test, whole: ", "quiet"), (command, "command")))
        return Group(*parts)

    def _title(self, test: TestResult) -> str:
        """What the test checks; with its case, when several tests check the same."""
        case = test.id.partition("[")[2].rstrip("]")
        return f"{test.title} ({case})" if case else test.title

    def _suspects(self) -> RenderableType:
        """Which earlier part makes the integration test fail."""
        names = " and ".join(
            f"{suspect.lesson.partition('_')[0]}'s {suspect.title}" for suspect in self.result.suspects
        )
        verb = "is" if len(self.result.suspects) == 1 else "are"
        right = f"Your work on this lesson is right: with the reference in place of {names}, the test passes."
        return clean(f"{right} So {names} {verb} the place to look.", "mark")

    @property
    def _name(self) -> str:
        scope = self.result.scope
        return self.lesson.short if self.result.whole_lesson or len(scope) != 1 else scope[0]

    def _not_written(self, test: TestResult, task: Task) -> list[RenderableType]:
        frame = test.error.frames[-1] if test.error and test.error.frames else None
        lesson, symbol = self._unwritten(test, task)
        about = task.id if lesson == self.lesson.short else lesson
        parts: list[RenderableType] = []
        if frame is not None:
            parts += [
                clean(f"Write {symbol} next: it is in {frame.file}, line {frame.line}."),
                Text(),
                *self._code(frame),
            ]
        else:
            parts += [clean(f"Write {symbol} next."), *self._where(task)]
        return [
            *parts,
            Text(),
            Text.assemble("Read about it: ", clean(f"intro2llm read {about}", "command")),
        ]

    def _unwritten(self, test: TestResult, task: Task) -> tuple[str, str]:
        """The lesson and the symbol of the stub that a test met: the stub has said it, "lesson02 · RMSNorm.forward"."""
        lesson, _, symbol = test.error.message.partition(" · ") if test.error else ("", "", "")
        return (lesson, symbol) if symbol else (self.lesson.short, task.symbols[0])

    def _where(self, task: Task) -> list[RenderableType]:
        file = f"{self.package.name}/{task.file}"
        found = places(self.package / task.file, task.symbols)
        if len(found) > PLACES:
            return [clean(f"Your code: {file}, from line {min(line for _, line in found)} on")]
        return [clean(f"Your code: {file}:{line} in {name}") for name, line in found]

    def _code(self, frame: Frame) -> list[RenderableType]:
        return [
            clean(f"Your code: {_place(frame)}"),
            excerpt(self.root / frame.file, frame.line, fallback=frame.source),
        ]

    def _called_from(self, frames: list[Frame]) -> list[RenderableType]:
        """The last callers, each place once: of a function that calls itself without end there is only one."""
        places = dict.fromkeys(_place(frame) for frame in reversed(frames))
        return [clean(f"called from {place}", "quiet") for place in list(places)[:3]]

    def _last_words(self, first: TestResult | None) -> Iterable[RenderableType]:
        """Where to get a hint: for the part that is to blame, the task that fails, or the only one that was checked."""
        if first is not None and first.outcome == "not_written":
            lesson, _ = self._unwritten(first, self.lesson.task(first.task))
            if lesson != self.lesson.short:
                return  # the task is done; what is to be written belongs to another lesson, which has been named
        tasks = [suspect.task for suspect in self.result.suspects] or ([first.task] if first else self.result.scope)
        task = tasks[0] if len(tasks) == 1 else ""
        if task and (first is None or first.outcome != "tampered"):
            yield Text()
            yield Text.assemble("A hint: ", (f"intro2llm hint {task}", "command"))


def passed_view(lesson: Lesson, state: CourseState, unlocked: list[LessonState]) -> RenderableType:
    """Both suites passed: what was learnt, what the model can do now, what is open now, the next command."""
    unlocks = lesson.manifest.unlocks
    parts: list[RenderableType] = [
        Text.assemble(("✓ ", "good"), clean(f"{lesson.heading}: passed", "title")),
        Text(),
        _labelled("Learnt", unlocks.learned),
        _labelled("Now", unlocks.can_now),
    ]
    for entry in unlocked:
        parts.append(_labelled("Open", entry.lesson.heading))
    if unlocks.features:
        parts.append(_labelled("Open", "the commands " + ", ".join(unlocks.features)))
    return Group(*parts, Text(), _labelled("Next", state.next_command, "command"), _labelled("", state.next_reason))


def task_passed_view(task: Task, entry: LessonState, state: CourseState) -> RenderableType:
    """One task passed, the lesson as a whole is not decided."""
    done = sum(each.passes_now is True for each in entry.tasks)
    stale = sum(each.passes_now is None and each.ever_passed for each in entry.tasks)
    also = f"; {stale} passed and changed since" if stale else ""
    return Group(
        Text.assemble(("✓ ", "good"), clean(f"{task.title}: passed", "title")),
        Text(f"  {done} of {len(entry.tasks)} tasks of {entry.lesson.short} pass{also}."),
        Text(),
        _labelled("Next", state.next_command, "command"),
        _labelled("", state.next_reason),
    )


def _labelled(label: str, text: str, style: str = "") -> RenderableType:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=6)
    table.add_column(overflow="fold")
    table.add_row(Text(label, style="quiet"), clean(text, style))
    return table


def _output(test: TestResult) -> list[RenderableType]:
    """What the learner's code printed, cleaned and capped."""
    lines = visible(test.output[:OUTPUT_CHARACTERS]).rstrip("\n").split("\n")
    dropped = test.output_cut + max(0, len(test.output) - OUTPUT_CHARACTERS)
    parts: list[RenderableType] = [Text("Your code printed:", style="quiet")]
    parts += [Padding(Text(line), (0, 0, 0, 2), expand=False) for line in lines[:OUTPUT_LINES]]
    more = len(lines) - OUTPUT_LINES
    if more > 0 or dropped:
        left_out = [plural(more, "more line")] * (more > 0) + [plural(dropped, "more character")] * bool(dropped)
        parts.append(Text(f"  … and {' and '.join(left_out)}", style="quiet"))
    return parts


def _place(frame: Frame) -> str:
    return f"{frame.file}:{frame.line}" + (f" in {frame.function}" if frame.function else "")
