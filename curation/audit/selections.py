"""What two selections share, and which entries gained and lost: `curate diff`.

A selection is what a manifest's column `selected` says, or a table of selected pairs beside a manifest. Ids are compared by their first
64 bits: of 10^8 pairs, two are taken for one with a chance of 3e-4. Memory: 8 bytes a selected pair and picture.
"""

# E entries

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from curation.audit.files import RunFiles, directory_of, is_stage, open_table, scan
from curation.config import RunConfig, RunSection
from curation.errors import InputError
from curation.manifest import MANIFEST
from curation.pipeline import STAGES
from curation.stage import Record, locate, read_record

Keys = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]
DECIDING = tuple(STAGES)[: list(STAGES).index("manifest") + 1]  # stages that a selection follows from
_COLUMNS = ("pair_id", "lang", "image_id", "entry_ids", "mixed_lang", "mixed_entry_ids", "selected")


@dataclass(frozen=True)
class Place:
    """Where a selection lies, and the records that say how it was made."""

    path: Path
    manifests: tuple[Path, ...]
    """Folders that hold a manifest."""
    table: Path | None
    """A table of pair_id and selected, which then counts instead of the manifest's column."""
    records: Mapping[str, Record]
    """Of its run's stages, by name, as far as they are at hand."""


def open_place(path: Path) -> Place:
    """Return the selection of a run, of a manifest's folder, or of a selection's folder that names its manifest.

    Raises InputError that says what is allowed.
    """
    run = RunConfig(run=RunSection(path=path.resolve()))
    sealed = locate(run, "manifest")
    if (sealed / MANIFEST).is_dir():
        return Place(path, (sealed,), None, RunFiles(path).records)
    if (path / MANIFEST).exists():
        records = {"manifest": read_record(path)} if is_stage(path) else {}
        beside = RunFiles(path.parent).records if path.name == "manifest" and records else records
        return Place(path, (path,), None, beside)
    manifests, table = _manifests_of(path), directory_of(path, "selection")
    if manifests and table.exists():
        return Place(path, manifests, table, _records_of(path, manifests))
    raise InputError(
        f"{path} holds no selection: give a run whose manifest is sealed, a folder with {MANIFEST}, or a selection's folder "
        f"that 'curate balance --manifest' wrote"
    )


def _manifests_of(path: Path) -> tuple[Path, ...]:
    """Return the manifests that the record of a selection names. Raises InputError where one is not there any more."""
    if not is_stage(path):
        return ()
    found = tuple((path / item["folder"]).resolve() for item in read_record(path).notes.get("manifests", ()))
    for folder in found:
        if not (folder / MANIFEST).exists():
            raise InputError(f"{path} was selected from {folder}, which holds no {MANIFEST} any more")
    return found


def _records_of(path: Path, manifests: Sequence[Path]) -> dict[str, Record]:
    """Return the records of the first manifest's run, as far as it is there, with the selection's in the place of its own."""
    run = manifests[0].parent
    beside = RunFiles(run).records if any(is_stage(run / name) for name in STAGES) else {}
    return beside | {"balance-survivors": read_record(path)}


@dataclass
class Chosen:
    """What a selection holds."""

    pairs: dict[str, Keys]
    """Short ids of the selected pairs by their language, sorted."""
    pictures: Keys
    """Short ids of their pictures, sorted, each once."""
    entries: dict[str, dict[str, int]]
    """Selected rows that name an entry, by language and the entry's text, or "#id" where no list is at hand."""
    matches: dict[str, int] = field(default_factory=dict)
    """Sum of `entries` a language."""


def read_chosen(place: Place) -> Chosen:
    """Read a selection, batch by batch."""
    pairs: dict[str, list[Keys]] = {}
    pictures: list[Keys] = []
    counts: dict[str, Ints] = {}
    for batch in _selected(place):
        keys, langs = short_ids(batch.column("pair_id")), batch.column("lang")
        for lang in langs.unique().to_pylist():
            own = pc.equal(langs, lang).to_numpy(zero_copy_only=False)
            pairs.setdefault(lang, []).append(keys[own])
        pictures.append(np.unique(short_ids(batch.column("image_id"))))
        for lang_column, ids_column in (("lang", "entry_ids"), ("mixed_lang", "mixed_entry_ids")):
            _add_entries(counts, batch.column(lang_column), batch.column(ids_column))
    named = {lang: _named(place, lang, found) for lang, found in sorted(counts.items())}
    return Chosen(
        {lang: np.unique(np.concatenate(parts)) for lang, parts in sorted(pairs.items())},
        np.unique(np.concatenate(pictures)) if pictures else np.empty(0, np.uint64),
        named,
        {lang: sum(found.values()) for lang, found in named.items()},
    )


def _selected(place: Place) -> Iterator[pa.RecordBatch]:
    """Yield the selected rows' batches."""
    wanted = None
    if place.table is not None:
        schema = pa.schema([pa.field("pair_id", pa.string()), pa.field("selected", pa.bool_())])
        table = pads.dataset(place.table, schema=schema, format="parquet")
        wanted = table.to_table(columns=["pair_id"], filter=pc.field("selected"))["pair_id"].combine_chunks()
    held = np.empty(0, np.uint64)  # pairs of the manifests before: one that lies in two counts once
    for folder in place.manifests:
        own = [held]
        where = pc.field("selected") if wanted is None else None
        for batch in scan(open_table(folder / MANIFEST, "manifest"), _COLUMNS, where):
            keys = short_ids(batch.column("pair_id"))
            kept = pa.array(~np.isin(keys, held))
            if wanted is not None:
                kept = pc.and_(kept, pc.is_in(batch.column("pair_id"), value_set=wanted))
            own.append(keys)
            yield batch.filter(kept)
        held = np.concatenate(own) if len(place.manifests) > 1 else held


def short_ids(ids: pa.StringArray) -> Keys:
    """Return the first 16 hex digits of ids as numbers, uint64 (N,)."""
    heads = "".join(pc.utf8_slice_codeunits(ids, 0, 16).to_pylist())
    return np.frombuffer(bytes.fromhex(heads), dtype=">u8").astype(np.uint64)


def _add_entries(counts: dict[str, Ints], langs: pa.StringArray, ids: pa.ListArray) -> None:
    """Add the rows that name an entry to the counts of their language, which grow as ids do."""
    for lang in langs.drop_null().unique().to_pylist():
        flat = ids.filter(pc.equal(langs, lang)).flatten().to_numpy()
        found = np.bincount(flat, minlength=counts[lang].size if lang in counts else 0)
        found[: counts[lang].size if lang in counts else 0] += counts.get(lang, np.empty(0, np.int64))
        counts[lang] = found


def _named(place: Place, lang: str, counts: Ints) -> dict[str, int]:
    """Return the counts that are not zero by the entry's text."""
    texts = _texts(place, lang)
    return {texts[i] if texts else f"#{i}": int(counts[i]) for i in np.flatnonzero(counts).tolist()}


def _texts(place: Place, lang: str) -> list[str]:
    record = place.records.get("metadata")
    note = record.notes["lists"].get(lang) if record else None
    if record is None or note is None:
        return []
    text = (record.path / note["file"]).read_text(encoding="utf-8")
    return str(text).split("\n")[:-1]


def shared(a: Iterable[Keys], b: Iterable[Keys]) -> dict[str, Any]:
    """Return how many keys each side has and both have, and Jaccard's index: both / (a + b - both); 1 for two empty sides."""
    ours, theirs = (np.concatenate([np.empty(0, np.uint64), *parts]) for parts in (a, b))
    both = np.intersect1d(ours, theirs, assume_unique=True).size
    union = ours.size + theirs.size - both
    return {
        "a": int(ours.size),
        "b": int(theirs.size),
        "both": int(both),
        "jaccard": both / union if union else 1.0,
    }


def shares(a: Chosen, b: Chosen) -> list[dict[str, Any]]:
    """Return what both selections share: a row a language of captions, one of all pairs, one of pictures."""
    langs = sorted({*a.pairs, *b.pairs})
    rows = [
        {"of": f"pairs, {lang}"}
        | shared(
            [k for k in [a.pairs.get(lang)] if k is not None],
            [k for k in [b.pairs.get(lang)] if k is not None],
        )
        for lang in langs
    ]
    rows.append({"of": "pairs"} | shared(a.pairs.values(), b.pairs.values()))
    rows.append({"of": "pictures"} | shared([a.pictures], [b.pictures]))
    return rows


def movers(
    a: Chosen, b: Chosen, number: int, *, by_share: bool
) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Return the entries of each language that gained and that lost most from a to b, the largest difference first.

    by_share: the difference is between shares of the language's matches, else between counts.
    """
    found = {}
    for lang in sorted({*a.entries, *b.entries}):
        ours, theirs = a.entries.get(lang, {}), b.entries.get(lang, {})
        unit_a, unit_b = (max(1, side.matches.get(lang, 0)) if by_share else 1 for side in (a, b))
        changes = {
            entry: theirs.get(entry, 0) / unit_b - ours.get(entry, 0) / unit_a for entry in {*ours, *theirs}
        }
        order = sorted(changes, key=lambda entry: (-abs(changes[entry]), entry))
        gained, lost = ([one for one in order if sign * changes[one] > 0] for sign in (1, -1))
        found[lang] = {
            kind: [
                {"entry": one, "a": ours.get(one, 0), "b": theirs.get(one, 0), "change": changes[one]}
                for one in some[:number]
            ]
            for kind, some in (("gained", gained), ("lost", lost))
        }
    return found


def settings_that_differ(a: Mapping[str, Record], b: Mapping[str, Record]) -> list[dict[str, Any]]:
    """Return the configuration keys of stages that both have, and that differ: stage, key, a, b; None where a key is not set."""
    rows = []
    for stage in (name for name in DECIDING if name in a and name in b):
        ours, theirs = (dict(_flat(side[stage].data["config"])) for side in (a, b))
        rows += [
            {"stage": stage, "key": key, "a": ours.get(key), "b": theirs.get(key)}
            for key in sorted({*ours, *theirs})
            if ours.get(key) != theirs.get(key)
        ]
    return rows


def _flat(value: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if isinstance(item, Mapping):
            yield from _flat(item, f"{before}{key}.")
        else:
            yield before + key, item


def outputs(a: Mapping[str, Record], b: Mapping[str, Record]) -> list[dict[str, Any]]:
    """Return for each stage that either has whether it wrote the same, by the digests that later stages stand on."""
    rows = []
    for stage in (name for name in DECIDING if name in a or name in b):
        ours, theirs = (side[stage].digest if stage in side else None for side in (a, b))
        rows.append({"stage": stage, "a": ours, "b": theirs, "same": ours == theirs})
    return rows


def externals_that_differ(a: Mapping[str, Record], b: Mapping[str, Record]) -> list[dict[str, Any]]:
    """Return the inputs from outside that only one run read, or that were not the same: stage, path, a, b."""
    rows = []
    for stage in (name for name in DECIDING if name in a and name in b):
        ours, theirs = (_externals(side[stage]) for side in (a, b))
        rows += [
            {"stage": stage, "path": path, "a": ours.get(path), "b": theirs.get(path)}
            for path in sorted({*ours, *theirs})
            if ours.get(path) != theirs.get(path)
        ]
    return rows


def _externals(record: Record) -> dict[str, Any]:
    items = [dict(item) for item in record.data["externals"]]
    return {str(item.pop("path", n)): item for n, item in enumerate(items)}


def balances(a: Mapping[str, Record], b: Mapping[str, Record]) -> list[dict[str, Any]]:
    """Return the thresholds side by side: a row a balance and quantity (p, margin, t of a language)."""
    rows: list[dict[str, Any]] = []
    for stage in ("balance", "balance-survivors"):
        ours, theirs = (_thresholds(side[stage].notes) if stage in side else {} for side in (a, b))
        rows += [
            {"stage": stage, "of": key, "a": ours.get(key), "b": theirs.get(key)}
            for key in sorted({*ours, *theirs})
        ]
    return rows


def _thresholds(notes: Mapping[str, Any]) -> dict[str, float]:
    found = {key: float(notes[key]) for key in ("p", "margin") if key in notes}
    return found | {f"t {lang}": float(t) for lang, t in notes.get("t", {}).items()}
