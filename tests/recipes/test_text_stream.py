"""From ids to text as they come: against Python's own incremental decoder, and against the whole text at once."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intro2llm.recipes.text_stream import TextStream
from intro2llm.tokenizer.byte_level_tokenizer import ByteLevelTokenizer, bytes_to_unicode

BYTES = ByteLevelTokenizer()
MERGED = ByteLevelTokenizer()
MERGED.train(["Ein €, zwei €. Über 日本語 und 日本 – naïve café 🙂🙂"] * 4, vocab_size=300)


def test_a_decode_that_gives_no_text_is_named(monkeypatch) -> None:
    monkeypatch.setattr(BYTES, "decode", lambda ids: None)
    with pytest.raises(TypeError, match=r"ByteLevelTokenizer\.decode gives NoneType for \[7\]; it must give a str"):
        TextStream(BYTES).add(7)


def ids_of(data: bytes) -> list[int]:
    return [BYTES.vocab[bytes_to_unicode()[byte]] for byte in data]


def pieces(tokenizer: ByteLevelTokenizer, ids: list[int], until: str = "") -> list[str]:
    stream = TextStream(tokenizer, until)
    given_out = []
    for token_id in ids:
        given_out.append(stream.add(token_id))
        if stream.over:
            break
    given_out.append(stream.end())
    assert stream.text == "".join(given_out)
    return given_out


def test_a_character_is_held_back_until_it_is_whole():
    assert pieces(BYTES, ids_of("a€b".encode())) == ["a", "", "", "€", "b", ""]


def test_half_a_character_at_the_end_is_shown_as_such():
    assert pieces(BYTES, ids_of("€".encode()[:2])) == ["", "", "\ufffd"]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_the_pieces_make_the_text_and_come_as_early_as_pythons_decoder_gives_them(data: bytes):
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    got = pieces(BYTES, ids_of(data))
    assert "".join(got) == data.decode("utf-8", "replace")
    seen = ""
    for byte, piece in zip(data, got):
        expected = decoder.decode(bytes([byte]))
        seen += piece
        assert "\ufffd" in data.decode("utf-8", "replace") or piece == expected


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="Ein €ü日本語🙂naïve", max_size=80))
def test_tokens_of_several_bytes_and_long_texts(text: str):
    got = pieces(MERGED, MERGED.encode(text))
    assert "".join(got) == text
    assert not any("\ufffd" in piece for piece in got)


def test_special_tokens_are_no_text():
    ids = [*BYTES.encode("a"), BYTES.eos_token_id, *BYTES.encode("b")]
    assert "".join(pieces(BYTES, ids)) == "ab"


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="\nUser: x", max_size=40))
def test_it_ends_before_the_string_that_ends_it(text: str):
    got = pieces(BYTES, BYTES.encode(text), until="\nUser:")
    assert "".join(got) == text.partition("\nUser:")[0]


@pytest.mark.parametrize("text", ["\nUser: hi", "yes\nUser:", "\n\nUser:"])
def test_nothing_of_the_end_is_given_out_on_the_way(text: str):
    stream = TextStream(BYTES, "\nUser:")
    for token_id in BYTES.encode(text):
        stream.add(token_id)
        assert text.partition("\nUser:")[0].startswith(stream.text)
        if stream.over:
            return
    raise AssertionError("the end was not found")
