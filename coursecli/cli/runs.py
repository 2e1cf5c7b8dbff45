"""`runs`, `runs show` and `runs compare`: they read what training has left in the workspace, and write nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import yaml

from coursecli.cli.context import Context
from coursecli.cli.running import DONE, require, require_run, write_json
from coursecli.course.workspace import Workspace
from coursecli.errors import UsageError
from coursecli.recipes import runs
from coursecli.render.console import clean
from coursecli.render.runs import Details, compare_view, list_view, show_view


def list_runs(context: Context, *, as_json: bool) -> int:
    require(context, "runs", "pretrain")
    found = runs.read_runs(context.workspace.runs)
    if as_json:
        write_json({"schema_version": 1, "runs": msgspec.to_builtins(found)})
    elif found:
        context.console.print(list_view(found, width=context.console.width))
    else:
        context.console.print(clean("There is no run yet. Next: intro2llm train"))
    return DONE


def show_run(context: Context, name: str, *, as_json: bool) -> int:
    require(context, "runs", "pretrain")
    details = _details(context, name)
    if as_json:
        write_json({"schema_version": 1, **_plain(details)})
    else:
        context.console.print(show_view(details, width=context.console.width, plain=context.options.plain))
    return DONE


def compare_runs(context: Context, names: Sequence[str], *, as_json: bool) -> int:
    """Raises UsageError when these are not two different runs or more."""
    require(context, "runs", "pretrain")
    names = list(dict.fromkeys(names))
    if len(names) < 2:
        raise UsageError("Two different runs are needed to compare.", "Type: intro2llm runs")
    all_details = [_details(context, name) for name in names]
    if as_json:
        write_json({"schema_version": 1, "runs": list(map(_plain, all_details))})
    else:
        context.console.print(compare_view(all_details, width=context.console.width, plain=context.options.plain))
    return DONE


def preset_names(workspace: Workspace) -> list[str]:
    """The presets of the learner's package that have a section `training`, read as data."""
    names = []
    for file in sorted(workspace.package.glob("configs/*.yaml")):
        try:
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError, RecursionError):
            continue
        if isinstance(content, dict) and "training" in content:
            names.append(file.stem)
    return names


def _details(context: Context, name: str) -> Details:
    require_run(context, name)
    folder = context.workspace.runs / name
    return Details(
        run=runs.read_run(folder),
        metrics=runs.read_metrics(folder),
        samples=runs.read_samples(folder),
        checkpoints=runs.read_checkpoints(folder),
        settings=runs.read_settings(folder),
        scores=runs.read_scores(folder),
    )


def _plain(details: Details) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(details)
    return plain
