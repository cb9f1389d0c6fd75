"""The frozen lists of metadata entries: an id is a line of its language's list, and the list's sha256 travels with it.

Given lists (Parquet with columns lang, entry and, where there are, source and score; or text files LANG.txt) become
`RUN/metadata/LANG.SHA.txt`, an entry a line, and the table `entries`. `curate metadata` runs it.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curation.errors import InputError, Reason
from curation.schemas import ROW_GROUP_ROWS, SCHEMA_VERSION, TABLES
from curation.stage import OpenStage, Record, StageSpec, Tally, file_sha256
from curation.text import nfc

SPEC = StageSpec(name="metadata", section="metadata", version=1, run_keys=("languages",))
UNIT = "entries"
TABLE_FILE = "entries/entries.parquet"
_LINE_BREAKS = frozenset("\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029")


@dataclass(frozen=True)
class Entry:
    """One thing to look for."""

    lang: str
    entry: str
    source: str
    score: float | None = None
    sources: tuple[tuple[str, float | None], ...] = ()
    """All sources with their scores, the first being (source, score), where they are known; else empty."""

    @property
    def all_sources(self) -> tuple[tuple[str, float | None], ...]:
        """All sources that are known; its own alone where no others are."""
        return self.sources or ((self.source, self.score),)


@dataclass(frozen=True)
class EntryList:
    """A language's frozen list, as the later stages find it."""

    lang: str
    path: Path
    sha256: str
    size: int


def read_given(path: Path) -> Iterator[Entry]:
    """Yield the entries of a given file in its order. Raises InputError that names the file and what it lacks."""
    if not path.is_file():
        raise InputError(f"the entry list {path} is not there")
    if path.suffix == ".txt":
        yield from (
            Entry(path.stem, line, "given") for line in path.read_text(encoding="utf-8").split("\n") if line
        )
        return
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise InputError(f"the entry list {path} is neither Parquet nor a .txt file: {error}") from error
    names = file.schema_arrow.names
    lacking = [name for name in ("lang", "entry") if name not in names]
    if lacking:
        raise InputError(f"the entry list {path} lacks column {lacking[0]!r}; it has {', '.join(names)}")
    columns = [name for name in ("lang", "entry", "source", "score", "sources") if name in names]
    for batch in file.iter_batches(columns=columns):
        for row in batch.to_pylist():
            sources = tuple((item["source"], item["score"]) for item in row.get("sources") or ())
            yield Entry(row["lang"], row["entry"], row.get("source") or "given", row.get("score"), sources)


def freeze(entries: Iterable[Entry], languages: Sequence[str], tally: Tally) -> dict[str, list[Entry]]:
    """Return each language's list in the order given: NFC, and of equal entries the first, with the sources of all.

    What leaves is counted. An entry that was given once keeps `sources` as it was given.
    """
    lists: dict[str, dict[str, Entry]] = {lang: {} for lang in languages}
    for given in entries:
        if given.lang not in lists:
            tally.drop(UNIT, Reason.OTHER_LANGUAGE)
            continue
        text = nfc(given.entry)
        reason = why_not(text)
        first = lists[given.lang].get(text)
        if reason:
            tally.drop(UNIT, reason)
        elif first is not None:
            ledger = tally.of(UNIT)
            ledger.rows_in += 1
            ledger.merged += 1
            lists[given.lang][text] = _with_sources_of(first, given)
        else:
            tally.keep(UNIT)
            lists[given.lang][text] = replace(given, entry=text)
    return {lang: list(found.values()) for lang, found in lists.items()}


def _with_sources_of(first: Entry, second: Entry) -> Entry:
    sources = dict(first.all_sources)
    for name, score in second.all_sources:
        sources.setdefault(name, score)
    return first if len(sources) == len(first.all_sources) else replace(first, sources=tuple(sources.items()))


def why_not(text: str) -> Reason | None:
    """Return why a text cannot be a line of a frozen list, or None."""
    if not text.strip():
        return Reason.EMPTY_TEXT
    unfit = "\0" in text or any(c in _LINE_BREAKS or "\ud800" <= c <= "\udfff" for c in text)
    return Reason.BAD_TEXT if unfit else None


def save_list(entries: Sequence[Entry], folder: Path, lang: str) -> EntryList:
    """Write a language's list, an entry a line, under a name that carries its sha256."""
    data = "".join(f"{item.entry}\n" for item in entries).encode()
    sha256 = hashlib.sha256(data).hexdigest()
    path = folder / f"{lang}.{sha256[:16]}.txt"
    path.write_bytes(data)
    return EntryList(lang, path, sha256, len(entries))


def read_list(path: Path, sha256: str) -> list[str]:
    """Return the entries of a frozen list. Raises InputError where the file is not the one that was frozen."""
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise InputError(
            f"entry list {path.name} has sha256 {found[:12]}, it was frozen with {sha256[:12]}; "
            f"run 'curate metadata' again with --on-existing overwrite"
        )
    return data.decode().split("\n")[:-1]


def frozen_lists(record: Record) -> dict[str, EntryList]:
    """Return the frozen lists of a finished metadata stage, by language."""
    notes = record.notes["lists"]
    return {
        lang: EntryList(lang, record.path / note["file"], note["sha256"], note["entries"])
        for lang, note in notes.items()
    }


def write_lists(stage: OpenStage, lists: Mapping[str, Sequence[Entry]]) -> None:
    """Write each language's list and the table `entries` into the stage, and note them for the stages that follow.

    lists: by language, in the order of the ids. Raises InputError for a language without entries.
    """
    notes = {}
    for lang, entries in lists.items():
        if not entries:
            raise InputError(f"the entry lists hold nothing for language {lang!r}; run.languages asks for it")
        frozen = save_list(entries, stage.path, lang)
        notes[lang] = {"file": frozen.path.name, "sha256": frozen.sha256, "entries": frozen.size}
        stage.add_file(frozen.path.name, frozen.sha256)
    stage.notes["lists"] = notes
    (stage.path / "entries").mkdir()
    pq.write_table(
        entries_table(lists), stage.path / TABLE_FILE, compression="zstd", row_group_size=ROW_GROUP_ROWS
    )
    stage.add_file(TABLE_FILE, file_sha256(stage.path / TABLE_FILE))


def entries_table(lists: Mapping[str, Sequence[Entry]]) -> pa.Table:
    """Return the table `entries` of lists by language, each in the order of its ids."""
    placed = [(lang, n, entry) for lang, entries in lists.items() for n, entry in enumerate(entries)]
    columns = {
        "lang": [lang for lang, _, _ in placed],
        "entry_id": [n for _, n, _ in placed],
        "entry": [entry.entry for _, _, entry in placed],
        "source": [entry.source for _, _, entry in placed],
        "score": [entry.score for _, _, entry in placed],
        "sources": [
            [{"source": source, "score": score} for source, score in entry.sources] or None
            for _, _, entry in placed
        ],
    }
    schema = TABLES["entries"].with_metadata({"schema_version": str(SCHEMA_VERSION)})
    return pa.Table.from_pydict(columns, schema=schema)
