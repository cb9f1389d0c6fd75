"""Crawls that add up: the runs that a run extends, and why it may not. Used by steps "match" and "count".

A run of a new crawl names the runs of earlier ones in `run.earlier`. Pairs that one of them matched are left out (a reason of
its own), so that they are neither counted nor downloaded twice, and each entry's count is the sum over all of them: the
thresholds, and the new crawl's wanted pairs, are those of one run over all crawls.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curation.canonical import as_record
from curation.config import RunConfig
from curation.errors import ConfigError, StageError
from curation.stage import RECORD, Record, file_sha256, locate, read_record

OWN = "own"  # the table of a run's own counts, where `counts` is a sum
_ORDER = [("lang", "ascending"), ("entry_id", "ascending")]
_FREE = ("keep_dropped", "lid_model")  # keys of [match] that may differ: the model is compared by its content


@dataclass(frozen=True)
class EarlierRun:
    """A run of an earlier crawl, as far as another builds on it."""

    path: Path
    match: Record
    count: Record
    crawl: str | None

    def note(self) -> dict[str, Any]:
        """Return what a record says of it."""
        return {"run": self.path.name, "crawl": self.crawl, "match": self.match.digest}


def earlier_runs(config: RunConfig) -> list[EarlierRun]:
    """Return the runs that this one extends, in order of what they hold.

    Raises ConfigError, naming the run and the key, for one that matched or counted in another way, and StageError for one
    whose stage count is not finished.
    """
    if not config.run.earlier:
        return []
    lists = {
        lang: note["sha256"] for lang, note in read_record(locate(config, "metadata")).notes["lists"].items()
    }
    found = [_open(config, path) for path in config.run.earlier]
    digests = {run.match.digest for run in found}
    for run in found:
        _require_same(config, run, lists)
        missing = [note["run"] for note in run.match.notes.get("earlier", ()) if note["match"] not in digests]
        if missing:
            raise ConfigError(
                f"{run.path} extends {', '.join(missing)}: name {', '.join(missing)} in run.earlier too"
            )
    return sorted(found, key=lambda run: run.match.digest)


def externals(records: Sequence[Record]) -> list[dict[str, str]]:
    """Return what identifies stages of other runs as inputs of a stage, wherever those runs lie."""
    return [
        {"path": f"earlier/{record.name}/{record.digest[:12]}", "digest": record.digest} for record in records
    ]


def stage_of(path: Path, config: RunConfig, stage: str) -> Record:
    """Return the record of a stage of another run. Raises StageError where it is not finished."""
    place = _place(config, path, stage)
    if not (place / RECORD).is_file():
        raise StageError(
            f"run.earlier names {path}, which has no finished stage {stage!r}: finish it first, or leave it out"
        )
    return read_record(place)


def own_counts(record: Record) -> pa.Table:
    """Return the counts of a run's own rows, TABLES["counts"], in order of language and id."""
    own = record.path / OWN
    return pq.read_table(own if own.is_dir() else record.path / "counts").sort_by(_ORDER)


def summed(own: pa.Table, others: Sequence[pa.Table]) -> pa.Table:
    """Return the counts of several runs over the same entries as one table: whole numbers, so exact in any order.

    Raises StageError where one has other entries.
    """
    total = own.sort_by(_ORDER)
    for other in others:
        if not all(other[name].equals(total[name]) for name in ("lang", "entry_id")):
            raise StageError(
                f"counts of {other.num_rows} entries cannot be added to those of {total.num_rows} others"
            )
        for name in ("count", "weight"):
            values = total[name].to_numpy() + other[name].to_numpy()
            total = total.set_column(
                total.schema.get_field_index(name), total.schema.field(name), pa.array(values)
            )
    return total


def _open(config: RunConfig, path: Path) -> EarlierRun:
    if not path.is_dir():
        raise ConfigError(f"run.earlier names {path}, which is no directory")
    match, count = (stage_of(path, config, stage) for stage in ("match", "count"))
    extract = _place(config, path, "extract")
    crawl = read_record(extract).data["config"].get("crawl") if (extract / RECORD).is_file() else None
    return EarlierRun(path, match, count, crawl)


def _place(config: RunConfig, path: Path, stage: str) -> Path:
    return locate(replace(config, run=replace(config.run, path=path, earlier=())), stage)


def _require_same(config: RunConfig, run: EarlierRun, lists: Mapping[str, str]) -> None:
    """Raise ConfigError, naming what differs, unless the run's counts may be added to this one's."""
    theirs = {key: value for key, value in run.match.data["config"].items() if key not in _FREE}
    shared = as_record(config.run)
    ours = {key: value for key, value in as_record(config.match).items() if key not in _FREE}
    ours |= {"run.languages": shared["languages"], "run.seed": shared["seed"]}
    theirs["run.heldout_share"] = run.count.data["config"]["run.heldout_share"]
    ours["run.heldout_share"] = shared["heldout_share"]
    theirs["lid_model"] = next(
        (item["sha256"] for item in run.match.data["externals"] if "sha256" in item), None
    )
    ours["lid_model"] = file_sha256(config.match.lid_model) if config.match.lid_model else None
    for lang in sorted({*lists, *run.match.notes["lists"]}):
        theirs[f"entry list {lang}"] = run.match.notes["lists"].get(lang)
        ours[f"entry list {lang}"] = lists.get(lang)
    for key in sorted({*ours, *theirs}):
        if ours.get(key) != theirs.get(key):
            name = key if key.startswith(("run.", "entry list")) else f"match.{key}"
            raise ConfigError(
                f"run.earlier: {run.path} was made with another {name} ({_short(theirs.get(key))} there, "
                f"{_short(ours.get(key))} here): their counts do not add up; take the same, or leave that run out"
            )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."
