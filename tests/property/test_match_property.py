"""Every mode and engine finds what its definition says, on texts and lists made to break it."""

import re
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.automaton import AUTOMATA, conforms
from curation.match import Engine, build_matcher, match_naive
from curation.modes import (
    EXTENDING,
    GAP,
    Reading,
    class_of,
    class_table,
    word_classes,
    word_classes_naive,
)
from curation.spans import BASES, SpanTable

ENGINES = [engine for engine in ("spans", *AUTOMATA) if engine == "spans" or conforms(engine)]
# Letters, digits and connectors; Hangul whole, in jamo and half-width; marks; joiners and overrides; blanks, NUL, the edges of
# the surrogates and of the planes; scripts without spaces; folding that changes lengths; pictographs with what extends them.
ALPHABET = (
    "abAB1_' \t\n\r-.,;:?!`\"()\0\x1c\x85\xa0"
    "가나각ㄱ\u1100\u1161\u11a8ﾡ中ไ一ａＤé\u0301\u0308\u034f"
    "\u200b\u200c\u200d\u202e\u2060\ufeff\ud7ff\ud800\udbff\udc00\udfff\ue000\uffff\U0010ffff"
    "ßẞİıſŉǰςσΣﬃ\u0345。～\u2764\ufe0f\U0001f600\U0001f3fb\u20e3²Ⅷⅷⓐ"
)
CHARS = st.sampled_from(ALPHABET) | st.characters()
TEXT = st.text(CHARS, max_size=24)
ENTRY = st.text(CHARS, min_size=1, max_size=5)


@st.composite
def texts_and_entries(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    """Draw texts, and entries of which many are cut from them: nested, overlapping, equal."""
    texts = draw(st.lists(TEXT, min_size=1, max_size=5))
    entries = draw(st.lists(ENTRY, max_size=6))
    for _ in range(draw(st.integers(0, 8))):
        text = draw(st.sampled_from(texts))
        start = draw(st.integers(0, max(len(text) - 1, 0)))
        cut = text[start : start + draw(st.integers(1, 6))]
        entries += [cut] if cut else []
    return texts, entries


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("mode", "fold_case"),
    [("metaclip1", False), ("metaclip2", False), ("word", False), ("word", True)],
)
@settings(max_examples=250, deadline=None)
@given(texts_and_entries())
def test_every_engine_finds_what_the_definition_says(
    engine: str, mode: str, fold_case: bool, drawn: tuple[list[str], list[str]]
) -> None:
    texts, entries = drawn
    matcher = build_matcher(entries, lang="en", mode=mode, engine=engine, fold_case=fold_case)
    wanted = [match_naive(text, entries, mode, fold_case=fold_case) for text in texts]
    assert matcher.match_batch(texts) == wanted
    assert [matcher.match(text) for text in texts] == wanted


@settings(max_examples=400)
@given(texts_and_entries())
def test_a_word_is_what_a_regular_expression_finds_where_no_marks_and_no_hangul_are(
    drawn: tuple[list[str], list[str]],
) -> None:
    texts, entries = ([_plain(text) for text in part] for part in drawn)
    entries = [entry for entry in entries if entry]
    matcher = build_matcher(entries, lang="en", mode="word")
    for text in texts:
        named = {entry for entry in entries if re.search(rf"(?<!\w){re.escape(entry)}(?!\w)", text)}
        assert matcher.match(text) == sorted(entries.index(entry) for entry in named)


def _plain(text: str) -> str:
    """Return the text without characters that belong to another, without Hangul and the blanks that become spaces."""
    return "".join(
        char
        for char in text
        if class_of(char) < EXTENDING
        and char not in "\t\n\r"
        and not unicodedata.name(char, "").startswith(("HANGUL", "HALFWIDTH HANGUL"))
    )


@given(st.text(CHARS, max_size=40))
def test_classes_of_many_characters_are_those_of_one_after_the_other(text: str) -> None:
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    assert word_classes(points).tolist() == word_classes_naive(text)


def test_what_python_calls_a_word_character_is_one_here() -> None:
    table = class_table()
    words = [point for point in range(0x110000) if re.match(r"\w", chr(point))]
    assert not set(table[words].tolist()) & {GAP, EXTENDING}


def test_no_character_unfolds_into_one_with_a_boundary_inside() -> None:
    reading = Reading("word", fold_case=True)
    for point in range(0x110000):
        folded = chr(point).casefold()
        if len(folded) > 1:
            assert GAP not in reading.texts([folded]).kinds, hex(point)


def test_a_hash_that_cannot_tell_entries_apart_is_replaced() -> None:
    entries = ["ab c", "ba c", "b", "a"]
    table = SpanTable(entries, Reading("metaclip1"), bases=(1, BASES[0]))  # with base 1 anagrams are equal
    texts, found = table.find(Reading("metaclip1").texts(["ba c b", "ab c"]))
    assert sorted(zip(texts.tolist(), found.tolist(), strict=True)) == [(0, 1), (0, 2), (1, 0)]


def test_a_hash_alone_decides_nothing() -> None:
    table = SpanTable(["ab", "x"], Reading("metaclip1"), bases=(1,))
    _, found = table.find(Reading("metaclip1").texts(["ba ab x"]))
    assert sorted(found.tolist()) == [0, 1]


def test_the_engines_named_are_those_there_are() -> None:
    assert "pyahocorasick" in ENGINES
    assert set(AUTOMATA) | {"auto", "spans"} == set(Engine.__args__)  # type: ignore[attr-defined]
