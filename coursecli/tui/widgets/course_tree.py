"""`CourseTree`: stages, lessons and tasks. Each state is a sign, and in words where there is room."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Tree
from textual.widgets.tree import TreeNode

from coursecli.render.console import THEME, clean
from coursecli.render.overview import lesson_words, task_words
from coursecli.tui.desk import Target

if TYPE_CHECKING:
    from coursecli.progress.state import CourseState, LessonState, TaskState

INDENT = 2
WORDS_FROM = 60
"""From so many columns on the state is told in words beside the title."""
WORDS_AT = 46
"""The column in which these words stand."""

Entry = Target | str
"""A lesson or task, or the id of a stage."""


class CourseTree(Tree[Entry]):
    """Built once; what changes afterwards are its labels, so that the cursor and the open branches stay."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right", "open_branch", "Open", show=False),
        Binding("left", "close_branch", "Close", show=False),
    ]

    class Looked(Message):
        """The cursor is on a lesson or a task."""

        def __init__(self, target: Target) -> None:
            super().__init__()
            self.target = target

    class Chosen(Looked):
        """Enter, or a click."""

    def __init__(self, *, id: str) -> None:
        super().__init__("course", id=id)
        self.show_root = False
        self.guide_depth = INDENT
        self.show_guides = False
        self.auto_expand = False
        self.state: CourseState | None = None

    def take(self, state: CourseState) -> None:
        """Show this state; the first time, with the cursor on the current lesson."""
        first = self.state is None
        self.state = state
        if first:
            self._plant(state)
        self._relabel()
        if first and self.first is not None:
            self.go_to(self.first)

    def go_to(self, target: Target) -> None:
        """Put the cursor on a lesson or task, and open its branch."""
        for node in self._branches():
            if node.data == target:
                parent = node.parent
                while parent is not None:
                    parent.expand()
                    parent = parent.parent
                if target.task is None:
                    node.expand()
                self.call_after_refresh(self.move_cursor, node)
                return

    @property
    def first(self) -> Target | None:
        """Where the cursor begins: the current lesson."""
        if self.state is None or not self.state.lessons:
            return None
        return Target(self.state.current or self.state.lessons[-1].lesson)

    @property
    def target(self) -> Target | None:
        """What the cursor is on."""
        data = self.cursor_node.data if self.cursor_node else None
        return data if isinstance(data, Target) else None

    def describe(self, target: Target) -> tuple[str, str, str]:
        """Sign, words and style of a state."""
        if self.state is None:
            return "", "", ""
        entry = self.state.lesson(target.lesson)
        if target.task is None:
            return lesson_words(entry)
        return _task_words(entry, next(each for each in entry.tasks if each.task.id == target.task.id))

    def on_resize(self) -> None:
        self._relabel()

    def action_open_branch(self) -> None:
        node = self.cursor_node
        if node is not None and node.allow_expand and not node.is_expanded:
            node.expand()
        else:
            self.action_cursor_down()

    def action_close_branch(self) -> None:
        node = self.cursor_node
        if node is not None and node.allow_expand and node.is_expanded:
            node.collapse()
        else:
            self.action_cursor_parent()

    def on_tree_node_highlighted(self, event: Tree.NodeHighlighted[Entry]) -> None:
        event.stop()
        if isinstance(event.node.data, Target):
            self.post_message(self.Looked(event.node.data))

    def on_tree_node_selected(self, event: Tree.NodeSelected[Entry]) -> None:
        event.stop()
        if isinstance(event.node.data, Target):
            self.post_message(self.Chosen(event.node.data))
        else:
            event.node.toggle()

    def render_label(self, node: TreeNode[Entry], base_style: Style, style: Style) -> Text:
        label = node.label.copy() if isinstance(node.label, Text) else Text(str(node.label))
        label.stylize_before(style)
        if not node.allow_expand:
            return Text.assemble(("  ", base_style), label)
        return Text.assemble(("− " if node.is_expanded else "+ ", base_style + Style(dim=True)), label)

    def _plant(self, state: CourseState) -> None:
        current = state.current
        for stage in dict.fromkeys(entry.lesson.stage.id for entry in state.lessons):
            branch = self.root.add("", data=stage, expand=True)
            for entry in state.lessons:
                if entry.lesson.stage.id == stage:
                    node = branch.add("", data=Target(entry.lesson), expand=entry.lesson == current)
                    for task in entry.lesson.tasks:
                        node.add_leaf("", data=Target(entry.lesson, task))

    def _relabel(self) -> None:
        if self.state is None:
            return
        width = self.scrollable_content_region.width
        entries = {entry.lesson.id: entry for entry in self.state.lessons}
        for node in self._branches():
            match node.data:
                case Target(lesson, None):
                    label = _lesson_label(entries[lesson.id])
                    depth = 2
                case Target(lesson, task):
                    entry = entries[lesson.id]
                    label = _task_label(entry, next(each for each in entry.tasks if each.task is task))
                    depth = 3
                case stage:
                    label = _stage_label([entry for entry in self.state.lessons if entry.lesson.stage.id == stage])
                    depth = 1
            node.set_label(_fitted(label, width, INDENT * depth))

    def _branches(self) -> Iterator[TreeNode[Entry]]:
        waiting = list(self.root.children)
        while waiting:
            node = waiting.pop(0)
            yield node
            waiting = [*node.children, *waiting]


Label = tuple[Text, Text]
"""What is always shown, and the words for which there may be room."""


def _stage_label(entries: list[LessonState]) -> Label:
    done = sum(entry.done for entry in entries)
    return clean(entries[0].lesson.stage.title, "bold"), Text(f"{done} of {len(entries)} done", style="dim")


def _lesson_label(entry: LessonState) -> Label:
    sign, words, style = lesson_words(entry)
    shade = "dim" if entry.locked_by else ""
    return (
        Text.assemble(
            (f"{sign} ", _style(style)), (f"{entry.lesson.number:02d} ", "dim"), clean(entry.lesson.title, shade)
        ),
        Text(words, style=_style(style)),
    )


def _task_label(entry: LessonState, task: TaskState) -> Label:
    sign, words, style = _task_words(entry, task)
    shade = "dim" if entry.locked_by else ""
    return Text.assemble((f"{sign} ", _style(style)), clean(task.task.title, shade)), Text(words, style=_style(style))


def _task_words(entry: LessonState, task: TaskState) -> tuple[str, str, str]:
    return ("·", "locked", "quiet") if entry.locked_by else task_words(task)


def _fitted(label: Label, width: int, begin: int) -> Text:
    """The label, which begins in this column: with its words where there is room, cut where it is too long."""
    title, words = label
    gap = WORDS_AT - begin - cell_len(title.plain)
    if width >= WORDS_FROM and gap >= 2 and WORDS_AT + cell_len(words.plain) <= width:
        return Text.assemble(title, " " * gap, words, no_wrap=True)
    title = title.copy()
    title.truncate(max(width - begin, 8), overflow="ellipsis")
    title.no_wrap = True
    return title


def _style(name: str) -> str | Style:
    """A style of the console's theme, which a widget's own console does not know."""
    return THEME.styles[name] if name else ""
