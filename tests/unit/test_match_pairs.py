"""The step on batches of pairs: mixed texts in both lists, reasons and sums, the same however the batches are cut."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.errors import Reason
from curation.language import language_identifier
from curation.match import READ, PairMatcher, build_matcher
from curation.schemas import TABLES
from curation.stage import Tally

ENTRIES = {
    "en": ["Galaxy", "dog", "camera", "the", "with", "a photo", "Starbucks", "coffee"],
    "ko": ["강아지", "사진", "삼성", "스타벅스", "커피", "김치"],
}
MODES = {"en": "word", "ko": "metaclip2"}
BOTH = ("en", "ko")


def pair_matcher(languages: Sequence[str] = BOTH, modes: dict[str, str] = MODES) -> PairMatcher:
    matchers = {lang: build_matcher(ENTRIES[lang], lang=lang, mode=modes[lang]) for lang in languages}
    return PairMatcher(language_identifier(tuple(languages)), matchers, min_chars=2, max_chars=80)


def matched(texts: Sequence[str], matcher: PairMatcher) -> tuple[list[dict[str, object]], Tally]:
    rows = [
        {"pair_id": f"{n:032x}", "url": f"https://e.org/{n}", "text": text} for n, text in enumerate(texts)
    ]
    schema = pa.schema([pa.field(name, pa.string()) for name in READ])
    tally = Tally()
    found = matcher.match_pairs(pa.RecordBatch.from_pylist(rows, schema=schema), TABLES["matches"], tally)
    return found.to_pylist(), tally


def named(rows: Sequence[dict[str, object]]) -> dict[str, tuple[list[str], bool]]:
    """Return entries and the mark of a mixed text, by language."""
    return {
        str(row["lang"]): ([ENTRIES[str(row["lang"])][n] for n in row["entry_ids"]], bool(row["mixed"]))  # type: ignore[attr-defined]
        for row in rows
        if row["_reason"] is None
    }


def test_a_korean_text_with_a_latin_brand_is_matched_in_both_lists() -> None:
    rows, tally = matched(["삼성 Galaxy를 든 강아지 사진"], pair_matcher())
    assert named(rows) == {"en": (["Galaxy"], True), "ko": (["강아지", "사진", "삼성"], True)}
    assert {row["clean_text"] for row in rows} == {"삼성 Galaxy를 든 강아지 사진"}
    assert tally.of("pairs").rows_out == 1
    assert tally.sums == {
        "asked/script": 1, "detector/script": 2, "rows/en/mixed": 1, "rows/ko/mixed": 1,
    }  # fmt: skip


def test_an_english_text_with_hangul_is_matched_in_both_lists() -> None:
    rows, _ = matched(["a photo of the dog with a bowl of 김치 on the table"], pair_matcher())
    assert named(rows) == {"en": (["dog", "the", "with", "a photo"], True), "ko": (["김치"], True)}
    scores = {row["lang"]: row["lang_score"] for row in rows}
    assert 0 < scores["ko"] < scores["en"] <= 1  # type: ignore[operator]


def test_a_mixed_text_that_names_entries_of_one_list_only_has_one_row_that_is_not_mixed() -> None:
    rows, _ = matched(["스타벅스 Frappuccino 커피"], pair_matcher())
    assert named(rows) == {"ko": (["스타벅스", "커피"], False)}


@pytest.mark.parametrize(("lang", "entries"), [("en", ["the", "Starbucks", "coffee"]), ("ko", ["강아지"])])
def test_a_run_with_one_language_has_rows_in_it_alone(lang: str, entries: list[str]) -> None:
    texts = ["the coffee of Starbucks with 강아지", "강아지 Galaxy 강아지"]
    rows, tally = matched(texts, pair_matcher([lang]))
    kept = [row for row in rows if row["_reason"] is None]
    assert {row["lang"] for row in kept} == {lang}
    assert not any(row["mixed"] for row in kept)
    assert {ENTRIES[lang][n] for row in kept for n in row["entry_ids"]} >= set(entries) - {"the"}  # type: ignore[attr-defined]
    tally.of("pairs").close()


def test_every_text_is_kept_or_dropped_with_its_reason() -> None:
    texts = [
        "",
        "x",
        "\u200b",
        "y" * 81,
        "12 34",
        "собака и кошка на улице",
        "the weather",
        "强 강아지 사진",
        "zebra crossing here",
    ]
    rows, tally = matched(texts, pair_matcher())
    why = {row["text"]: row["_reason"] for row in rows}
    assert [why[text] for text in texts] == [
        Reason.EMPTY_TEXT, Reason.TOO_SHORT, Reason.EMPTY_TEXT, Reason.TOO_LONG, Reason.NO_LANGUAGE, Reason.OTHER_LANGUAGE,
        None, None, Reason.NO_MATCH,
    ]  # fmt: skip
    assert all(row["entry_ids"] is None and row["url"] for row in rows if row["_reason"])
    ledger = tally.of("pairs")
    ledger.close()
    assert (ledger.rows_in, ledger.rows_out) == (len(texts), 2)


def test_an_empty_batch_gives_no_rows() -> None:
    rows, tally = matched([], pair_matcher())
    assert rows == []
    assert tally.sums == {}


def test_rows_and_sums_do_not_depend_on_where_a_batch_ends(shared: Path) -> None:
    texts = pq.read_table(shared / "metadata" / "reference_matches.parquet").column("text").to_pylist()
    texts = [f"{text} 사진" if n % 7 == 0 else text for n, text in enumerate(texts)]
    schema = pa.schema([pa.field(name, pa.string()) for name in READ])
    columns = [[f"{n:032x}" for n in range(len(texts))], [""] * len(texts), texts]
    pairs = pa.RecordBatch.from_arrays([pa.array(column) for column in columns], schema=schema)
    matcher = pair_matcher()
    outcomes = []
    for size in (1_000, 37, len(texts)):
        tally, rows = Tally(), []
        for start in range(0, len(texts), size):
            rows += matcher.match_pairs(pairs.slice(start, size), TABLES["matches"], tally).to_pylist()
        rows.sort(key=lambda row: (row["pair_id"], row["lang"] or ""))
        ledger = tally.of("pairs")
        outcomes.append((rows, tally.sums, ledger.rows_in, ledger.rows_out, ledger.dropped))
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert any(row["mixed"] for row in outcomes[0][0])
