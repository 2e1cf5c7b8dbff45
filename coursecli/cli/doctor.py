"""`doctor`: try everything that a check stands on; say what is wrong and how to mend it. Changes nothing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from rich.table import Table
from rich.text import Text

from coursecli.cli.context import Context
from coursecli.errors import CourseError, EnvironmentProblem, WorkspaceError
from coursecli.render.console import clean

Verdict = Literal["ok", "note", "wrong"]
SIGNS = {"ok": ("✓", "good"), "note": ("·", "quiet"), "wrong": ("✗", "bad")}
IGNORED_VARIABLES = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTEST_ADDOPTS", "PYTEST_PLUGINS")
PRELOAD_SECONDS = 120
FREE_BYTES = 1 << 30


@dataclass(frozen=True)
class Finding:
    verdict: Verdict
    subject: str
    detail: str
    remedy: str = ""


def doctor(context: Context) -> int:
    """Print every finding; returns the exit code of an environment problem when something is wrong."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=1)
    table.add_column()
    table.add_column(overflow="fold")
    wrong = 0
    for look in LOOKS:
        for finding in _guarded(look, context):
            sign, style = SIGNS[finding.verdict]
            detail = clean(finding.detail)
            if finding.remedy:
                detail.append_text(clean(f"\n→ {finding.remedy}", "command"))
            table.add_row(Text(sign, style), clean(finding.subject), detail)
            wrong += finding.verdict == "wrong"
    context.console.print(table)
    context.console.print()
    if not wrong:
        context.console.print("Nothing is wrong.")
        return 0
    context.console.print("1 thing is wrong." if wrong == 1 else f"{wrong} things are wrong.")
    return EnvironmentProblem.exit_code


def _guarded(look: Callable[[Context], Iterator[Finding]], context: Context) -> Iterator[Finding]:
    """What a look finds; an error that stops it is a finding too."""
    subject = look.__name__.lstrip("_")
    try:
        yield from look(context)
    except CourseError as error:
        yield Finding("wrong", subject, error.message, error.remedy)
    except Exception as error:
        yield Finding("wrong", subject, f"could not be looked at: {type(error).__name__}: {error}")


def _python(context: Context) -> Iterator[Finding]:
    version = platform.python_version()
    need = context.course.manifest.python
    enough = sys.version_info[:2] >= tuple(int(part) for part in need.split(".")[:2])
    remedy = "" if enough else f"Make a new environment: python{need} -m venv .venv, then install intro2llm in it."
    yield Finding(
        "ok" if enough else "wrong", "python", f"{version} ({need} or newer is needed), {sys.executable}", remedy
    )
    home = "a virtual environment" if sys.prefix != sys.base_prefix else "no virtual environment"
    found = shutil.which("intro2llm")
    yield Finding("ok" if sys.prefix != sys.base_prefix else "note", "environment", f"{home}, {sys.prefix}")
    if found and os.path.realpath(os.path.dirname(found)) != os.path.realpath(os.path.dirname(sys.executable)):  # noqa: PTH120
        yield Finding("note", "environment", f"typing intro2llm starts {found}, which is in another environment")
    ignored = [name for name in IGNORED_VARIABLES if os.environ.get(name)]
    if ignored:
        yield Finding("note", "environment", f"{', '.join(ignored)} is set; checks ignore it")


def _packages(context: Context) -> Iterator[Finding]:
    from packaging.requirements import Requirement

    bad = False
    versions: list[str] = []
    for text in importlib.metadata.requires("intro2llm") or []:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        remedy = f'{sys.executable} -m pip install "{requirement.name}{requirement.specifier}"'
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            bad = True
            yield Finding("wrong", "packages", f"{requirement.name} is not installed", remedy)
            continue
        versions.append(f"{requirement.name} {version}")
        if not requirement.specifier.contains(version, prereleases=True):
            bad = True
            yield Finding(
                "wrong", "packages", f"{requirement.name} {version}, but {requirement.specifier} is needed", remedy
            )
    if not bad:
        yield Finding("ok", "packages", ", ".join(versions))


def _course(context: Context) -> Iterator[Finding]:
    from coursecli.course.mistakes import load_mistakes
    from coursecli.course.suites import read_suites

    course = context.course
    for lesson in course.lessons:
        read_suites(lesson)
        load_mistakes(lesson)
    tasks = sum(len(lesson.tasks) for lesson in course.lessons)
    yield Finding(
        "ok", "course", f"{course.manifest.title}: {len(course.lessons)} lessons, {tasks} tasks, {course.root}"
    )


def _workspace(context: Context) -> Iterator[Finding]:
    from coursecli.course.workspace import enclosing_workspace, last_used

    if not context.chosen_workspace and enclosing_workspace() is None and last_used() is None:
        yield Finding("note", "workspace", "none yet", "intro2llm init my-llm")
        return
    workspace = context.workspace
    for folder in (workspace.root, workspace.package, workspace.state):
        if not folder.is_dir():
            raise WorkspaceError(f"{folder} is missing.", f"Type: intro2llm init {workspace.root}")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise WorkspaceError(f"{folder} cannot be written.", f"Type: chmod u+rwx {folder}")
    yield Finding("ok", "workspace", str(workspace.root))
    free = shutil.disk_usage(workspace.root).free
    if free < FREE_BYTES:
        yield Finding("wrong", "workspace", f"only {free >> 20} MB are free on its disk", "Make room: 1 GB is enough.")
    attempts = len(context.store.attempts())
    yield Finding("ok", "progress", f"{attempts} attempt{'' if attempts == 1 else 's'} in {workspace.database}")


def _worker(context: Context) -> Iterator[Finding]:
    """Start a process as a check does, and load what the lessons need."""
    import subprocess

    modules = context.course.manifest.worker.preload
    load = "print(name, getattr(importlib.import_module(name), '__version__', ''))"
    code = f"import importlib\nfor name in {modules!r}: {load}"
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", code],
            capture_output=True,
            text=True,
            timeout=PRELOAD_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        yield Finding(
            "wrong",
            "worker",
            f"loading {', '.join(modules)} took more than {PRELOAD_SECONDS} s",
            "Is the machine busy, or its disk slow?",
        )
        return
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit code {done.returncode}"
        remedy = f"{sys.executable} -m pip install --force-reinstall {' '.join(modules)}"
        yield Finding("wrong", "worker", f"{', '.join(modules)} cannot be imported: {last}", remedy)
        return
    loaded = ", ".join(line.strip() for line in done.stdout.splitlines())
    yield Finding("ok", "worker", f"loads {loaded or 'Python alone'}")


def _waiting(context: Context) -> Iterator[Finding]:
    """The background process that keeps checks quick."""
    from coursecli.course.workspace import enclosing_workspace, last_used
    from coursecli.warm import place
    from coursecli.warm.background import COLD_VARIABLE, status, wanted

    subject = "waiting worker"
    if not wanted():
        off = f"{COLD_VARIABLE} is set" if os.environ.get(COLD_VARIABLE) else "this system has no way to"
        yield Finding("note", subject, f"none, and checks do not start one: {off}")
        return
    place.private_folder()
    if not context.chosen_workspace and enclosing_workspace() is None and last_used() is None:
        return
    record = place.last(context.workspace.root)
    living = place.current(context.workspace.root)
    if living is not None:
        said = status(living)
        how = f"{said.memory >> 20} MB, {said.checks} checks so far" if said else "not ready yet, or it does not answer"
        yield Finding("ok" if said else "note", subject, f"process {living.pid}, {how}")
    elif record is not None and record.failed:
        yield Finding("note", subject, f"none: the last one gave up ({record.failed}); checks start Python anew")
    else:
        yield Finding("ok", subject, "none at present; the next check starts one")


def _isolation(context: Context) -> Iterator[Finding]:
    """Start a harmless process under the launcher that runs learners' code."""
    from coursecli.isolate import Job, Limits, launch

    with launch(
        Job([sys.executable, "-c", "pass"], context.course.root, dict(os.environ), Limits(seconds=30))
    ) as running:
        ended = running.wait()
    if ended.cause != "exited" or ended.code != 0:
        raise EnvironmentProblem(f"a process under the launcher ended with {ended.cause} {ended.signal or ended.code}")
    if sys.platform == "linux":
        kept = "time, memory and number of processes are limited; stray descendants are found and ended"
    else:
        kept = "time and memory are limited; a descendant that leaves its session can escape"
    yield Finding("ok", "isolation", kept)


def _terminal(context: Context) -> Iterator[Finding]:
    console = context.console
    colours = console.color_system or "no colour"
    kind = (
        f"{console.width} columns, {colours}"
        if console.is_terminal
        else f"not a terminal, {console.width} columns, plain text"
    )
    encoding = sys.stdout.encoding or ""
    yield Finding("ok", "terminal", f"{kind}, {encoding}")
    if encoding.lower().replace("-", "") != "utf8":
        yield Finding(
            "wrong",
            "terminal",
            f"{encoding} cannot show √ or ✓",
            "Type: export PYTHONUTF8=1, and choose a UTF-8 locale",
        )


LOOKS = (_python, _packages, _course, _workspace, _worker, _waiting, _isolation, _terminal)
