"""A frozen list is what was given, in its order; an entry keeps the sources that are known of it."""

import hashlib
import unicodedata
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.config import RunConfig, RunSection
from curation.errors import InputError
from curation.schemas import TABLES
from curation.stage import Record, StageSpec, Tally, run_stage
from metadata.entries import (
    UNIT,
    Entry,
    EntryList,
    entries_table,
    freeze,
    frozen_lists,
    read_given,
    read_list,
    write_lists,
)

GIVEN = [
    Entry("en", "dog", "wordnet", 7.0, (("wordnet", 7.0), ("unigram", 500.0), ("title", None))),
    Entry("en", "cat", "mine"),
    Entry("ko", "고양이", "unigram", 3.0),
]


def written(path: Path, lists: dict[str, list[Entry]]) -> Record:
    config = RunConfig(run=RunSection(path=path))
    spec = StageSpec(name="metadata", section="metadata", version=1)
    return run_stage(config, spec, lambda stage: write_lists(stage, lists))


def by_language(entries: list[Entry]) -> dict[str, list[Entry]]:
    return freeze(entries, ["en", "ko"], Tally())


def test_lists_and_table_come_back_as_they_were_written(tmp_path: Path) -> None:
    record = written(tmp_path, by_language(GIVEN))
    found = frozen_lists(record)
    assert read_list(found["en"].path, found["en"].sha256) == ["dog", "cat"]
    assert found["ko"] == EntryList(
        "ko", record.path / found["ko"].path.name, hashlib.sha256("고양이\n".encode()).hexdigest(), 1
    )
    assert list(read_given(record.path / "entries" / "entries.parquet")) == GIVEN


def test_the_table_is_the_schema_s_with_sources_last() -> None:
    table = entries_table(by_language(GIVEN))
    assert table.schema.names == TABLES["entries"].names
    assert table.schema.names[-1] == "sources"
    assert table["sources"].to_pylist()[1:] == [None, None]
    assert table["sources"].to_pylist()[0][2] == {"source": "title", "score": None}
    assert table["entry_id"].to_pylist() == [0, 1, 0]


def test_a_table_without_sources_is_read_as_before(tmp_path: Path) -> None:
    pq.write_table(entries_table(by_language(GIVEN)).drop_columns(["sources"]), tmp_path / "old.parquet")
    old = list(read_given(tmp_path / "old.parquet"))
    assert [(e.lang, e.entry, e.source, e.score, e.sources) for e in old] == [
        (e.lang, e.entry, e.source, e.score, ()) for e in GIVEN
    ]
    pq.write_table(pa.table({"lang": ["en"], "entry": ["x"]}), tmp_path / "least.parquet")
    assert list(read_given(tmp_path / "least.parquet")) == [Entry("en", "x", "given")]


def test_equal_entries_keep_the_first_place_and_the_sources_of_all() -> None:
    tally = Tally()
    given = [
        Entry("en", "a", "x", 1.0),
        Entry("en", "b", "x", 2.0),
        Entry("en", "a", "y", 5.0),
        Entry("en", "b", "x", 9.0),
        Entry("en", "a", "z", None, (("z", None), ("w", 4.0))),
    ]
    assert freeze(given, ["en"], tally)["en"] == [
        Entry("en", "a", "x", 1.0, (("x", 1.0), ("y", 5.0), ("z", None), ("w", 4.0))),
        Entry("en", "b", "x", 2.0),
    ]
    assert tally.of(UNIT).merged == 3


def test_an_empty_language_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'ko'"):
        written(tmp_path, by_language(GIVEN[:2]))


def test_the_shared_list_freezes_to_its_own_lines_in_nfc(shared: Path) -> None:
    """As it did before entries had sources: old runs' lists keep their sha256."""
    given = pq.read_table(shared / "metadata" / "entries.parquet", columns=["lang", "entry"]).to_pydict()
    lists = freeze(read_given(shared / "metadata" / "entries.parquet"), ["en", "ko"], Tally())
    for lang, entries in lists.items():
        lines = (e for e, found in zip(given["entry"], given["lang"], strict=True) if found == lang)
        plain = dict.fromkeys(unicodedata.normalize("NFC", line) for line in lines)
        assert [entry.entry for entry in entries] == list(plain)
