"""Mode `korean`: words of Korean texts by their boundaries."""

import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.korean import KoreanFinder
from curation.korean_batch import MAX_RUNS, LatticeTables
from curation.korean_lattice import Lattice
from curation.match import build_matcher

ENTRIES = [
    "고양이", "수석", "연구원", "수석연구원", "마우스", "우스", "학교", "교에", "사람", "나무", "KBS", "빨대와 컵", "개", "3D 프린터",
    "도서관", "서관", "사진", "꽃", "새", "사과", "회의", "mp3", "고양이", "빨간",
]  # fmt: skip
TEXTS = st.text(
    alphabet="고양이가는를수석연구원은마우스에학교도서관 KBS3D.,개꽃새\u1100\u1161\u200d\u202e\x00🙂",
    max_size=40,
)


@pytest.fixture(scope="module")
def finder() -> KoreanFinder:
    return KoreanFinder(ENTRIES)


@pytest.fixture(scope="module")
def lattice(finder: KoreanFinder) -> Lattice:
    return finder._tables.lattice


def words(finder: KoreanFinder, text: str) -> set[str]:
    return {ENTRIES[n] for n in finder.find_sorted(text)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("고양이가 나무에 있다", {"고양이", "나무"}),
        ("고양이를 고양이는 고양이에게서", {"고양이"}),
        ("수석연구원은 회의를", {"수석", "연구원", "수석연구원", "회의"}),
        ("마우스에", {"마우스"}),
        ("학교에서", {"학교"}),
        ("도서관의 사진입니다.", {"도서관", "사진"}),
        ("빨간 꽃과 새빨간 사과", {"빨간", "꽃", "사과"}),
        ("KBS는 mp3를", {"KBS", "mp3"}),
        ("XKBS mp34", set()),
        ("빨대와 컵을", {"빨대와 컵"}),
        ("꽃을 든 사람", {"꽃", "사람"}),
        ("", set()),
        ("\u1100\u1161 \u200d \ud800", set()),
    ],
)
def test_words_are_found_and_their_insides_are_not(
    finder: KoreanFinder, text: str, expected: set[str]
) -> None:
    assert words(finder, text) == expected


def test_of_equal_entries_the_first_is_found(finder: KoreanFinder) -> None:
    assert finder.find_sorted("고양이") == [ENTRIES.index("고양이")]


@settings(max_examples=200, deadline=None)
@given(st.lists(TEXTS, max_size=6))
def test_what_is_found_depends_on_the_text_alone(finder: KoreanFinder, texts: list[str]) -> None:
    batch = finder.find_batch(texts)
    assert batch == finder.find_batch(texts)
    finder._young, finder._old = {}, {}
    assert batch == [finder.find_sorted(text) for text in reversed(texts)][::-1]


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_every_found_entry_is_a_substring(finder: KoreanFinder, text: str) -> None:
    found = finder.find_sorted(text)
    assert found == sorted(set(found))
    assert all(ENTRIES[n] in text for n in found)


RUNS = st.text(alphabet="가나다라마바사은는이했다고양학교에서도", min_size=1, max_size=30)


@settings(deadline=None)
@given(RUNS, st.sampled_from("_DA"))
def test_pieces_cover_their_run(lattice: Lattice, run: str, before: str) -> None:
    pieces = lattice.pieces(run, before)
    assert [start for start, _, _ in pieces] == [0, *(stop for _, stop, _ in pieces[:-1])]
    assert pieces[-1][1] == len(run)


@settings(deadline=None)
@given(st.lists(st.tuples(RUNS, st.sampled_from("_DA")), max_size=20))
def test_many_runs_at_once_have_the_pieces_of_each(lattice: Lattice, runs: list[tuple[str, str]]) -> None:
    assert LatticeTables(lattice).pieces(runs) == [lattice.pieces(run, before) for run, before in runs]


def test_runs_of_a_treebank_at_once_have_the_pieces_of_each(lattice: Lattice, shared: Path) -> None:
    texts = pq.read_table(shared / "metadata" / "korean_gold.parquet", columns=["text"])["text"].to_pylist()
    found = {run for text in texts[::8] for run in re.findall("[가-힣]+", text)}
    runs = [(run, "_DA"[len(run) % 3]) for run in sorted(found)]
    assert len(runs) > MAX_RUNS
    assert LatticeTables(lattice).pieces(runs) == [lattice.pieces(run, before) for run, before in runs]


def test_a_full_cache_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{word}가 {word}는" for word in ("고양이", "나무", "사람", "학교")] * 3
    unbounded = KoreanFinder(ENTRIES).find_batch(texts)
    monkeypatch.setattr("curation.korean.MAX_CACHED", 2)
    small = KoreanFinder(ENTRIES)
    assert small.find_batch(texts) == unbounded
    assert len(small._young) <= 2
    assert len(small._old) <= 2


def test_work_is_linear_in_the_length_of_a_run() -> None:
    finder = KoreanFinder(ENTRIES)
    lattice = finder._tables.lattice
    asked = []

    class Counting(dict):  # type: ignore[type-arg]
        def get(self, *args: object) -> object:
            asked.append(1)
            return super().get(*args)

    lattice.kind_of = Counting(lattice.kind_of)
    counts = []
    for length in (1_000, 10_000):
        asked.clear()
        finder.find_sorted("고양이가" * (length // 4))
        counts.append(len(asked))
    assert counts[0] >= 1_000
    assert counts[1] < 11 * counts[0]
    assert not finder._young


def test_the_matcher_of_mode_korean_finds_the_same(finder: KoreanFinder) -> None:
    matcher = build_matcher(ENTRIES, lang="ko", mode="korean")
    texts = ["고양이가 나무에", "수석연구원은", "", "KBS\tmp3"]
    assert matcher.match_batch(texts) == finder.find_batch(texts)
    assert [matcher.match(text) for text in texts] == matcher.match_batch(texts)


def test_a_treebank_is_matched_far_better_than_by_spaces(shared: Path) -> None:
    """The gold took part in the learning, so this holds the runtime to the model; benchmarks/korean_model.py cross-validates."""
    gold = pq.read_table(shared / "metadata" / "korean_gold.parquet").to_pylist()[::4]
    rows = pq.read_table(shared / "metadata" / "entries.parquet", columns=["lang", "entry"]).to_pylist()
    entries = [row["entry"] for row in rows if row["lang"] == "ko"]
    found = KoreanFinder(entries).find_batch(row["text"] for row in gold)
    sums = {"expected": 0, "right": 0, "wrong": 0}
    for row, ids in zip(gold, found, strict=True):
        named = {entries[n] for n in ids}
        sums["expected"] += len(row["expected"])
        sums["right"] += len(named & set(row["expected"]))
        sums["wrong"] += len(named & set(row["forbidden"]))
    assert sums["right"] / sums["expected"] > 0.965
    assert sums["right"] / (sums["right"] + sums["wrong"]) > 0.98
