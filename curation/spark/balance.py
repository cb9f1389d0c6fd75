"""Step "balance": which pairs are wanted, and later which survivors are selected. `curate balance`.

Tables in: matches and counts. Table out: wanted (before the download, with a margin on t), or selection (after
deduplication, on weighted counts). One coin a pair decides both, so that the second choice lies inside the first.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from curation.balance import COIN, Thresholds, entry_prob, miss_prob, thresholds
from curation.config import RunConfig
from curation.errors import Reason
from curation.ids import coins
from curation.schemas import TABLES
from curation.spark.batches import map_batches, plain
from curation.spark.count import held_out, load_counts
from curation.spark.session import get_session
from curation.spark.stage import adopt, read_table, write_counted
from curation.stage import OpenStage, Record, StageSpec, Tally, run_stage

Reals = npt.NDArray[np.float64]
EXPECTED_UNIT = 2.0**-20  # expected sizes are summed as whole numbers of this
SPEC = StageSpec(
    name="balance", section="balance", version=1, reads=("match", "count"),
    run_keys=("languages", "seed", "heldout_share"),
)  # fmt: skip
SPEC_SURVIVORS = StageSpec(
    name="balance-survivors",
    section="balance",
    version=1,
    reads=("dedup", "count-survivors"),
    run_keys=("languages",),
)


def pair_probs(rows: DataFrame, probs: Mapping[str, Reals], carried: tuple[str, ...]) -> DataFrame:
    """Return (pair_id, carried..., prob): a row a pair, the chance over the entries of all its languages.

    rows: pair_id, lang, mixed, entry_ids and the carried columns, which are equal in a pair's rows. probs: entry probability
    by language, float64 (E,); it goes to the tasks as it is, without a shuffle by entry. Only mixed pairs are shuffled.
    """
    kept = [rows.schema[name] for name in ("pair_id", "lang", "mixed", *carried)]
    schema = pa.schema(
        [*(_arrow_field(field) for field in kept), pa.field("miss", pa.float64(), nullable=False)]
    )

    def misses(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            columns = [batch.column(name) for name in schema.names[:-1]]
            yield pa.RecordBatch.from_arrays([*columns, pa.array(_miss_of(batch, probs))], schema=schema)

    missed = map_batches(rows, misses, schema)
    single = missed.where(~F.col("mixed")).select("pair_id", *carried, "miss")
    # Two factors commute exactly; more are multiplied in order of language.
    ordered = F.transform(F.array_sort(F.collect_list(F.struct("lang", "miss"))), lambda item: item["miss"])
    product = F.aggregate(ordered, F.lit(1.0), lambda total, miss: total * miss)
    first = [F.min(name).alias(name) for name in carried]
    mixed = missed.where("mixed").groupBy("pair_id").agg(*first, product.alias("miss"))
    return single.unionByName(mixed).withColumn("prob", 1.0 - F.col("miss")).drop("miss")


def _arrow_field(field: object) -> pa.Field:
    from pyspark.sql.pandas.types import to_arrow_schema
    from pyspark.sql.types import StructField, StructType

    assert isinstance(field, StructField)
    return to_arrow_schema(StructType([field])).field(0)


def _miss_of(batch: pa.RecordBatch, probs: Mapping[str, Reals]) -> Reals:
    """Return the miss probability of each row of a batch, by the entry probabilities of its language."""
    miss_N = np.ones(batch.num_rows)
    langs = np.array(batch.column("lang").to_pylist(), dtype=object)
    for lang in sorted(set(langs)):
        rows = np.flatnonzero(langs == lang)
        ids = batch.column("entry_ids").take(pa.array(rows))
        offsets = ids.offsets.to_numpy()
        flat = ids.values.to_numpy()
        miss_N[rows] = miss_prob(probs[lang], flat, offsets)
    return miss_N


def run(config: RunConfig) -> Record:
    """Decide which pairs are downloaded."""
    return run_stage(config, SPEC, _want)


def run_survivors(config: RunConfig) -> Record:
    """Decide which survivors are selected."""
    return run_stage(config, SPEC_SURVIVORS, _select)


def _probs(stage: OpenStage, counts: Mapping[str, Reals], margin: float) -> dict[str, Reals]:
    """Return the entry probabilities by language, and note the thresholds that gave them."""
    found: Thresholds = thresholds(counts, stage.config.balance.t, stage.config.run.languages)
    stage.notes |= {
        "p": found.p, "t": {lang: str(t) if np.isinf(t) else t for lang, t in found.t.items()},
        "t_given": list(found.given), "margin": margin,
    }  # fmt: skip
    return {lang: entry_prob(counts[lang], margin * found.t[lang]) for lang in found.t}


def _want(stage: OpenStage) -> None:
    run = stage.config.run
    spark = get_session(stage.config.spark)
    probs = _probs(stage, load_counts(str(stage.input("count")), weighted=False), stage.config.balance.margin)
    matches = read_table(spark, stage.input("match"), "matches")
    pairs = pair_probs(matches, probs, ("url",)).withColumn("held_out", held_out(F.col("url"), run))
    schema = plain(TABLES["wanted"])

    def decide(batches: Iterator[pa.RecordBatch], tally: Tally) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            out = batch.column("held_out").to_numpy(zero_copy_only=False)
            # A held-out picture is fetched whatever it shows: what a model is asked must not depend on the curation.
            prob = np.where(out, 1.0, batch.column("prob").to_numpy())
            coin = coins(batch.column("pair_id").to_pylist(), run.seed, COIN)
            wanted = coin < prob
            tally.add("expected", int(np.rint(prob[~out] / EXPECTED_UNIT).sum()))
            tally.add("held_out", int(out.sum()))
            tally.keep("pairs", int(wanted.sum()))
            tally.drop("pairs", Reason.BALANCED_OUT, int((~wanted).sum()))
            columns = [
                batch.column("pair_id"),
                batch.column("url"),
                pa.array(prob),
                pa.array(coin),
                pa.array(out),
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=schema).filter(pa.array(wanted))

    _, tally = write_counted(pairs, decide, stage, "wanted", sort_by=["pair_id"])
    adopt(stage, "wanted", spark)
    stage.add(tally.of("pairs"))
    stage.notes["expected_pairs"] = round(tally.sums.get("expected", 0) * EXPECTED_UNIT, 3)
    stage.notes["held_out_pairs"] = tally.sums.get("held_out", 0)


def _select(stage: OpenStage) -> None:
    spark = get_session(stage.config.spark)
    probs = _probs(stage, load_counts(str(stage.input("count-survivors")), weighted=True), 1.0)
    rows = read_table(spark, stage.input("dedup"), "rows")
    pairs = pair_probs(rows, probs, ("keep_prob_wanted", "coin", "split"))
    schema = plain(TABLES["selection"])

    def decide(batches: Iterator[pa.RecordBatch], tally: Tally) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            wanted_prob, prob = batch.column("keep_prob_wanted").to_numpy(), batch.column("prob").to_numpy()
            train = np.array(batch.column("split").to_pylist(), dtype=object) == "train"
            final = np.minimum(wanted_prob, prob)
            selected = (batch.column("coin").to_numpy() < final) & train
            tally.add("margin_too_small", int(((prob > wanted_prob) & train).sum()))
            tally.add("expected", int(np.rint((final / wanted_prob)[train] / EXPECTED_UNIT).sum()))
            tally.add("selected", int(selected.sum()))
            tally.keep("pairs", batch.num_rows)
            yield pa.RecordBatch.from_arrays(
                [batch.column("pair_id"), pa.array(final), pa.array(selected)], schema=schema
            )

    _, tally = write_counted(pairs, decide, stage, "selection", sort_by=["pair_id"])
    adopt(stage, "selection", spark)
    stage.add(tally.of("pairs"))
    stage.notes["selected_pairs"] = tally.sums.get("selected", 0)
    stage.notes["expected_pairs"] = round(tally.sums.get("expected", 0) * EXPECTED_UNIT, 3)
    stage.notes["margin_too_small_pairs"] = tally.sums.get("margin_too_small", 0)
