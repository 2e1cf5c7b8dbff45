"""expect, expect_raises, expect_unchanged, diagnosing, and the counter of expectations."""

from __future__ import annotations

import numpy
import pytest
import torch

from coursecli.expect import (
    ExpectationFailed,
    counter,
    diagnosing,
    expect,
    expect_close,
    expect_raises,
    expect_unchanged,
)


def failing(context, action):
    with pytest.raises(ExpectationFailed) as caught:
        with context:
            action()
    return caught.value


def throw(error):
    raise error


def test_a_statement():
    expect(1 < 2, "one is not less than two", what="order")
    with pytest.raises(ExpectationFailed) as caught:
        expect(2 < 1, "2\x07 is not less", what="\ud800", expected=[1], actual="2\x1b[31m", mistake="swapped")
    payload = caught.value.payload
    assert (payload.what, payload.summary) == ("\\ud800", "2\\x07 is not less")
    assert (payload.kind, payload.mistake) == ("statement", "swapped")
    assert (payload.expected, payload.actual) == ("[1]", "2\\x1b[31m")


def test_the_expected_exception_passes():
    with expect_raises(ValueError, what="x", match="positive"):
        raise ValueError("n must be positive")
    with expect_raises((KeyError, IndexError), what="x"):
        [][1]
    with expect_raises(StopIteration, what="x"):
        next(iter([]))


def test_no_exception_another_exception_and_another_message_are_told_apart():
    nothing = failing(expect_raises(ValueError, what="x"), lambda: None).payload
    assert nothing.summary == "ValueError should be raised, but nothing was."
    other = failing(expect_raises(ValueError, what="x"), lambda: throw(TypeError("no"))).payload
    assert other.summary == "ValueError should be raised, but it was TypeError."
    assert other.actual == "TypeError: no"
    words = failing(expect_raises(ValueError, what="x", match="positive"), lambda: throw(ValueError("bad"))).payload
    assert (words.expected, words.actual) == ("ValueError with a message that matches 'positive'", "ValueError: bad")
    assert words.summary == "ValueError is right, but its message lacks 'positive'."


def test_the_right_exception_with_another_message_is_not_the_mistake_of_a_missing_one():
    refuses = {"what": "x", "match": "positive", "mistake": "not-refused"}
    assert failing(expect_raises(ValueError, **refuses), lambda: None).payload.mistake == "not-refused"
    assert failing(expect_raises(ValueError, **refuses), lambda: throw(KeyError("n"))).payload.mistake == "not-refused"
    assert failing(expect_raises(ValueError, **refuses), lambda: throw(ValueError("bad"))).payload.mistake is None


def test_the_exception_that_came_instead_is_the_cause():
    error = failing(expect_raises(ValueError, what="x"), lambda: throw(TypeError("no")))
    assert isinstance(error.__cause__, TypeError)


@pytest.mark.parametrize("expected", [NotImplementedError, Exception, ValueError])
def test_a_task_that_is_not_written_is_never_the_expected_exception(expected):
    with pytest.raises(NotImplementedError, match="lesson02"):
        with expect_raises(expected, what="x"):
            raise NotImplementedError("lesson02 · RMSNorm.forward")
    with pytest.raises(NotImplementedError, match="lesson02"):
        with diagnosing("some-mistake"):
            raise NotImplementedError("lesson02 · RMSNorm.forward")


def test_an_interrupt_passes_through():
    for context in (expect_raises(Exception, what="x"), diagnosing("m")):
        with pytest.raises(KeyboardInterrupt), context:
            raise KeyboardInterrupt


def test_an_exception_whose_message_cannot_be_read_is_no_crash():
    class BrokenError(Exception):
        def __str__(self):
            raise RuntimeError

    assert failing(expect_raises(ValueError, what="x"), lambda: throw(BrokenError())).payload.actual == "BrokenError: "


def test_diagnosing_names_the_mistake_of_certain_exceptions_only():
    error = failing(diagnosing("bad-view", RuntimeError, match="view"), lambda: throw(RuntimeError("view size is not")))
    assert error.payload.mistake == "bad-view"
    assert isinstance(error.__cause__, RuntimeError)
    with pytest.raises(RuntimeError, match="other"), diagnosing("bad-view", RuntimeError, match="view"):
        raise RuntimeError("other")
    with pytest.raises(TypeError), diagnosing("bad-view", RuntimeError):
        raise TypeError
    with diagnosing("bad-view"):
        pass


def test_diagnosing_leaves_failed_expectations_alone():
    error = failing(diagnosing("m"), lambda: expect_close(1.0, 2.0, what="x", mistake="own"))
    assert error.payload.mistake == "own"


@pytest.mark.parametrize(
    ("value", "modify"),
    [
        (torch.ones(2, 3), lambda x: x.mul_(2)),
        (torch.ones(2, 3), lambda x: x.resize_(3, 3)),
        (torch.tensor([1.0, float("nan")]), lambda x: x.fill_(1)),
        (numpy.ones(3), lambda x: x.sort() or x.__setitem__(0, 5)),
        ([1, [2]], lambda x: x[1].append(3)),
        ({"a": [1]}, lambda x: x.pop("a")),
        ({"a": torch.ones(2)}, lambda x: x["a"].zero_()),
        ((torch.ones(2),), lambda x: x[0].zero_()),
        ({1, 2}, lambda x: x.add(3)),
        (torch.nn.Linear(2, 2), lambda x: x.weight.data.zero_()),
    ],
)
def test_modifying_in_place_is_seen(value, modify):
    error = failing(expect_unchanged(value, what="the input"), lambda: modify(value))
    assert error.payload.kind == "unchanged"
    assert error.payload.summary.startswith("It was modified in place.")


@pytest.mark.parametrize(
    "value", [torch.ones(2, 3), numpy.ones(3), [1, [2]], {"a": torch.ones(2)}, (), torch.nn.Linear(2, 2), 5, None]
)
def test_reading_is_no_modification(value):
    with expect_unchanged(value, what="x"):
        str(value)


def test_an_exception_inside_is_not_hidden():
    with pytest.raises(ZeroDivisionError), expect_unchanged([1], what="x"):
        raise ZeroDivisionError


def test_every_expectation_counts_whether_it_holds_or_not():
    counter.reset()
    expect_close(1.0, 1.0, what="x")
    expect(True, "", what="x")
    with expect_raises(ValueError, what="x"):
        raise ValueError
    with expect_unchanged([1], what="x"):
        pass
    with pytest.raises(ExpectationFailed):
        expect_close(1.0, 2.0, what="x")
    with diagnosing("m"):
        pass
    assert counter.count() == 5
    counter.reset()
    assert counter.count() == 0
