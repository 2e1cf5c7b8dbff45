"""The worker's pytest plugin: the order of the tests, the gates between suites and tasks, a record for each test."""

from __future__ import annotations

import ast
import contextlib
import os
import time
from pathlib import Path
from typing import Any

import pytest

from coursecli.check.assignment import Assignment
from coursecli.check.events import Collected, Finished, Halted, Started
from coursecli.check.guard import Shortcuts, Tools
from coursecli.check.outcomes import judge
from coursecli.check.problems import escaped, import_problem, skipped, tampered
from coursecli.check.results import Problem, TestResult
from coursecli.check.seeds import Generators
from coursecli.check.transcript import OUTSIDE, mark
from coursecli.check.voice import Voice
from coursecli.expect import counter


class Plugin:
    """Registered with pytest; one for each run."""

    def __init__(self, assignment: Assignment, voice: Voice, shortcuts: Shortcuts, tools: Tools) -> None:
        self._assignment = assignment
        self._voice = voice
        self._shortcuts = shortcuts
        self._tools = tools
        self._suites = {suite.path: suite.name for suite in assignment.suites}
        self._order = {task.id: place for place, task in enumerate(assignment.tasks)}
        self._tasks = {task.id: task for task in assignment.tasks}
        self._generators = Generators()
        self._asserting: dict[str, set[str]] = {}
        self._failed_suites: set[str] = set()
        self._failed_tasks: set[str] = set()
        self._halted = False
        self._collected = False
        self.finished = 0

    @property
    def complete(self) -> bool:
        """Every collected test has its record, and nothing cut the run short."""
        return self._collected and not self._halted

    # Collection ---------------------------------------------------------------------------------------------

    def pytest_exception_interact(self, call: pytest.CallInfo[Any], report: object) -> None:
        if isinstance(report, pytest.CollectReport) and call.excinfo is not None:
            error: BaseException = call.excinfo.value
            self._halt(import_problem(error.__cause__ or error, self._assignment.root))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.outcome == "skipped":
            self._halt(skipped())

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        self._halt(escaped(excinfo.value, self._assignment.root))

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        self._halt(escaped(excinfo.value, self._assignment.root))

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep what is in scope: the basic suite first; in a suite the tasks in order, integration tests last."""
        scope = set(self._assignment.scope)
        items[:] = [item for item in items if self._task(item) in scope]
        if self._assignment.integration_only:
            items[:] = [item for item in items if item.get_closest_marker("integration")]
        names = list(self._suites.values())
        items.sort(
            key=lambda item: (
                names.index(self._suite(item)),
                item.get_closest_marker("integration") is not None,
                self._order.get(self._task(item), len(self._order)),
            )
        )

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        if self._halted:
            return
        suites = {item.module for item in session.items if isinstance(item, pytest.Function)}
        if replaced := self._tools.replaced(everything=True) or self._tools.watch(suites):
            self._halt(tampered(replaced))
            return
        self._collected = True
        self._voice.say(Collected(token=self._voice.token, tests=[self._id(item) for item in session.items]))

    # Running ------------------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        if self._halted:
            return True
        result = self._held_back(item) or self._run(item, nextitem)
        if result.outcome != "passed" and not result.integration:  # that may be the fault of an earlier lesson
            self._failed_suites.add(result.suite)
            self._failed_tasks.add(result.task)
        self._voice.say(Finished(token=self._voice.token, result=result))
        self.finished += 1
        if nextitem is None:
            self._mark(OUTSIDE)
        if replaced := self._tools.replaced(everything=nextitem is None):
            self._halt(tampered(replaced))
        return True

    def _held_back(self, item: pytest.Item) -> TestResult | None:
        """A test whose turn has not come yet: its record, unrun."""
        if not self._assignment.gates:
            return None
        suite, task = self._suite(item), self._tasks.get(self._task(item))
        earlier = list(self._suites.values())
        if any(name in self._failed_suites for name in earlier[: earlier.index(suite)]):
            return self._record(item, outcome="not_run", note="waits until the basic suite passes")
        for need in task.needs if task else ():
            if need in self._failed_tasks:
                return self._record(item, outcome="blocked", note=f"waits for “{self._tasks[need].title}”")
        return None

    def _run(self, item: pytest.Item, nextitem: pytest.Item | None) -> TestResult:
        name = self._id(item)
        self._voice.say(Started(token=self._voice.token, id=name))
        self._mark(name)
        counter.reset()
        self._shortcuts.caught = None
        self._generators.reset()
        begun = time.perf_counter()
        error = _execute(item, nextitem)
        seconds = time.perf_counter() - begun
        error = self._shortcuts.caught or error
        fields = judge(error, root=self._assignment.root, test_file=os.fspath(item.path), title=_title(item))
        if fields["outcome"] == "passed" and not counter.count() and not self._asserts(item):
            fields = {
                "outcome": "tampered",
                "note": "The test ended without evaluating a single expectation. That is not a pass.",
            }
        return self._record(item, seconds=round(seconds, 4), **fields)

    def _record(self, item: pytest.Item, **fields: Any) -> TestResult:
        return TestResult(
            id=self._id(item),
            suite=self._suite(item),
            task=self._task(item),
            title=_title(item),
            integration=item.get_closest_marker("integration") is not None,
            **fields,
        )

    def _asserts(self, item: pytest.Item) -> bool:
        """Whether the test has a bare `assert` of its own."""
        path = os.fspath(item.path)
        if path not in self._asserting:
            module = ast.parse(Path(path).read_bytes())
            self._asserting[path] = {
                node.name
                for node in module.body
                if isinstance(node, ast.FunctionDef) and any(isinstance(inner, ast.Assert) for inner in ast.walk(node))
            }
        return getattr(item, "originalname", item.name) in self._asserting[path]

    def _mark(self, test: str) -> None:
        with contextlib.suppress(OSError):
            os.write(1, mark(self._voice.token, test))

    def _halt(self, problem: Problem) -> None:
        if not self._halted:
            self._halted = True
            self._voice.say(Halted(token=self._voice.token, problem=problem))

    def _suite(self, item: pytest.Item) -> str:
        return self._suites[os.fspath(item.path)]

    def _task(self, item: pytest.Item) -> str:
        found = item.get_closest_marker("task")
        return str(found.args[0]) if found and found.args else ""

    def _id(self, item: pytest.Item) -> str:
        return f"{self._suite(item)}::{item.name}"


_HARMLESS = pytest.CallInfo.from_call(lambda: None, "setup")


def _execute(item: pytest.Item, nextitem: pytest.Item | None) -> BaseException | None:
    """Set up, call, tear down; whatever was raised first. Every kind of exception counts: none may end the run."""
    error: BaseException | None = None
    if isinstance(item, pytest.Function):
        item._initrequest()
    try:
        item.ihook.pytest_runtest_setup(item=item)
        item.ihook.pytest_runtest_call(item=item)
    except BaseException as raised:
        error = raised
    try:
        item.ihook.pytest_runtest_makereport(item=item, call=_HARMLESS)  # tmp_path asks for a report of the set-up
        item.ihook.pytest_runtest_teardown(item=item, nextitem=nextitem)
    except BaseException as raised:
        error = error or raised
    return error


def _title(item: pytest.Item) -> str:
    text = getattr(getattr(item, "function", None), "__doc__", None) or item.name
    return str(text).strip().partition("\n")[0].strip()
