"""Output is divided by test whatever the pieces in which it arrives."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from coursecli.check.transcript import OUTSIDE, Transcript, mark

TOKEN = "0123456789abcdef"


@given(
    parts=st.lists(st.tuples(st.sampled_from(["a", "b", OUTSIDE]), st.binary(max_size=40)), max_size=8),
    cuts=st.lists(st.integers(1, 30), min_size=1, max_size=40),
)
def test_cutting_the_stream_anywhere_changes_nothing(parts: list[tuple[str, bytes]], cuts: list[int]):
    stream = b"".join(mark(TOKEN, test) + printed for test, printed in parts) + mark(TOKEN, OUTSIDE)
    wanted = {test: b"".join(printed for of, printed in parts if of == test) for test, _ in parts}
    transcript = Transcript(TOKEN)
    while stream:
        for cut in cuts:
            transcript.feed(stream[:cut])
            stream = stream[cut:]
    for test, printed in wanted.items():
        assert bytes(transcript.of(test).kept) == printed


def test_what_exceeds_the_limit_is_counted():
    transcript = Transcript(TOKEN, limit=10)
    transcript.feed(mark(TOKEN, "a") + b"123456")
    transcript.feed(b"789012345")
    assert (transcript.of("a").text, transcript.of("a").dropped) == ("1234567890", 5)


def test_a_mark_without_the_token_is_output():
    transcript = Transcript(TOKEN)
    transcript.feed(mark(TOKEN, "a") + mark("forged", "b") + b"x" + mark(TOKEN, OUTSIDE))
    assert transcript.of("b").text == ""
    assert transcript.of("a").text == mark("forged", "b").decode() + "x"


def test_output_before_the_process_dies_is_not_held_back():
    """An unfinished mark may be the beginning of one, or a learner's control character."""
    transcript = Transcript(TOKEN)
    transcript.feed(mark(TOKEN, "a") + b"last words")
    assert transcript.of("a").text == "last words"
