"""Texts that are made to break a matcher: every mode and engine gives what it is said to, in time linear in the text."""

import time
from collections.abc import Callable

import pytest

from curation.automaton import AUTOMATA, conforms
from curation.match import BATCH_CHARS, Matcher, build_matcher, match_naive
from curation.spans import MAX_LENGTH
from curation.text import clean

MODES = ("metaclip1", "metaclip2", "word")
ENGINES = [engine for engine in ("spans", *AUTOMATA) if engine == "spans" or conforms(engine)]
ENTRIES = [
    "dog", "hot dog", "한국", "각", "Ｄ", "\u0301", "e\u0301", "\ud800", "\u200d", "👩\u200d🚀", "a", "a a", "a a a a",
    "c++", "中", "1", "\0", "İ",
]  # fmt: skip
TEXTS = {
    "nothing": "",
    "one character": "a",
    "one Hangul syllable": "각",
    "one lone surrogate": "\ud800",
    "only marks": "\u0301\u0308\u034f" * 40,
    "a word, then only marks": "dog" + "\u0301" * 200,
    "lone surrogates": "\ud800dog\udfff \ud800 한국\udc00",
    "surrogates that make no pair": "\udc00\ud800",
    "NFD Hangul": "\u1112\u1161\u11ab\u1100\u116e\u11a8 \u1100\u1161\u11a8",
    "full-width Latin": "Ｄｏｇ Ｄ ｄｏｇ",
    "zero-width joiners": "do\u200dg dog\u200d \u200ddog 👩\u200d🚀 \u200d",
    "zero-width spaces": "dog\u200bdog hot\u200bdog",
    "right-to-left overrides": "\u202edog\u202c \u202ehot dog",
    "NUL": "dog\0dog \0 dog",
    "blanks of all kinds": "hot\tdog\nhot\rdog\u3000dog\xa0dog\x1cdog\x85dog\u2028dog",
    "marks of all kinds": "(dog) \"dog\" dog's dog, dog! c++11 c++",
}  # fmt: skip


@pytest.fixture(scope="module", params=[(mode, engine) for mode in MODES for engine in ENGINES], ids="-".join)
def matcher(request: pytest.FixtureRequest) -> Matcher:
    mode, engine = request.param
    return build_matcher(ENTRIES, lang="en", mode=mode, engine=engine)


@pytest.mark.parametrize("name", TEXTS)
def test_a_hostile_text_is_matched_as_defined(matcher: Matcher, name: str) -> None:
    text = TEXTS[name]
    wanted = match_naive(text, ENTRIES, matcher.mode)
    assert matcher.match(text) == wanted
    assert matcher.match_batch([text, "dog", text])[2] == wanted


def test_hostile_texts_are_not_mixed_up_with_their_neighbours(matcher: Matcher) -> None:
    texts = list(TEXTS.values()) * 3
    assert matcher.match_batch(texts) == [match_naive(text, ENTRIES, matcher.mode) for text in texts]


def named(matcher: Matcher, text: str) -> set[str]:
    return {ENTRIES[position] for position in matcher.match(text)}


def test_what_hostile_texts_name_in_mode_word() -> None:
    word = build_matcher(ENTRIES, lang="en", mode="word")
    assert "dog" not in named(word, TEXTS["a word, then only marks"])  # the marks are on its g
    assert "dog" not in named(word, "dog\u200d")  # so is a joiner
    assert "dog" in named(word, TEXTS["zero-width spaces"])
    assert "dog" in named(word, "\u202edog")  # an override at the start stands on nothing
    assert "dog" not in named(word, "do\u200dg")
    assert named(word, "\ud800dog\udfff") == {
        "dog"
    }  # lone surrogates are gaps, and this one has a letter beside it
    assert named(word, "\ud800 dog") == {"dog", "\ud800"}
    assert named(word, TEXTS["NFD Hangul"]) == set()  # the matcher never normalises:
    assert named(word, clean(TEXTS["NFD Hangul"])) == {"한국", "각"}  # cleaning does, before it
    assert named(word, "Ｄｏｇ Ｄ") == {"Ｄ"}  # nothing is folded
    assert named(word, "👩\u200d🚀") == {"👩\u200d🚀"} | {"\u200d"}
    assert "c++" not in named(word, "c++11")


LONG: dict[str, Callable[[int], str]] = {
    "one word": lambda size: "x" * size,
    "many words": lambda size: "a " * (size // 2),
    "entries in a row": lambda size: "hot dog " * (size // 8),
    "only marks": lambda size: "\u0301" * size,
    "the papers' marks": lambda size: "," * size,
    "only breaks": lambda size: "\n" * size,
    "Hangul and Latin in turn": lambda size: "한a" * (size // 2),
    "lone surrogates": lambda size: "\ud800" * size,
    "joiners": lambda size: "👩\u200d" * (size // 2),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("mode", MODES)
def test_time_is_linear_in_the_text(mode: str, engine: str) -> None:
    matcher = build_matcher(ENTRIES, lang="en", mode=mode, engine=engine)
    for name, make in LONG.items():
        short, long = (seconds(matcher, make(size)) for size in (20_000, 200_000))
        assert long < 60 * short + 0.02, name  # ten times the text; quadratic would be a hundred


def seconds(matcher: Matcher, text: str) -> float:
    best = float("inf")
    for _ in range(5):
        started = time.process_time()
        matcher.match(text)
        best = min(best, time.process_time() - started)
    return best


def test_a_long_text_names_what_its_words_do_at_both_ends() -> None:
    for mode in MODES:
        for engine in ENGINES:
            matcher = build_matcher(ENTRIES, lang="en", mode=mode, engine=engine)
            text = "hot dog" + " x" * BATCH_CHARS + " c++"
            assert named(matcher, text) >= {"dog", "hot dog"}
            assert matcher.match_batch(["dog", text, "dog"])[::2] == [[0], [0]]


def test_a_long_entry_that_a_text_keeps_beginning_costs_no_more_time() -> None:
    for size in (1, MAX_LENGTH // 2, MAX_LENGTH * 10):
        matcher = build_matcher(["a " * size + "b"], lang="en", mode="word")
        assert seconds(matcher, "a " * 100_000) < 60 * seconds(matcher, "a " * 10_000) + 0.02
        assert matcher.engine.startswith("spans" if size * 2 < MAX_LENGTH else AUTOMATA)


def test_long_entries_are_found() -> None:
    entries = ["a " * 500 + "b", "a", "b " * 2_000 + "b"]
    for engine in ENGINES:
        matcher = build_matcher(entries, lang="en", mode="metaclip1", engine=engine)
        assert matcher.match("a " * 500 + "b") == [0, 1]
        assert matcher.match("b " * 2_000 + "b") == [2]
