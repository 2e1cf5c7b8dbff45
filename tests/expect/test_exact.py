"""expect_equal, expect_tokens, expect_text: exact types, the first difference, alignments, names of characters."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict, defaultdict
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coursecli.expect import ExpectationFailed, expect_equal, expect_text, expect_tokens
from coursecli.expect.align import align


@dataclass(eq=False)
class Config:
    size: int

    def __eq__(self, other):
        return True

    __hash__ = None


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        (1, 1),
        ("a", "a"),
        (None, None),
        (math.nan, math.nan),
        ([1, [2, (3, "x")]], [1, [2, (3, "x")]]),
        ({"b": 1, "a": 2}, {"a": 2, "b": 1}),
        ({1, 2}, {2, 1}),
        (b"\x00\xff", b"\x00\xff"),
        (Counter("aab"), {"a": 2, "b": 1}),
        (defaultdict(int, x=1), {"x": 1}),
        (OrderedDict(x=1), {"x": 1}),
        (torch.tensor([1, 2]), torch.tensor([1, 2])),
        ({"w": torch.ones(2)}, {"w": torch.ones(2)}),
        (torch.float32, torch.float32),
        (Config(3), Config(3)),
    ],
)
def test_equal_values_pass(actual, expected):
    expect_equal(actual, expected, what="x")


@pytest.mark.parametrize(
    ("actual", "expected", "summary"),
    [
        (1, 2, "Expected 2, but it is 1."),
        (True, 1, "Expected 1 (int), but it is True (bool)."),
        (1.0, 1, "Expected 1 (int), but it is 1.0 (float)."),
        (None, 1, "Expected 1 (int), but it is None (NoneType)."),
        ({"a": [1, 2]}, {"a": [1, 3]}, "At ['a'][1], expected 3, but it is 2."),
        ({"a": 1}, {"a": 1, "b": 2}, "The key 'b' is missing."),
        ({"a": 1, "b": 2}, {"a": 1}, "There is an extra key, 'b'."),
        ({"a": {1: 2}}, {"a": {1.0: 2}}, "At ['a'], the key 1.0 is missing."),
        ([[1], [2]], [[1], [2], [3]], "3 items are expected, but there are 2."),
        ((1, [2]), [1, [2]], "Expected [1, [2]] (list), but it is (1, [2]) (tuple)."),
        ([1, 2, 3], [1, 5, 3], "One item differs, at position 1: expected 5, but it is 2."),
        ("abc", "abd", "The text differs from character 2 on."),
        ({"w": torch.ones(2)}, {"w": torch.ones(3)}, "At ['w'], the shape is (2,), not (3,)."),
        ({"w": torch.ones(2)}, {"w": torch.ones(2).long()}, "At ['w'], the dtype is torch.float32, not torch.int64."),
        ({"w": torch.ones(2)}, {"w": torch.tensor([1.0, 2.0])}, "At ['w'], expected 2.0 at [1], but it is 1.0."),
        ({"w": [1.0]}, {"w": torch.ones(1)}, "At ['w'], the kind of value is list, not tensor."),
        ({"w": None}, {"w": torch.ones(1)}, "At ['w'], expected torch.float32 [1.0], but it is NoneType."),
    ],
)
def test_the_first_difference_is_named(actual, expected, summary, failure_of):
    assert failure_of(expect_equal, actual, expected).summary == summary


def test_sets_say_what_is_missing_and_extra(failure_of):
    assert failure_of(expect_equal, {1, 2}, {1, 3}).diagnosis == ["Missing: 3.", "Extra: 2."]


def test_dicts_say_which_keys_are_missing_and_extra(failure_of):
    failure = failure_of(expect_equal, {"a": 1, "x": 0}, {"a": 1, "b": 2, "c": 3})
    assert failure.diagnosis == ["Missing: 'b' and 'c'.", "Extra: 'x'."]


def test_an_object_that_claims_to_be_equal_to_everything_is_not(failure_of):
    class Yes:
        def __eq__(self, other):
            return True

        __hash__ = None

    class YesInt(int):
        def __eq__(self, other):
            return True

        __hash__ = int.__hash__

    for cheat in (Yes(), YesInt(7)):
        failure_of(expect_equal, cheat, 3)
        failure_of(expect_equal, [cheat], [3])
        failure_of(expect_equal, {"a": cheat}, {"a": 3})
    failure_of(expect_equal, {YesInt(3)}, {3})
    failure_of(expect_equal, {YesInt(3): 1}, {3: 1})
    failure_of(expect_equal, Config(3), Config(4))
    for cheat in (Yes(), YesInt(7)):
        failure_of(expect_tokens, [cheat], [3])


def test_comparing_values_nested_without_end_is_no_crash(failure_of):
    endless: list = []
    endless.append(endless)
    other: list = []
    other.append(other)
    assert "too deeply" in failure_of(expect_equal, endless, other).summary


@pytest.mark.parametrize(
    ("actual", "expected", "words"),
    [
        ([3, 2, 1], [1, 2, 3], "The order is reversed."),
        ([2, 1, 3], [1, 2, 3], "These are the expected tokens, in another order."),
        ([11, 12, 13], [1, 2, 3], "Every id is 10 too large."),
        ([9, 1, 2, 4], [1, 2, 4, 7], "Everything is shifted by one position, later."),
        ([2, 4, 7, 9], [1, 2, 4, 7], "Everything is shifted by one position, earlier."),
        ([0, 1, 2], [1, 2], "1 extra token stands at the start; the rest is right."),
        ([], [1], "It is empty."),
        (["1"], [1], "There are items of type str; expected has none of them."),
    ],
)
def test_patterns_of_tokens_are_named(actual, expected, words, failure_of):
    assert failure_of(expect_tokens, actual, expected).diagnosis == [words]


def test_what_is_no_token_is_not_called_one(failure_of):
    assert failure_of(expect_equal, [1, 2], [1, 2, 3]).summary == "It ends after 2 items: 1 item is missing."
    assert failure_of(expect_equal, [2, 1, 3], [1, 2, 3]).diagnosis == [
        "These are the expected items, in another order."
    ]
    assert failure_of(expect_equal, [2, 3], [1, 2]).diagnosis == ["Every item is 1 too large."]


def test_tokens_that_end_early_or_late_are_counted(failure_of):
    assert failure_of(expect_tokens, [1, 2], [1, 2, 3]).summary == "It ends after 2 tokens: 1 token is missing."
    late = failure_of(expect_tokens, [1, 2, 3, 4], [1, 2])
    assert late.summary == "It goes on after the last expected token: 2 tokens too many."
    assert late.facts == {"length": "4, expected 2"}


def test_a_tensor_or_a_string_is_no_list_of_tokens(failure_of):
    assert failure_of(expect_tokens, torch.tensor([1, 2]), [1, 2]).kind == "type"
    assert failure_of(expect_tokens, "ab", ["a", "b"]).kind == "type"
    expect_tokens((1, 2), [1, 2], what="a tuple is as good")


def test_long_equal_runs_are_left_out(failure_of):
    wanted = [str(i) for i in range(500)]
    got = [*wanted[:250], "x", *wanted[251:]]
    parts = failure_of(expect_tokens, got, wanted).sequence
    assert [(part.op, part.position, len(part.expected), part.elided) for part in parts] == [
        ("elided", 0, 0, 244),
        ("equal", 244, 6, 0),
        ("replace", 250, 1, 0),
        ("equal", 251, 6, 0),
        ("elided", 257, 0, 243),
    ]


def test_two_long_sequences_with_nothing_in_common_are_cut(failure_of):
    parts = failure_of(expect_tokens, list(range(100_000)), list(range(100_000, 200_000))).sequence
    assert parts[-1].op == "cut"
    assert sum(len(part.expected) for part in parts) <= 300


@given(st.lists(st.integers(0, 5), max_size=40), st.lists(st.integers(0, 5), max_size=40), st.integers(0, 8))
def test_an_alignment_rebuilds_both_sequences(actual, expected, context):
    got, wanted = list(map(str, actual)), list(map(str, expected))
    left: list[str] = []
    right: list[str] = []
    for part in align(got, wanted, context):
        assert part.position == len(left)
        if part.op == "elided":
            assert part.elided > 0
            run = wanted[len(left) : len(left) + part.elided]
            left += run
            right += run
        else:
            assert (part.op == "equal") == (part.expected == part.actual)
            left += part.expected
            right += part.actual
    assert (right, left) == (got, wanted)


@pytest.mark.parametrize(
    ("actual", "expected", "words"),
    [
        ("", "abc", "It is empty."),
        ("caf\ufffd\ufffd", "café", "It contains U+FFFD"),
        ("cba", "abc", "The text is reversed."),
        ("cafe\u0301", "café", "composed differently"),
        ("ABC", "abc", "Only upper and lower case differ."),
        (" abc", "abc", "white space at the start or the end"),
        ("a\r\nb", "a\nb", "Only the line ends differ."),
        ("a  b", "a b", "white space between the words"),
        ("ab", "a b", "Only white space differs"),
        ("ﬁn", "fin", "compatibility forms"),
        ("bc", "abcd", "a part of the expected text"),
        ("<s>abc", "abc", "contains the whole expected text"),
    ],
)
def test_patterns_of_text_are_named(actual, expected, words, failure_of):
    assert words in failure_of(expect_text, actual, expected).diagnosis[0]


def test_invisible_characters_are_named(failure_of):
    failure = failure_of(expect_text, "a\u00a0b\u200bc", "a bc")
    assert failure.facts["character 1"] == "U+00A0 NO-BREAK SPACE, expected U+0020 SPACE"
    assert failure.facts["only in actual"] == "U+200B ZERO WIDTH SPACE"
    assert failure.facts["length"] == "5, expected 4"


def test_only_real_strings_are_text(failure_of):
    class Liar(str):
        def __eq__(self, other):
            return True

        __hash__ = str.__hash__

    assert failure_of(expect_text, Liar("x"), "abc").kind == "type"
    assert failure_of(expect_text, b"abc", "abc").kind == "type"


@given(st.text(max_size=30), st.text(max_size=30))
def test_text_passes_exactly_when_equal(actual, expected):
    if actual == expected:
        expect_text(actual, expected, what="x")
        return
    with pytest.raises(ExpectationFailed) as caught:
        expect_text(actual, expected, what="x")
    assert all(line.isprintable() for line in str(caught.value).split("\n"))
