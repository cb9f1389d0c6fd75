"""Another selection of what is sealed, without a download, on Spark. `curation.spark.select` is its command line.

In: sealed manifests, and nothing else. Out: `DIR/selection.parquet/`, a row a pair of the manifests, for `curate train
--selection`; with `--datacomp` also `DIR/datacomp.npy`. The counts are weighted by the manifests' own keep_prob_wanted, as stage
count-survivors weighs them, so that a run's own t and seed give its own selection again, bit by bit.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
import tyro
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from curation import pipeline
from curation.balance import COIN
from curation.config import OnExisting, RunConfig, RunSection, SparkSection
from curation.config_balance import BalanceSection
from curation.datacomp import write_subset
from curation.errors import ConfigError, InputError, Reason, StageError, require
from curation.manifest import MANIFEST, num_files, write_sorted_file
from curation.removal_files import load_removals
from curation.removals import Removals
from curation.schemas import TABLES, stable_columns
from curation.sealed import Sealed, open_sealed, same_for_all
from curation.spark import columns
from curation.spark.balance import select_rows
from curation.spark.batches import plain, spark_schema
from curation.spark.count import by_language, count_entries, dense
from curation.spark.datacomp import write_pictures
from curation.spark.removals import REMOVED, split_removed
from curation.spark.session import get_session
from curation.spark.stage import KIND, ROW, as_uri, discard_staged, measure, read_table
from curation.stage import Ledger, OpenStage, Record, StageSpec, file_sha256, run_stage

SELECTION = "selection.parquet"  # a folder of Parquet files, a range of pair ids each
DATACOMP = "datacomp.npy"
ROWS_PER_FILE = 1_000_000  # rows a file, about
VERSION = 2  # 2: --datacomp writes the pictures too
_NEEDED = (
    "pair_id", "url", "lang", "entry_ids", "mixed_lang", "mixed_entry_ids", "image_id", "source_image_id",
    "keep_prob_wanted", "coin", "split",
)  # fmt: skip
_FILES = pa.schema(
    [pa.field("file", pa.string()), pa.field("rows", pa.int64()), pa.field("sha256", pa.string())]
)


@dataclass(frozen=True, kw_only=True)
class SelectOptions:
    """What is asked of `curate balance --manifest`, beside [balance]."""

    manifest: Annotated[tuple[Path, ...], tyro.conf.UseAppendAction]
    """A manifest's folder; given again for another crawl's. They must have the same entry lists."""
    out: Path
    """Directory of the selection."""
    seed: int | None = None
    """Another seed: its coin is tossed among what was downloaded. The run's own coin where it is not set."""
    languages: tuple[str, ...] = ()
    """Languages, in the order that decides whose t gives p; the manifest's own where they are not set."""
    removals: tuple[str, ...] = ()
    """Files of what must not be selected, as run.removals."""
    datacomp: bool = False
    """Also write DataComp's form: `datacomp.npy`, the selected pairs, by pair_id as the uid, and `datacomp-pictures.npy`, the
    pictures with a selected caption, by the uid of their samples: the subset that DataComp's resharder takes for our shards.
    """
    rows_per_file: int = ROWS_PER_FILE
    """Rows a file of the selection, about; each file is a range of pair ids."""
    on_existing: OnExisting = "fail"
    """What to do with a selection in `out` that was made with another configuration or input."""

    def __post_init__(self) -> None:
        require(self.rows_per_file > 0, "--rows-per-file", self.rows_per_file, "a number above 0")


def select(options: SelectOptions, section: BalanceSection, spark: SparkSection) -> Record:
    """Make a selection of sealed manifests and commit it; one that is there already and equal is left as it is.

    Raises InputError for what is no manifest, ConfigError for manifests that do not go together, StageError where `out` holds
    something else.
    """
    manifests = sorted(
        (open_sealed(folder.resolve()) for folder in options.manifest), key=lambda item: item.digest
    )
    _require_different(manifests)
    same_for_all(manifests)
    out, removals = options.out.resolve(), load_removals(options.removals)
    if out.name in pipeline.STAGES:
        raise ConfigError(f"--out {options.out} is called as a stage is: choose another name for a selection")
    asked = {"seed": options.seed, "datacomp": options.datacomp, "rows_per_file": options.rows_per_file}
    outside: list[dict[str, Any]] = [
        *({"path": f"manifest {n}", "digest": item.digest} for n, item in enumerate(manifests, 1)),
        {"path": "options"} | asked,
        *removals.external(),
    ]
    run = RunSection(
        path=out.parent, languages=_languages(options, manifests), on_existing=options.on_existing
    )
    config = RunConfig(run=run, balance=replace(section, margin=1.0), spark=spark)
    spec = StageSpec(name=out.name, section="balance", version=VERSION, run_keys=("languages",))
    try:
        return run_stage(
            config, spec, lambda stage: Selecting(stage, options, manifests).run(), externals=outside
        )
    except StageError as error:
        raise StageError(str(error).replace("--path", "--out")) from error


def _require_different(manifests: Sequence[Sealed]) -> None:
    for first, second in pairwise(manifests):
        if first.digest == second.digest:
            raise ConfigError(f"{first.folder} and {second.folder} are one manifest: name it once")


def _languages(options: SelectOptions, manifests: Sequence[Sealed]) -> tuple[str, ...]:
    known = {item.languages for item in manifests if item.languages}
    if options.languages or len(known) == 1:
        return options.languages or known.pop()
    if not known:
        raise ConfigError(
            "no record says which languages the manifest has, and in which order: pass --languages"
        )
    orders = "; ".join(" ".join(languages) for languages in sorted(known))
    raise ConfigError(
        f"the manifests have other languages or another order of them ({orders}): pass --languages"
    )


class Selecting:
    """One selection at work."""

    def __init__(self, stage: OpenStage, options: SelectOptions, manifests: Sequence[Sealed]) -> None:
        self.stage, self.options, self.manifests = stage, options, manifests
        self.spark = get_session(stage.config.spark)

    def run(self) -> None:
        """Write the selection, its sums and what it was made of."""
        pairs = self._pairs()
        rows = by_text_language(pairs)
        counted = count_entries(
            rows.where("split = 'train'").withColumn("keep_prob", F.col("keep_prob_wanted"))
        )
        sizes = _sizes(rows, self.stage.config.run.languages)
        counts = by_language(dense(counted.toArrow(), sizes), weighted=True)
        section, seed = self.stage.config.balance, self._seed()
        select_rows(self.stage, rows, counts, section, seed=seed)
        self._note(seed)
        self._seal()

    def _pairs(self) -> DataFrame:
        """Return the manifests' rows that may be selected or are held out, each pair once; close their sum."""
        removals = load_removals(self.options.removals)
        total, found = 0, None
        for number, item in enumerate(self.manifests):
            rows = read_table(self.spark, item.folder, "manifest", name=MANIFEST).select(*_NEEDED)
            total += rows.count()
            part = without_removed(rows, removals).withColumn("_manifest", F.lit(number))
            found = part if found is None else found.unionByName(part)
        assert found is not None
        left = found.count() if removals else total
        kept, once = left, found
        if len(self.manifests) > 1:
            once = found.transform(each_pair_once).cache()
            kept = once.count()
            self._require_one_coin(once)
        if removals:
            self.stage.notes["removals"] = removals.summary()
        ledger = Ledger(
            unit="manifest rows",
            rows_in=total,
            rows_out=kept,
            merged=left - kept,
            dropped={Reason.REMOVED: total - left},
        )
        self.stage.add(ledger)
        self.chosen = once.select("pair_id", "_manifest")
        return once.withColumn("coin", self._coin()).drop("_manifest", "_coins", "source_image_id")

    def _require_one_coin(self, pairs: DataFrame) -> None:
        other = pairs.where("_coins > 1").count()
        if other:
            raise InputError(
                f"{other} pairs lie in several manifests with another coin in each: their runs had other seeds, and what the "
                f"chance of such a pair was is not known; select from each alone, or give the later run run.earlier"
            )

    def _coin(self) -> Column:
        """Return the coin that is held against keep_prob: below keep_prob_wanted, and uniform there."""
        own = F.col("coin")
        if self.options.seed is None:
            return own
        # A row is here since its own coin was below keep_prob_wanted: that coin stays if it is this seed's. Another coin
        # knows nothing of that: coin < keep_prob / keep_prob_wanted is coin * keep_prob_wanted < keep_prob.
        coin = columns.coin(F.col("pair_id"), self.options.seed, COIN)
        return F.when(coin == own, own).otherwise(coin * F.col("keep_prob_wanted"))

    def _seed(self) -> int:
        """Return the seed of further coins. Raises ConfigError where one is needed and none is known."""
        if self.options.seed is not None:
            return self.options.seed
        known = {item.drawn["seed"] for item in self.manifests if "seed" in item.drawn}
        if len(known) == 1:
            return int(known.pop())
        if self.stage.config.balance.one_caption:
            raise ConfigError(
                "one_caption draws by a coin of its own, and no record says with which seed: pass --seed"
            )
        return 0

    def _note(self, seed: int) -> None:
        self.stage.notes |= {
            "seed": seed,
            "manifests": [
                {
                    "folder": os.path.relpath(item.folder, self.stage.path),
                    "digest": item.digest,
                    "drawn_with": item.drawn,
                }
                for item in self.manifests
            ],
        }

    def _seal(self) -> None:
        """Write the staged rows as published files: a range of pair ids each, sorted, the same bytes on any machine."""
        staged = self.stage.path / "_staged" / f"{KIND}={ROW}"
        staged.mkdir(parents=True, exist_ok=True)
        rows = self.spark.read.schema(spark_schema("selection")).parquet(as_uri(staged))
        total = num_files(rows.count(), self.options.rows_per_file)
        folder, schema = self.stage.path / SELECTION, plain(TABLES["selection"])
        folder.mkdir()

        def write(table: pa.Table) -> pa.Table:
            index = table["file"][0].as_py()
            sha256 = write_sorted_file(folder, index, table.select(schema.names), "selection")
            row = {"file": f"{SELECTION}/{index:05d}.parquet", "rows": table.num_rows, "sha256": sha256}
            return pa.Table.from_pylist([row], schema=_FILES)

        placed = rows.withColumn("file", columns.bucket(F.col("pair_id"), total))
        for row in placed.groupBy("file").applyInArrow(write, spark_schema(_FILES)).orderBy("file").collect():
            self.stage.add_file(row["file"], row["sha256"])
        if not any(folder.glob("*.parquet")):
            empty = pa.Table.from_pylist([], schema=schema)
            self.stage.add_file(
                f"{SELECTION}/00000.parquet", write_sorted_file(folder, 0, empty, "selection")
            )
        discard_staged(self.stage)
        for left in folder.glob(".*.tmp"):
            left.unlink(missing_ok=True)  # of an attempt that was killed
        selection = read_table(self.spark, self.stage.path, "selection", name=SELECTION)
        written, digest = measure(selection, stable_columns("selection"))
        self.stage.add_table("selection", rows=written, digest=digest)
        if self.options.datacomp:
            write_subset(self.stage.path / DATACOMP, selected_ids(folder), self._selected())
            self.stage.add_file(DATACOMP, file_sha256(self.stage.path / DATACOMP))
            removals = load_removals(self.options.removals)
            names = write_pictures(self.stage, self.manifests, self.chosen, selection, removals)
            for note, name in zip(self.stage.notes["manifests"], names, strict=True):
                note["pictures"] = name

    def _selected(self) -> int:
        return next(ledger.rows_out for ledger in self.stage.ledgers if ledger.unit == "selected")


def without_removed(rows: DataFrame, removals: Removals) -> DataFrame:
    """Return the rows of a whole manifest that the removal list does not name."""
    if not removals:
        return rows
    marked = split_removed(rows.select("pair_id", "url", "image_id", "source_image_id"), removals)
    return rows.join(marked.where(F.col(REMOVED).isNotNull()).select("pair_id"), "pair_id", "left_anti")


def each_pair_once(rows: DataFrame) -> DataFrame:
    """Return the rows of several manifests, each pair once, and with the number of its different coins, `_coins`.

    The row of the highest keep_prob_wanted stays, then that of the first manifest: one coin decided all of them, so that a
    pair is here if it was below the highest. What one manifest holds out, the pair or its picture, is held out in all.
    """
    own = Window.partitionBy("pair_id")
    order = own.orderBy(F.desc("keep_prob_wanted"), "_manifest")
    held = F.max(F.col("split") != "train").over(Window.partitionBy("image_id"))
    marked = rows.withColumn("_held", held).withColumns({
        "_held": F.max("_held").over(own), "_coins": F.size(F.collect_set("coin").over(own)),
        "_place": F.row_number().over(order),
    })  # fmt: skip
    split = F.when(F.col("_held"), "heldout").otherwise("train")
    return marked.where("_place = 1").withColumn("split", split).drop("_held", "_place")


def by_text_language(pairs: DataFrame) -> DataFrame:
    """Return a manifest's rows in the form of TABLES["rows"]: a mixed pair has a row in each of its languages.

    lang_score is 1 in the language the text is surer of and 0 in the other: only their order is known any more.
    """
    first = F.struct(F.lit(1.0).alias("lang_score"), F.col("lang"), F.col("entry_ids"))
    second = F.struct(
        F.lit(0.0).alias("lang_score"),
        F.col("mixed_lang").alias("lang"),
        F.col("mixed_entry_ids").alias("entry_ids"),
    )
    mixed = F.col("mixed_lang").isNotNull()
    texts = F.explode(F.when(mixed, F.array(first, second)).otherwise(F.array(first))).alias("text")
    kept = ("pair_id", "url", "image_id", "keep_prob_wanted", "coin", "split")
    return pairs.select(*kept, mixed.alias("mixed"), texts).select(*kept, "mixed", "text.*")


def _sizes(rows: DataFrame, languages: Sequence[str]) -> dict[str, int]:
    """Return by language how many counts there must be: one more than the highest id of any row, those held out among them.

    Raises ConfigError where rows are of a language that is not asked for.
    """
    highest = rows.groupBy("lang").agg(F.max(F.array_max("entry_ids")).alias("highest")).collect()
    found = {str(row["lang"]): int(row["highest"] or 0) + 1 for row in highest}
    others = sorted(set(found) - set(languages))
    if others:
        raise ConfigError(
            f"the manifest has rows in {', '.join(others)}, --languages names {' '.join(languages)}"
        )
    return {lang: found.get(lang, 1) for lang in languages}


def selected_ids(folder: Path) -> Iterator[pa.StringArray]:
    """Yield the ids of a selection's selected pairs, in ascending order, a row group at a time."""
    for path in sorted(folder.glob("*.parquet")):
        file = pq.ParquetFile(path)
        for batch in file.iter_batches(columns=["pair_id", "selected"]):
            yield batch.column("pair_id").filter(batch.column("selected"))
