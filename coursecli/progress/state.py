"""What the attempts mean: which lessons are open, passed, stale or regressed; what to do next. `store` holds them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from coursecli.progress.evidence import Evidence, Gatherer, stale_reasons, task_files

if TYPE_CHECKING:
    from coursecli.course.catalogue import Course, Lesson
    from coursecli.course.manifest import Task
    from coursecli.course.workspace import Workspace
    from coursecli.progress.store import Attempt, Store, Verdict

UNLOCK = "unlock"
"""The setting that opens every lesson when it is "all", as `init --unlock all` does in the workspace's settings."""


@dataclass(frozen=True)
class TaskState:
    task: Task
    ever_passed: bool
    passes_now: bool | None
    """None: not known, because it was never decided or something has changed since."""
    stale: list[str]
    """What has changed since the last verdict, in words."""
    attempts: int
    hints: int
    """The highest hint seen: 0 to 3."""
    unwritten: bool = False
    """At the last verdict a definition of it was still a stub."""


@dataclass(frozen=True)
class LessonState:
    lesson: Lesson
    locked_by: list[Lesson]
    """The lessons to pass first; empty when this one is open."""
    started: bool
    skipped: bool
    ever_passed: bool
    passes_now: bool | None
    """True and False are about the files as they are; None: not known, because of `stale` or for want of a check."""
    stale: list[str]
    """Of a lesson that passed: what has changed since, in words."""
    attempts: int
    tasks: list[TaskState]

    @property
    def open(self) -> bool:
        return not self.locked_by

    @property
    def done(self) -> bool:
        """What later lessons ask for: passed at some time, or skipped."""
        return self.ever_passed or self.skipped

    @property
    def regressed(self) -> bool:
        """It passed, and a later edit broke it."""
        return self.ever_passed and self.passes_now is False


@dataclass(frozen=True)
class CourseState:
    lessons: list[LessonState]
    current: Lesson | None
    """The lesson to work on; None when all are done."""
    next_command: str
    next_reason: str
    """One line: why that command."""

    def lesson(self, lesson: Lesson) -> LessonState:
        return next(state for state in self.lessons if state.lesson.id == lesson.id)


def course_state(course: Course, workspace: Workspace, store: Store) -> CourseState:
    """Everything that can be said of a workspace without running anything."""
    lesson_attempts, task_attempts = store.attempt_counts()
    started, skipped, hints = set(store.started()), set(store.skipped()), store.hints()
    everything_open = workspace.settings.unlock_all or store.setting(UNLOCK) == "all"
    gatherer = Gatherer(course, workspace.package)

    done: set[str] = set()
    states = []
    for lesson in course.lessons:
        count = lesson_attempts.get(lesson.id, 0)
        attempts = store.decisive_attempts(lesson.id) if count else []
        history = _History(course, lesson, attempts, gatherer, store.unwritten)
        state = LessonState(
            lesson=lesson,
            locked_by=[]
            if everything_open
            else [each for each in course.lessons if each.id in lesson.manifest.needs and each.id not in done],
            started=lesson.id in started or count > 0,
            skipped=lesson.id in skipped,
            ever_passed=history.ever_passed(),
            passes_now=history.passes_now(),
            stale=history.stale(),
            attempts=count,
            tasks=[
                history.task_state(task, task_attempts.get(task.id, 0), hints.get(task.id, 0)) for task in lesson.tasks
            ],
        )
        states.append(state)
        if state.done:
            done.add(lesson.id)
    current = _current(states)
    return CourseState(states, current.lesson if current else None, *_next_step(states, current))


def unlocked_features(state: CourseState) -> set[str]:
    """The commands, such as `generate`, whose lessons are done."""
    return {name for each in state.lessons if each.done for name in each.lesson.manifest.unlocks.features}


@dataclass
class _History:
    """The decisive attempts at one lesson, oldest first, seen from the files as they are now."""

    course: Course
    lesson: Lesson
    attempts: list[Attempt]
    gatherer: Gatherer
    unwritten: Callable[[int], set[str]]
    """The tasks of an attempt, by its number, that are not written."""
    _now: Evidence | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.attempts:  # Nothing to compare otherwise, so nothing is read.
            self._now = self.gatherer.gather(self.lesson)
            self._files = {task.id: task_files(self.course, self.lesson, task) for task in self.lesson.tasks}

    def ever_passed(self) -> bool:
        """The whole lesson passed at once; or, at some attempt, every task had passed on the files of that time."""
        if any(attempt.whole_lesson and attempt.passed for attempt in self.attempts):
            return True
        passed: dict[str, Evidence] = {}
        for attempt in self.attempts:
            for task, verdict in attempt.tasks.items():
                if verdict == "passed":
                    passed[task] = attempt.evidence
                elif verdict == "failed":
                    passed.pop(task, None)
            if all(
                task.id in passed and not stale_reasons(passed[task.id], attempt.evidence, self._files[task.id])
                for task in self.lesson.tasks
            ):
                return True
        return False

    def passes_now(self) -> bool | None:
        verdicts = [self._task_now(task) for task in self.lesson.tasks]
        if False in verdicts:
            return False
        decided = [self._decided(task) for task in self.lesson.tasks]
        whole = self._last_whole()
        if whole and not self._reasons(whole):
            # Each task passed in it or later: a problem that is gone, or a test that did not get its turn then.
            later = None not in verdicts and all(attempt and attempt.seq >= whole.seq for attempt in decided)
            return whole.passed or later
        return True if verdicts and None not in verdicts else None

    def stale(self) -> list[str]:
        if self.passes_now() is not None:
            return []
        passes = [attempt for attempt in self.attempts if attempt.whole_lesson and attempt.passed]
        if passes:
            return self._reasons(passes[-1])
        reasons = [reason for task in self.lesson.tasks if self._ever(task) for reason in self._task_reasons(task)]
        return list(dict.fromkeys(reasons))

    def task_state(self, task: Task, attempts: int, hints: int) -> TaskState:
        passes_now, decided = self._task_now(task), self._decided(task)
        return TaskState(
            task=task,
            ever_passed=self._ever(task),
            passes_now=passes_now,
            stale=self._task_reasons(task),
            attempts=attempts,
            hints=hints,
            unwritten=decided is not None and not passes_now and task.id in self.unwritten(decided.seq),
        )

    def _ever(self, task: Task) -> bool:
        return any(attempt.tasks.get(task.id) == "passed" for attempt in self.attempts)

    def _task_now(self, task: Task) -> bool | None:
        attempt = self._decided(task)
        if attempt is None or self._task_reasons(task):
            return None
        return attempt.tasks[task.id] == "passed"

    def _task_reasons(self, task: Task) -> list[str]:
        attempt = self._decided(task)
        return self._reasons(attempt, self._files[task.id]) if attempt else []

    def _decided(self, task: Task) -> Attempt | None:
        """The last attempt in which the task passed or failed."""
        decided: tuple[Verdict, ...] = ("passed", "failed")
        return next((attempt for attempt in reversed(self.attempts) if attempt.tasks.get(task.id) in decided), None)

    def _last_whole(self) -> Attempt | None:
        return next((attempt for attempt in reversed(self.attempts) if attempt.whole_lesson), None)

    def _reasons(self, attempt: Attempt, files: set[str] | None = None) -> list[str]:
        assert self._now is not None
        return stale_reasons(attempt.evidence, self._now, files)


def _current(states: list[LessonState]) -> LessonState | None:
    """The first lesson that is started and not done; else the first open one that is not done."""
    waiting = [state for state in states if not state.done and state.open]
    return next((state for state in waiting if state.started), waiting[0] if waiting else None)


def _next_step(states: list[LessonState], current: LessonState | None) -> tuple[str, str]:
    """The one command to type next, and why."""
    if current is None:
        broken = next((state for state in states if state.regressed), None)
        if broken:
            return f"intro2llm check {broken.lesson.short}", f"{broken.lesson.short} passed before and fails now."
        blocked = next((state for state in states if not state.done), None)
        if blocked:  # needs that no lesson can meet: a fault of the course
            return "intro2llm list", f"{blocked.lesson.short} is still locked."
        stale = next((state for state in states if state.stale), None)
        if stale:
            return f"intro2llm check {stale.lesson.short}", f"{stale.lesson.short} passed; {stale.stale[0]}."
        return "intro2llm list", "Every lesson is done."
    name = f"{current.lesson.short}, {current.lesson.title}"
    if not current.started:
        return f"intro2llm start {current.lesson.short}", f"Next is {name}."
    task = _first_open_task(current)
    if task is None:
        return "intro2llm check", f"Every task of {current.lesson.short} has passed: check the whole lesson."
    work = f"{task.task.title}, in {task.task.file}"
    if task.passes_now is False and not task.unwritten:
        return (
            "intro2llm check",
            f"{work} does not pass yet. Edit it and check again, or: intro2llm hint {task.task.id}",
        )
    if task.stale and not task.unwritten:
        before = "passed" if task.ever_passed else "failed"
        return "intro2llm check", f"{work} {before} before; the code or the course has changed since."
    return "intro2llm check", f"Write {work}, then check it."


def _first_open_task(state: LessonState) -> TaskState | None:
    """In the order of the lesson: the first task that fails or was never passed; else the first that has changed since.

    A task whose needs have not passed yet comes after those that can be worked on.
    """
    passed = {task.task.id for task in state.tasks if task.passes_now or task.ever_passed}
    waiting = [task for task in state.tasks if task.passes_now is not True]
    to_do = [task for task in waiting if task.passes_now is False or not task.ever_passed]
    ready = [task for task in to_do if passed.issuperset(task.task.needs)]
    return next(iter([*ready, *to_do, *waiting]), None)
