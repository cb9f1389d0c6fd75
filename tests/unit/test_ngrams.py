"""Tokens are MetaCLIP's in English and nouns in Korean; counts add up however they are split; PMI is decided by integers."""

from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from itertools import pairwise
from math import isclose, log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import ConfigError
from curation.text import normalise
from metadata.korean_tokens import MAX_PIECE, PARTICLES, ending_particle, korean_runs
from metadata.ngrams import (
    MARKS,
    NGRAMS,
    NgramCounter,
    cut_markup,
    largest_pmi,
    pmi,
    pmi_naive,
    spaced_runs,
    spaced_tokens_naive,
    tokens_of,
)

HOSTILE = st.lists(
    st.one_of(
        st.sampled_from(
            [*"ab.,'-<>& \n\t\u3000\u4e2d\u0e01\uff08\u2014\u00bf\u2013\u0301\u200d", "&lt;", "&gt;"]
        ),
        st.characters(),
    ),
    max_size=60,
).map("".join)


def grams_of(runs: Iterable[tuple[list[str], list[str]]]) -> tuple[Counter[str], Counter[str]]:
    unigrams: Counter[str] = Counter()
    bigrams: Counter[str] = Counter()
    for tokens, inner in runs:
        unigrams.update([*tokens, *inner])
        bigrams.update(f"{one} {two}" for one, two in pairwise(tokens))
    return unigrams, bigrams


def nouns(text: str) -> list[str]:
    return sorted(word for tokens, inner in korean_runs(text) for word in [*tokens, *inner])


@given(HOSTILE)
def test_spaced_tokens_are_those_of_the_plain_loop(text: str) -> None:
    unigrams, bigrams = spaced_tokens_naive(cut_markup(text))
    assert grams_of(spaced_runs(text)) == (Counter(unigrams), Counter(" ".join(pair) for pair in bigrams))


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("The dog's well-known bone.", [["The", "dog"], ["s", "well"], ["known", "bone"]]),
        ("1990\u20132000, a\u2014b", [["1990\u20132000"], ["a"], ["b"]]),
        ("in\u4e2d\u570b now", [["in", "\u4e2d", "\u570b", "now"]]),
        ("a<ref name=x>b c</ref>d", [["ab", "cd"]]),
        ("New\nYork", [["New", "York"]]),
        ("!? ...", []),
        ("", []),
    ],
)
def test_english_tokens_are_metaclips(text: str, tokens: list[list[str]]) -> None:
    assert [run.tokens for run in tokens_of("en")(text)] == tokens


@given(st.lists(st.sampled_from([*"<>ab\n", "&lt;", "&gt;"]), max_size=30).map("".join))
def test_markup_is_cut_as_a_lazy_expression_would(text: str) -> None:
    import re

    assert cut_markup(text) == re.sub(r"<.*?>|&lt;.*?&gt;", "", text)


@pytest.mark.parametrize("text", ["<" * 300_000, "&lt;" * 100_000 + ">", "<>" * 100_000 + "<", "a" * 500_000])
def test_hostile_markup_takes_linear_time(text: str) -> None:
    list(spaced_runs(text))  # quadratic, this would take minutes


def test_a_language_without_spaces_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="'ja'"):
        tokens_of("ja")


def test_the_marks_are_metaclips_number() -> None:
    assert len(set(MARKS)) == len(MARKS) == 32 + 26


def counts_of(counter: NgramCounter, texts: Iterable[str]) -> Counter[tuple[str, int]]:
    sums: Counter[tuple[str, int]] = Counter()
    for last, text in [*((False, text) for text in texts), (True, "")]:
        counter.add(text)
        if counter.full or last:
            for batch in counter.drain():
                assert batch.schema == NGRAMS
                for row in batch.to_pylist():
                    assert row["lang"] == counter.lang
                    sums[row["ngram"], row["order"]] += row["count"]
    return sums


@settings(deadline=None)
@given(
    st.lists(st.text(st.sampled_from("ab .\n\ud800\0\u0301"), max_size=12), max_size=12),
    st.integers(1, 20),
    st.data(),
)
def test_sums_are_equal_over_any_splitting_and_order(
    texts: list[str], max_distinct: int, data: st.DataObject
) -> None:
    whole = counts_of(NgramCounter("en"), texts)
    shuffled = data.draw(st.permutations(texts))
    assert counts_of(NgramCounter("en", max_distinct=max_distinct), shuffled) == whole
    parts = [counts_of(NgramCounter("en", max_distinct=1), [text]) for text in texts]
    assert sum(parts, Counter()) == whole


def test_a_counter_begins_anew_and_leaves_out_what_is_too_long() -> None:
    counter = NgramCounter("en")
    counter.add(f"one {'x' * 257} two three")
    unigrams, bigrams = counter.drain()
    assert unigrams["ngram"].to_pylist() == ["one", "two", "three"]
    assert bigrams["ngram"].to_pylist() == ["two three"]
    assert [batch.num_rows for batch in counter.drain()] == [0, 0]


def test_texts_are_cleaned_as_alt_texts_are() -> None:
    counter = NgramCounter("en")
    counter.add("cafe\u0301 co\u00adop\nzero\u200bwidth")
    words = counter.drain()[0]["ngram"].to_pylist()
    assert words == ["caf\u00e9", "coop", "zerowidth"]
    assert [normalise(word) for word in words] == words


POSITIVE = st.integers(1, 1 << 40)


@given(st.lists(st.tuples(POSITIVE, POSITIVE, POSITIVE), max_size=20), st.integers(1, 1 << 45))
def test_pmi_is_the_logarithm_rounded_down(rows: list[tuple[int, int, int]], total: int) -> None:
    found = pmi(*np.array(rows, np.int64).reshape(-1, 3).T, total)
    for value, row in zip(found, rows, strict=True):
        assert isclose(value, pmi_naive(*row, total), abs_tol=3 * 2**-20)
        assert float(value * 2**20).is_integer()


@given(POSITIVE, POSITIVE, POSITIVE, st.integers(1, 1 << 45), st.integers(-40, 40))
def test_a_whole_threshold_is_decided_exactly(
    pair: int, first: int, second: int, total: int, least: int
) -> None:
    held = Fraction(pair * total, first * second) >= Fraction(2) ** least
    assert (pmi(np.array([pair]), np.array([first]), np.array([second]), total)[0] >= least) == held


def test_thirty_bits_need_as_many_tokens() -> None:
    one = np.array([1])
    assert pmi(one, one, one, 1 << 30)[0] == 30
    assert pmi(one, one, one, (1 << 30) - 1)[0] < 30
    assert largest_pmi(1 << 30, 1) == 30
    assert largest_pmi(1 << 30, 4) == 28
    assert largest_pmi(0, 1) == -np.inf
    assert isclose(pmi(np.array([8]), np.array([10]), np.array([20]), 1000)[0], log2(40), abs_tol=1e-5)


# Words that end as a particle would and are nouns.
STAY = [
    "고가",
    "비누",
    "아이",
    "회의",
    "온도",
    "사과",
    "거미줄",
    "주의",
    "경기도",
    "지도",
    "소나무",
    "치과",
    "국가",
    "작가",
    "종이",
    "나비",
    "바나나",
    "고양이",
    "포도",
    "효과",
    "결과",
    "가로",
    "경로",
    "도로",
    "정의",
    "강의",
    "속도",
    "각도",
    "파도",
    "제주도",
    "화가",
    "휴가",
    "오이",
    "어린이",
    "놀이",
    "호랑이",
    "하의",
    "상의",
    "만두",
    "도마",
    "라디오",
]
CASES = [
    "은",
    "는",
    "이",
    "가",
    "을",
    "를",
    "에",
    "에서",
    "에게",
    "와",
    "과",
    "의",
    "도",
    "만",
    "까지",
    "부터",
    "으로",
    "로",
    "보다",
    "처럼",
    "마다",
    "조차",
]


@pytest.fixture(scope="module")
def _kiwi() -> None:
    pytest.importorskip("kiwipiepy")


def inflected(noun: str) -> list[str]:
    """Return the noun with each particle that may follow it by its sound."""
    return [noun + case for case in CASES if ending_particle(noun + case) == case]


@pytest.mark.usefixtures("_kiwi")
@pytest.mark.parametrize("noun", ["고양이", "강아지", "자전거", "사진", "박물관", "연구원", "건물", *STAY])
def test_no_noun_keeps_its_particle_and_none_loses_its_end(noun: str) -> None:
    words = inflected(noun)
    assert len(words) >= 12
    found = Counter(word for text in words for word in nouns(f"공원에서 {text} 많이 보았다"))
    assert not set(words) & set(found), "a particle stayed"
    assert found[noun] >= 0.7 * len(words), found


@pytest.mark.usefixtures("_kiwi")
@pytest.mark.parametrize(
    ("text", "words", "pairs"),
    [
        ("수석연구원은 바쁘다", ["수석연구원", "수석", "연구원"], []),
        ("LG전자의 갤럭시S23을 코로나19가", ["LG전자", "갤럭시S23", "갤럭시", "코로나19", "코로나"], []),
        ("대한민국 정부가 서울에 있다", ["대한민국", "정부", "서울"], ["대한민국 정부"]),
        ("대한민국의 정부", ["대한민국", "정부"], []),
        ("대한민국, 정부", ["대한민국", "정부"], []),
        ("대한민국\n정부", ["대한민국", "정부"], []),
        ("학생들이 5월에 세 마리를", ["학생"], []),
        ("나는 그것을 Basic으로 걸었다", [], []),
        ("과학적 방법", ["과학적", "과학", "방법"], ["과학적 방법"]),
        ("", [], []),
    ],
)
def test_korean_words_are_nouns_and_compounds(text: str, words: list[str], pairs: list[str]) -> None:
    unigrams, bigrams = grams_of(korean_runs(text))
    assert unigrams == Counter(words)
    assert bigrams == Counter(pairs)


@pytest.mark.usefixtures("_kiwi")
@settings(max_examples=60, deadline=None)
@given(st.text(st.one_of(st.sampled_from("가나은는이 \n.A1\u1100\u1161漢"), st.characters()), max_size=40))
def test_any_text_gives_words_that_stand_in_it(text: str) -> None:
    counter = NgramCounter("ko")
    counter.add(text)
    clean = "\n".join(map(normalise, text.split("\n")))
    for batch in counter.drain():
        for ngram in batch["ngram"].to_pylist():
            assert ngram in " ".join(clean.split())
            assert ngram == normalise(ngram)
            assert ngram not in PARTICLES


@pytest.mark.usefixtures("_kiwi")
@pytest.mark.parametrize(
    "text", ["가" * 100_000, "이미지를 편집한다 " * 3_000, "\ud800고양이가\0", "각" * 99 + " 개"]
)
def test_korean_takes_hostile_texts(text: str) -> None:
    for tokens, inner in korean_runs(normalise(text)):
        assert all(len(word) <= MAX_PIECE and " " not in word for word in [*tokens, *inner])


@pytest.mark.parametrize(
    ("word", "particle"),
    [
        ("고양이가", "가"),
        ("사진이", "이"),
        ("사진에서", "에서"),
        ("서울로", "로"),
        ("사진로", ""),
        ("가", ""),
        ("TV는", "는"),
    ],
)
def test_particles_follow_by_their_sound(word: str, particle: str) -> None:
    assert ending_particle(word) == particle
