"""Step "balance": which pairs are wanted, and later which survivors are selected. `curate balance`.

Tables in: matches and counts. Table out: wanted (before the download, with a margin on t), or selection (after
deduplication, on weighted counts). One coin a pair decides both, so that the second choice lies inside the first.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from curation.balance import EXPECTED_UNIT, Thresholds, entry_prob, thresholds
from curation.config import RunConfig
from curation.config_balance import SELECTION_ONLY, BalanceSection
from curation.errors import Reason
from curation.parts import Written, write_part
from curation.schemas import TABLES
from curation.spark.batches import plain
from curation.spark.budget import within_budget
from curation.spark.chances import pair_probs
from curation.spark.count import held_out, load_counts
from curation.spark.parts import map_parts
from curation.spark.session import get_session
from curation.spark.settle import drawn, settle
from curation.spark.stage import adopt, read_table, write_counted
from curation.stage import OpenStage, Record, StageSpec, Tally, run_stage
from curation.wanted import COLUMNS, TEXTS, Toss, from_bytes, to_bytes

Reals = npt.NDArray[np.float64]
SPEC = StageSpec(
    name="balance", section="balance", version=1, reads=("match", "count"),
    run_keys=("languages", "seed", "heldout_share"), ignores=SELECTION_ONLY,
)  # fmt: skip
SPEC_SURVIVORS = StageSpec(
    name="balance-survivors",
    section="balance",
    version=1,
    reads=("dedup", "count-survivors"),
    run_keys=("languages",),
)


def run(config: RunConfig) -> Record:
    """Decide which pairs are downloaded."""
    return run_stage(config, SPEC, _want)


def run_survivors(config: RunConfig) -> Record:
    """Decide which survivors are selected."""
    return run_stage(config, SPEC_SURVIVORS, _select)


def _probs(
    stage: OpenStage,
    rows: DataFrame,
    counts: Mapping[str, Reals],
    section: BalanceSection,
    *,
    seed: int,
    margin: float,
) -> dict[str, Reals]:
    """Return the entry probabilities by language, and note the thresholds that gave them. rows: what a budget is solved on."""
    languages, given = stage.config.run.languages, dict(section.t)
    if section.budget:
        budgeted = within_budget(rows, counts, section, languages, seed=seed, margin=margin)
        stage.notes["budget"] = budgeted.as_json()
        given |= {lang: item.t for lang, item in budgeted.solved.items()}
    found: Thresholds = thresholds(counts, given, languages, budgeted=section.budget)
    stage.notes |= {
        "p": found.p, "t": {lang: str(t) if np.isinf(t) else t for lang, t in found.t.items()},
        "t_given": [lang for lang in found.given if lang not in section.budget], "margin": margin,
    }  # fmt: skip
    return {lang: entry_prob(counts[lang], margin * found.t[lang]) for lang in found.t}


def _want(stage: OpenStage) -> None:
    run, section = stage.config.run, stage.config.balance
    spark = get_session(stage.config.spark)
    counts = load_counts(str(stage.input("count")), weighted=False)
    rows = read_table(spark, stage.input("match"), "matches").where(~held_out(F.col("url"), run))
    probs = _probs(stage, rows, counts, section, seed=run.seed, margin=section.margin)
    tally = _toss(stage, Toss(probs, seed=run.seed, heldout_share=run.heldout_share), spark)
    stage.add(tally.of("pairs"))
    _note_sizes(stage, tally, ("expected", "wanted"))
    stage.notes["held_out_pairs"] = tally.sums.get("held_out", 0)
    stage.notes["wanted_texts"] = {lang: tally.sums.get(f"{TEXTS}/{lang}", 0) for lang in run.languages}


_TOLD = pa.schema([
    pa.field("rows", pa.int64(), nullable=False), pa.field("digest", pa.string(), nullable=False),
    pa.field("tally", pa.string(), nullable=False), pa.field("alone", pa.binary(), nullable=False),
])  # fmt: skip


def _toss(stage: OpenStage, toss: Toss, spark: SparkSession) -> Tally:
    """Write the table wanted, a file a part of matches, and note it; return the tally."""
    folder = stage.path / "wanted"
    folder.mkdir()

    def want(number: int, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        tally, alone = Tally(), list[pa.RecordBatch]()
        written = write_part(toss.wanted(batches, tally, alone), folder, number, "wanted")
        told = {
            "rows": written.rows, "digest": str(written.digest), "tally": tally.to_json(), "alone": to_bytes(alone),
        }  # fmt: skip
        yield pa.RecordBatch.from_pylist([told], schema=_TOLD)

    told = map_parts(spark, stage.input("match") / "matches", COLUMNS, want, _TOLD).collect()
    tally = Tally()
    for row in told:
        tally.add_json(row["tally"])
    rest = toss.rest((batch for row in told for batch in from_bytes(row["alone"])), tally)
    last = Written(0, 0)
    if rest.num_rows or not told:
        last = write_part([rest], folder, len(told), "wanted")
    rows, digest = (sum(int(row[key]) for row in told) for key in ("rows", "digest"))
    stage.add_table("wanted", rows=rows + last.rows, digest=str(digest + last.digest))
    for left in folder.glob(".*.tmp"):
        left.unlink(missing_ok=True)  # of an attempt that was killed
    return tally


def _select(stage: OpenStage) -> None:
    spark = get_session(stage.config.spark)
    counts = load_counts(str(stage.input("count-survivors")), weighted=True)
    rows = read_table(spark, stage.input("dedup"), "rows")
    select_rows(stage, rows, counts, stage.config.balance, seed=stage.config.run.seed)
    adopt(stage, "selection", spark)


def select_rows(
    stage: OpenStage, rows: DataFrame, counts: Mapping[str, Reals], section: BalanceSection, *, seed: int
) -> None:
    """Stage the table selection, for the caller to adopt; add its ledgers and notes. The stage's and `curate balance --manifest`'s.

    rows: of TABLES["rows"], pair_id, lang, lang_score, mixed, entry_ids, keep_prob_wanted, coin, split, url, image_id; the
    coin is below keep_prob_wanted. counts: weighted, by language, float64 (E,). seed: of the coin that draws captions. Of
    the configuration beside `section` only run.languages is read.
    """
    tossed = drawn(rows.where(F.col("split") == "train"), section, seed=seed)
    probs = _probs(stage, tossed, counts, section, seed=seed, margin=1.0)
    pairs = pair_probs(rows, probs, ("keep_prob_wanted", "coin", "split", "image_id", "url"))
    settled = settle(pairs, section, seed=seed)
    schema = plain(TABLES["selection"])

    def count(batches: Iterator[pa.RecordBatch], tally: Tally) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            reason = batch.column("reason")
            names = np.array(reason.to_pylist(), dtype=object)
            wanted_prob, final = (batch.column(n).to_numpy() for n in ("keep_prob_wanted", "keep_prob"))
            tossed = ~np.isin(names.astype(str), (Reason.HELD_OUT, Reason.NOT_CHOSEN))
            small = (batch.column("prob").to_numpy() > wanted_prob) & (names != Reason.HELD_OUT)
            tally.add("margin_too_small", int(small.sum()))
            sizes = {
                "expected": final / wanted_prob / EXPECTED_UNIT,
                "selected": reason.is_null().to_numpy(zero_copy_only=False),
            }
            _tally_by_language(tally, batch, sizes, tossed)
            tally.keep("pairs", batch.num_rows)
            tally.keep("selected", reason.null_count)
            for name in sorted(set(names) - {None}):
                tally.drop("selected", Reason(name), int((names == name).sum()))
            yield pa.RecordBatch.from_arrays(
                [batch.column("pair_id"), batch.column("keep_prob"), reason.is_null()], schema=schema
            )

    _, tally = write_counted(settled, count, stage, "selection", sort_by=["pair_id"])
    for unit in ("pairs", "selected"):
        stage.add(tally.of(unit))
    _note_sizes(stage, tally, ("expected", "selected"))
    stage.notes["margin_too_small_pairs"] = tally.sums.get("margin_too_small", 0)
    stage.notes["not_selected"] = tally.of("selected").as_json()["dropped"]


def _tally_by_language(
    tally: Tally,
    batch: pa.RecordBatch,
    sizes: Mapping[str, npt.NDArray[np.generic]],
    mask_N: npt.NDArray[np.bool_],
) -> None:
    """Add to the sums NAME/LANG the whole numbers of each size over the rows of the mask."""
    lang_N = batch.column("lang").to_numpy(zero_copy_only=False)
    for lang in sorted(set(lang_N)):
        mine_N = mask_N & (lang_N == lang)
        for name, size_N in sizes.items():
            tally.add(f"{name}/{lang}", int(np.rint(size_N[mine_N].astype(np.float64)).sum()))


def _note_sizes(stage: OpenStage, tally: Tally, names: tuple[str, str]) -> None:
    """Note NAME_pairs and, by the language of the surer text, NAME_by_language; the first of the names is in `EXPECTED_UNIT`."""
    for name in names:
        unit = EXPECTED_UNIT if name == names[0] else 1
        sums = {lang: tally.sums.get(f"{name}/{lang}", 0) for lang in stage.config.run.languages}
        stage.notes[f"{name}_pairs"] = round(sum(sums.values()) * unit, 3)
        stage.notes[f"{name}_by_language"] = {lang: round(total * unit, 3) for lang, total in sums.items()}
