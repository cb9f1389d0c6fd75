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
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from curation.balance import HELD_OUT, WEIGHT_UNIT
from curation.config import RunConfig, RunSection
from curation.earlier import OWN, earlier_runs, externals, own_counts, stage_of, summed
from curation.errors import Reason
from curation.schemas import ROW_GROUP_ROWS, SCHEMA_VERSION, TABLES, stable_columns
from curation.spark import columns
from curation.spark.batches import map_batches, plain
from curation.spark.session import get_session
from curation.spark.stage import measure, read_table
from curation.stage import Ledger, OpenStage, Record, StageSpec, file_sha256, run_stage
from metadata.entries import frozen_lists

Longs = npt.NDArray[np.int64]
_RUN_KEYS = ("languages", "seed", "heldout_share")
SPEC = StageSpec(name="count", section=None, version=1, reads=("metadata", "match"), run_keys=_RUN_KEYS)
SPEC_SURVIVORS = StageSpec(
    name="count-survivors", section=None, version=1, reads=("metadata", "dedup"), run_keys=("languages",)
)


def held_out(url: Column, run: RunSection) -> Column:
    """Return whether a picture's address is held out: by a coin of the address alone, before any curation."""
    return columns.coin(url, run.seed, HELD_OUT) < F.lit(run.heldout_share)


def count_entries(rows: DataFrame) -> DataFrame:
    """Return (lang, entry_id, count, weight) of the entries that occur.

    rows: lang, entry_ids and keep_prob (1 before anything was drawn). Weights are summed as whole numbers of 2^-20: exact in
    any order. A task holds two sums an entry; what travels between tasks is these, never a row a match.
    """
    weight = F.rint(1.0 / (F.col("keep_prob") * F.lit(WEIGHT_UNIT))).cast("long")
    sums = map_batches(rows.select("lang", "entry_ids", weight.alias("weight")), _sums_of_task, _SUMS)
    return sums.groupBy("lang", "entry_id").agg(
        F.sum("count").alias("count"), F.sum("weight").alias("weight")
    )


_SUMS = plain(TABLES["counts"])


def _sums_of_task(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield a task's sums by language and entry, when all of its rows are read."""
    totals: dict[str, Longs] = {}  # by language, int64 (2, E so far): count and weight
    for batch in batches:
        for lang in batch.column("lang").unique().to_pylist():
            own = batch.filter(pc.equal(batch.column("lang"), lang))
            lengths = pc.list_value_length(own.column("entry_ids")).to_numpy(zero_copy_only=False)
            ids = own.column("entry_ids").flatten().to_numpy(zero_copy_only=False)
            total = totals[lang] = _grown(totals.get(lang), int(ids.max(initial=-1)) + 1)
            total[0] += np.bincount(ids, minlength=total.shape[1])
            np.add.at(total[1], ids, np.repeat(own.column("weight").to_numpy(), lengths))
    for lang, total in totals.items():
        found = np.flatnonzero(total[0])
        columns = [pa.repeat(lang, found.size), found.astype(np.int32), total[0][found], total[1][found]]
        yield pa.RecordBatch.from_arrays([pa.array(column) for column in columns], schema=_SUMS)


def _grown(total: Longs | None, size: int) -> Longs:
    """Return the sums with room for so many entries, and for more if there was too little: copies stay few."""
    if total is not None and total.shape[1] >= size:
        return total
    grown = np.zeros((2, max(size, 2 * total.shape[1] if total is not None else 1)), dtype=np.int64)
    if total is not None:
        grown[:, : total.shape[1]] = total
    return grown


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
    spark = get_session(stage.config.spark)
    matches = read_table(spark, stage.input("match"), "matches")
    kept = matches.where(~held_out(F.col("url"), stage.config.run)).withColumn("keep_prob", F.lit(1.0))
    _write(stage, matches.count(), kept, others)


def _count_survivors(stage: OpenStage, others: Sequence[Record]) -> None:
    spark = get_session(stage.config.spark)
    rows = read_table(spark, stage.input("dedup"), "rows")
    kept = rows.where(F.col("split") == "train").withColumn("keep_prob", F.col("keep_prob_wanted"))
    _write(stage, rows.count(), kept, others)


def _write(stage: OpenStage, rows_in: int, kept: DataFrame, others: Sequence[Record]) -> None:
    rows_out = kept.count()
    dropped: dict[str, int] = {Reason.HELD_OUT: rows_in - rows_out}
    stage.add(Ledger(unit="rows", rows_in=rows_in, rows_out=rows_out, dropped=dropped))
    sizes = {lang: item.size for lang, item in frozen_lists(stage.inputs["metadata"]).items()}
    own = dense(count_entries(kept).toArrow(), sizes)
    stage.notes["crawl"] = stage.config.extract.crawl
    if others:
        _write_counts(stage, OWN, own, kept.sparkSession)
        stage.notes["earlier"] = [
            {
                "run": record.path.parent.name,
                "crawl": record.notes.get("crawl"),
                "rows": record.ledgers[0]["out"],
            }
            for record in others
        ]
    _write_counts(stage, "counts", summed(own, [own_counts(record) for record in others]), kept.sparkSession)


def _write_counts(stage: OpenStage, name: str, table: pa.Table, spark: SparkSession) -> None:
    schema = plain(TABLES["counts"]).with_metadata({"schema_version": str(SCHEMA_VERSION)})
    (stage.path / name).mkdir()
    file = f"{name}/counts.parquet"
    pq.write_table(table.cast(schema), stage.path / file, compression="zstd", row_group_size=ROW_GROUP_ROWS)
    stage.add_file(file, file_sha256(stage.path / file))
    written = read_table(spark, stage.path, "counts", name=name)
    rows, digest = measure(written, stable_columns("counts"))
    stage.add_table(name, rows=rows, digest=digest)


def dense(found: pa.Table, sizes: Mapping[str, int]) -> pa.Table:
    """Return a row for every entry of every language, in order of language and id, zeros where nothing matched."""
    parts = []
    for lang in sorted(sizes):
        part = found.filter(pc.equal(found["lang"], lang))
        ids = part["entry_id"].to_numpy()
        arrays = [np.full(sizes[lang], lang, dtype=object), np.arange(sizes[lang], dtype=np.int32)]
        for name in ("count", "weight"):
            values = np.zeros(sizes[lang], dtype=np.int64)
            values[ids] = part[name].to_numpy()
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
