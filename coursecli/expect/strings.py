"""What may have happened to a text: patterns in two strings, and the names of characters that no eye tells apart."""

from __future__ import annotations

import unicodedata

from coursecli.expect.words import character_name, invisible, listed


def text_patterns(actual: str, expected: str) -> list[str]:
    """At most two sentences that are true of how `actual` differs from `expected`."""
    if not actual:
        return ["It is empty."]
    if "\ufffd" in actual and "\ufffd" not in expected:
        return [
            "It contains U+FFFD, the sign for bytes that are not UTF-8: the bytes of a character were split or lost."
        ]
    if actual == expected[::-1]:
        return ["The text is reversed."]
    if unicodedata.normalize("NFC", actual) == unicodedata.normalize("NFC", expected):
        return ["Both look alike, but the characters are composed differently: one of them was normalised (NFC, NFD)."]
    if actual.lower() == expected.lower():
        return ["Only upper and lower case differ."]
    if actual.strip() == expected.strip():
        return ["Only the white space at the start or the end differs."]
    if actual.replace("\r\n", "\n") == expected.replace("\r\n", "\n"):
        return ["Only the line ends differ."]
    if actual.split() == expected.split():
        return ["Only the white space between the words differs."]
    if "".join(actual.split()) == "".join(expected.split()):
        return ["Only white space differs: some is missing, or too much."]
    if unicodedata.normalize("NFKC", actual) == unicodedata.normalize("NFKC", expected):
        return [
            "Only compatibility forms differ, such as ligatures or wide letters: one of them was normalised (NFKC)."
        ]
    if actual in expected:
        return ["It is a part of the expected text: something before or after it is missing."]
    if expected in actual:
        return ["It contains the whole expected text, with something before or after it."]
    return []


def named_characters(actual: str, expected: str, first: int) -> dict[str, str]:
    """Lengths when they differ, and the characters at the first difference when one of them is not plain ASCII."""
    facts = {}
    if len(actual) != len(expected):
        facts["length"] = f"{len(actual)}, expected {len(expected)}"
    pair = (expected[first : first + 1], actual[first : first + 1])
    if any(character and not _plain(character) for character in pair):
        names = [character_name(character) if character else "the end" for character in pair]
        facts[f"character {first}"] = f"{names[1]}, expected {names[0]}"
    hidden = [character for character in invisible(actual) if character not in expected + pair[1]]
    if hidden:
        facts["only in actual"] = listed(map(character_name, hidden), most=3)
    return facts


def _plain(character: str) -> bool:
    return "!" <= character <= "~"
