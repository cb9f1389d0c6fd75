"""Step "count": matches of each entry. Tables in: matches, or the survivors' rows. Table out: counts. `curate count`.

It runs twice: on the matches, and on what survives download and deduplication. There each row stands for
1 / keep_prob_wanted rows of the pool it was drawn from. Where the run extends earlier ones (`run.earlier`), `counts` is the sum
over all of them, and the table `own` holds the run's own.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from curation.balance import HELD_OUT, WEIGHT_UNIT
from curation.config import RunConfig, RunSection
from curation.count import SUMS, EntrySums
from curation.digest import coins_of, table_digest
from curation.earlier import OWN, earlier_runs, externals, own_counts, stage_of, summed
from curation.errors import Reason
from curation.schemas import ROW_GROUP_ROWS, SCHEMA_VERSION, TABLES, stable_columns
from curation.spark import columns
from curation.spark.batches import map_batches, plain
from curation.spark.parts import map_parts, split
from curation.spark.session import get_session
from curation.spark.stage import read_table
from curation.stage import Ledger, OpenStage, Record, StageSpec, file_sha256, run_stage
from metadata.entries import frozen_lists

_RUN_KEYS = ("languages", "seed", "heldout_share")
SPEC = StageSpec(name="count", section=None, version=1, reads=("metadata", "match"), run_keys=_RUN_KEYS)
_ROWS = ""  # language of the row of a task's sums that holds its rows: read, and not held out
SPEC_SURVIVORS = StageSpec(
    name="count-survivors", section=None, version=1, reads=("metadata", "dedup"), run_keys=("languages",)
)


PART_ROWS = 4_000_000  # a task's: what it yields, a row an entry, does not grow with them
DRIVER_PARTS = 16  # whose sums the driver adds up itself: some 10 MB each. A shuffle costs more to plan; above, Spark does it


def held_out(url: Column, run: RunSection) -> Column:
    """Return whether a picture's address is held out: by a coin of the address alone, before any curation."""
    return columns.coin(url, run.seed, HELD_OUT) < F.lit(run.heldout_share)


def count_entries(rows: DataFrame) -> DataFrame:
    """Return (lang, entry_id, count, weight) of the entries that occur.

    rows: lang, entry_ids and keep_prob (1 before anything was drawn). Weights are summed as whole numbers of 2^-20: exact in
    any order. What travels between tasks is a task's sums, see `curation.count`.
    """
    weight = F.rint(1.0 / (F.col("keep_prob") * F.lit(WEIGHT_UNIT))).cast("long")
    given = rows.select("lang", "entry_ids", weight.alias("weight"))
    return added_up(map_batches(given, _sums_of_task, SUMS))


def added_up(sums: DataFrame) -> DataFrame:
    """Return the sums of all tasks by language and entry."""
    return sums.groupBy("lang", "entry_id").agg(
        F.sum("count").alias("count"), F.sum("weight").alias("weight")
    )


def _sums_of_task(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield a task's sums by language and entry, when all of its rows are read."""
    sums = EntrySums()
    for batch in batches:
        sums.add(batch)
    yield from sums.batches()


def run(config: RunConfig) -> Record:
    """Count the matches of the pool, without the pictures that are held out."""
    others = [run.count for run in earlier_runs(config)]
    return run_stage(config, SPEC, lambda stage: _count_matches(stage, others), externals=externals(others))


def run_survivors(config: RunConfig) -> Record:
    """Count what survived, each row by the inverse of the chance it was drawn with."""
    others = [stage_of(run.path, config, SPEC_SURVIVORS.name) for run in earlier_runs(config)]
    return run_stage(
        config, SPEC_SURVIVORS, lambda stage: _count_survivors(stage, others), externals=externals(others)
    )


def _count_matches(stage: OpenStage, others: Sequence[Record]) -> None:
    spark, run = get_session(stage.config.spark), stage.config.run
    columns = ["lang", "entry_ids", *(["url"] if run.heldout_share else [])]

    def sums_of(_: int, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        sums, rows_in, rows_out = EntrySums(), 0, 0
        for batch in batches:
            kept = batch
            if run.heldout_share:
                out = coins_of(batch.column("url"), run.seed, HELD_OUT) < run.heldout_share
                kept = batch.filter(pa.array(~out))
            rows_in, rows_out = rows_in + batch.num_rows, rows_out + kept.num_rows
            sums.add(kept)
        yield pa.RecordBatch.from_pylist(
            [{"lang": _ROWS, "entry_id": 0, "count": rows_in, "weight": rows_out}], schema=SUMS
        )
        yield from sums.batches()

    matches = stage.input("match") / "matches"
    parts = split(spark, matches, PART_ROWS)
    sums = map_parts(spark, matches, columns, sums_of, SUMS, parts=parts)
    found = (sums if len(parts) <= DRIVER_PARTS else added_up(sums)).toArrow()
    rows = found.filter(pc.equal(found["lang"], _ROWS))
    rows_in, rows_out = (pc.sum(rows[name]).as_py() or 0 for name in ("count", "weight"))
    _write(stage, found, (rows_in, rows_out), others)


def _count_survivors(stage: OpenStage, others: Sequence[Record]) -> None:
    spark = get_session(stage.config.spark)
    rows = read_table(spark, stage.input("dedup"), "rows")
    kept = rows.where(F.col("split") == "train").withColumn("keep_prob", F.col("keep_prob_wanted"))
    _write(stage, count_entries(kept).toArrow(), (rows.count(), kept.count()), others)


def _write(stage: OpenStage, found: pa.Table, rows: tuple[int, int], others: Sequence[Record]) -> None:
    """Write the counts and close the sum. rows: in, and out."""
    dropped: dict[str, int] = {Reason.HELD_OUT: rows[0] - rows[1]}
    stage.add(Ledger(unit="rows", rows_in=rows[0], rows_out=rows[1], dropped=dropped))
    sizes = {lang: item.size for lang, item in frozen_lists(stage.inputs["metadata"]).items()}
    own = dense(found, sizes)
    stage.notes["crawl"] = stage.config.extract.crawl
    if others:
        _write_counts(stage, OWN, own)
        stage.notes["earlier"] = [
            {
                "run": record.path.parent.name,
                "crawl": record.notes.get("crawl"),
                "rows": record.ledgers[0]["out"],
            }
            for record in others
        ]
    _write_counts(stage, "counts", summed(own, [own_counts(record) for record in others]))


def _write_counts(stage: OpenStage, name: str, table: pa.Table) -> None:
    schema = plain(TABLES["counts"]).with_metadata({"schema_version": str(SCHEMA_VERSION)})
    (stage.path / name).mkdir()
    file = f"{name}/counts.parquet"
    pq.write_table(table.cast(schema), stage.path / file, compression="zstd", row_group_size=ROW_GROUP_ROWS)
    stage.add_file(file, file_sha256(stage.path / file))
    rows, digest = table_digest(table.to_batches(), stable_columns("counts"))
    stage.add_table(name, rows=rows, digest=digest)


def dense(found: pa.Table, sizes: Mapping[str, int]) -> pa.Table:
    """Return a row for every entry of every language, in order of language and id, zeros where nothing matched.

    found: lang, entry_id, count, weight, in any order; several rows of one entry are added.
    """
    parts = []
    for lang in sorted(sizes):
        part = found.filter(pc.equal(found["lang"], lang))
        ids = part["entry_id"].to_numpy()
        arrays = [np.full(sizes[lang], lang, dtype=object), np.arange(sizes[lang], dtype=np.int32)]
        for name in ("count", "weight"):
            values = np.zeros(sizes[lang], dtype=np.int64)
            np.add.at(values, ids, part[name].to_numpy())
            arrays.append(values)
        parts.append(pa.table(dict(zip(("lang", "entry_id", "count", "weight"), arrays, strict=True))))
    return pa.concat_tables(parts)


def load_counts(record_path: str, *, weighted: bool) -> dict[str, npt.NDArray[np.float64]]:
    """Return the counts of a finished count stage by language, float64 (E,), indexed by entry id."""
    columns = ["lang", "entry_id", "count", "weight"]
    return by_language(pq.read_table(f"{record_path}/counts", columns=columns), weighted=weighted)


def by_language(table: pa.Table, *, weighted: bool) -> dict[str, npt.NDArray[np.float64]]:
    """Return a table of counts that is dense, as `dense` makes it, by language, float64 (E,), indexed by entry id."""
    found = {}
    for lang in sorted(set(table["lang"].unique().to_pylist())):
        part = table.filter(pc.equal(table["lang"], lang)).sort_by("entry_id")
        values = part["weight" if weighted else "count"].to_numpy().astype(np.float64)
        found[lang] = values * WEIGHT_UNIT if weighted else values
    return found
