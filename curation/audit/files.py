"""A run's records and tables as an auditor reads them: what is done, by name; rows by a filter, never a table whole."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from curation.balance import WEIGHT_UNIT, Reals
from curation.config import MatchSection, RunConfig, RunSection
from curation.earlier import OWN
from curation.errors import InputError
from curation.language import LanguageIdentifier, language_identifier
from curation.match import Matcher, PairMatcher, load_matcher
from curation.pipeline import STAGES
from curation.schemas import TABLES
from curation.stage import RECORD, Record, Tally, locate, read_record
from metadata.entries import frozen_lists, read_list

BATCH_ROWS = 65_536

# What every record has, and its type.
_KEYS: dict[str, type] = {
    "stage": str, "config": dict, "config_hash": str, "inputs": dict, "externals": list, "tables": dict, "files": dict,
    "ledgers": list, "notes": dict,
}  # fmt: skip


class RunFiles:
    """A run's finished stages, and their tables read by columns and filters."""

    def __init__(self, path: Path) -> None:
        """path: a run, or one finished stage by itself, such as a manifest that was copied.

        Raises InputError where the path holds no finished stage. A record that cannot be read stands in `unreadable`.
        """
        self.path = path
        self.config = RunConfig(run=RunSection(path=path.resolve()))
        self.is_whole = not is_stage(path)
        """All stages of the run are at hand, as far as they are done."""
        self.records: dict[str, Record] = {}
        self.unreadable: dict[str, str] = {}
        """Why a stage's record cannot be read, by its directory."""
        places = [locate(self.config, name) for name in STAGES] if self.is_whole else [path]
        for place in places:
            self._read(place)
        if not self.records and not self.unreadable:
            given = "is not there" if not path.exists() else "holds no finished stage of a run"
            raise InputError(
                f"{path} {given}; give the run's directory, the one that holds extract/ and the others"
            )

    def _read(self, place: Path) -> None:
        if not is_stage(place):
            return
        try:
            record = read_record(place)
            self.records[place.name if self.is_whole else record.name] = record
            missing = [key for key in _KEYS if not isinstance(record.data.get(key), _KEYS[key])]
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            missing = [f"JSON ({error})"]
        if missing:
            self.records = {name: known for name, known in self.records.items() if known.path != place}
            self.unreadable[str(place)] = f"its record is damaged: it lacks {', '.join(missing)}"

    def set_aside(self, stages: Iterable[str]) -> None:
        """Go on as if these stages had not been run: their records cannot be trusted."""
        for stage in stages:
            self.records.pop(stage, None)

    def require_readable(self) -> None:
        """Raise InputError, naming the first, where a record cannot be read."""
        for place, why in self.unreadable.items():
            raise InputError(f"{place}: {why}; 'curate verify' says what else is")

    def has(self, *stages: str) -> bool:
        """Whether all of these stages are done."""
        return all(stage in self.records for stage in stages)

    def table(self, stage: str, table: str) -> pads.Dataset | None:
        """Return a table of a finished stage, or None where it is not there; columns that it lacks are null."""
        record = self.records.get(stage)
        place = directory_of(record.path, table) if record else None
        return open_table(place, table) if place and place.is_dir() else None

    def rows(
        self,
        stage: str,
        table: str,
        where: pc.Expression,
        *,
        columns: Sequence[str] | None = None,
        limit: int | None = None,
    ) -> list[dict[str, Any]]:
        """Return the rows of a table that a filter lets through, at most `limit`; none where there is no table."""
        found = self.table(stage, table)
        if found is None:
            return []
        wanted = {"columns": list(columns) if columns else None, "filter": where}
        picked = found.to_table(**wanted) if limit is None else found.head(limit, **wanted)
        rows: list[dict[str, Any]] = picked.to_pylist()
        return rows

    def setting(self, stage: str, key: str) -> Any:
        """Return a key of a finished stage's configuration, or None."""
        return self.records[stage].data["config"].get(key) if stage in self.records else None

    @property
    def languages(self) -> tuple[str, ...]:
        """The run's languages, in their order, as the first stage that has them says."""
        for stage in ("match", "metadata", "count", "balance", "manifest"):
            found = self.setting(stage, "run.languages")
            if found:
                return tuple(found)
        return ()

    @cached_property
    def entries(self) -> dict[str, list[str]]:
        """The frozen lists by language, an entry a line; none before `metadata` is done. Raises InputError if they changed."""
        if "metadata" not in self.records:
            return {}
        lists = frozen_lists(self.records["metadata"])
        return {lang: read_list(item.path, item.sha256) for lang, item in lists.items()}

    @cached_property
    def match_section(self) -> MatchSection:
        """What `match` was configured with."""
        given = self.records["match"].data["config"]
        known = {key: value for key, value in given.items() if key in MatchSection.__dataclass_fields__}
        model = known.get("lid_model")
        return MatchSection(**known | {"lid_model": Path(model) if model else None})

    @cached_property
    def identifier(self) -> LanguageIdentifier:
        """What `match` told languages with, made again. Raises InputError where its model is not there or another."""
        record, section = self.records["match"], self.match_section
        found = language_identifier(
            tuple(record.data["config"]["run.languages"]),
            model_path=section.lid_model,
            min_score=section.lid_min_score,
            langdetect_share=section.langdetect_share,
            seed=record.data["config"]["run.seed"],
        )
        noted = record.notes.get("lid_model_sha256", found.model_sha256)
        if noted != found.model_sha256:
            raise InputError(
                f"the language model here has sha256 {found.model_sha256[:12]}, the run was matched with {noted[:12]}"
            )
        return found

    @cached_property
    def matchers(self) -> dict[str, Matcher]:
        """What `match` found entries with, by language, made again. Raises InputError where a list is not what it was."""
        section = self.match_section
        return {
            lang: load_matcher(
                item.path, item.sha256, lang=lang, mode=section.mode_of(lang),
                fold_case=section.fold_case.get(lang, False),
            )
            for lang, item in frozen_lists(self.records["metadata"]).items()
        }  # fmt: skip

    def match(self, pairs: pa.RecordBatch) -> pa.RecordBatch:
        """Match pairs (columns READ of `curation.match`) as the run did: rows of `matches`, and drops with their `_reason`."""
        section = self.match_section
        matcher = PairMatcher(
            self.identifier, self.matchers, min_chars=section.min_chars, max_chars=section.max_chars
        )
        schema = pa.schema([field.remove_metadata() for field in TABLES["matches"]])
        return matcher.match_pairs(pairs, schema, Tally())

    def counts(self, stage: str) -> dict[str, Reals]:
        """Return the counts of a finished stage by language, float64 (E,), indexed by entry id; of survivors, the weighted ones."""
        weighted = stage == "count-survivors"
        table = self.table(stage, "counts")
        assert table is not None
        found = {}
        column = "weight" if weighted else "count"
        for lang in self.languages:
            part = table.to_table(columns=["entry_id", column], filter=pc.field("lang") == lang)
            counts_E = np.zeros(part.num_rows)
            counts_E[part["entry_id"].to_numpy()] = part[column].to_numpy().astype(np.float64)
            found[lang] = counts_E * WEIGHT_UNIT if weighted else counts_E
        return found


def directory_of(stage: Path, table: str) -> Path:
    """Return the directory of a table of a stage: published ones end in .parquet."""
    published = stage / f"{table}.parquet"
    return published if published.exists() else stage / table


def form_of(table: str) -> str:
    """Return under which name the schemas know a table: a run's own counts lie beside the sums of all crawls, an index in dedup."""
    return {OWN: "counts", "rows_earlier": "rows"}.get(table, table.rpartition("/")[2])


def open_table(place: Path, table: str) -> pads.Dataset:
    """Open a directory of Parquet files as a table of ours: columns by name, those that it lacks as nulls."""
    fields = [field.remove_metadata().with_nullable(True) for field in TABLES[form_of(table)]]
    return pads.dataset(place, schema=pa.schema(fields), format="parquet")


def among(column: str, texts: Iterable[str]) -> pc.Expression:
    """Return the filter of rows whose text in a column is one of these; of none, no row."""
    return pc.field(column).isin(pa.array(list(texts), pa.string()))


def scan(
    dataset: pads.Dataset, columns: Sequence[str] | None = None, where: pc.Expression | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield a table's batches, in the order of its files."""
    yield from dataset.to_batches(
        columns=list(columns) if columns else None, filter=where, batch_size=BATCH_ROWS
    )


def is_stage(path: Path) -> bool:
    """Whether a directory is one finished stage, not a run of them."""
    return (path / RECORD).is_file()


def thresholds_of(record: Record) -> dict[str, float]:
    """Return the t that a balance decided by, a language, its margin included; `inf` is written as text."""
    notes = record.notes
    return {lang: float(t) * float(notes.get("margin", 1.0)) for lang, t in notes["t"].items()}
