"""Stage `dedup`: near-duplicates to one picture with all their captions.

Reads `edges`, `identical` and `vectors` (neighbours), `descriptors` (embed), `outcomes` (download), `wanted` (balance) and `matches`
(match). Thresholds, ranks and rules apply here, so that others need no new search. Writes `groups`, a row a described picture;
`rows`, the captions of the survivors; and `index`, which a later crawl is compared with; against such an index also
`rows_earlier`. Run: `curate dedup`, or `spark-submit jobs/dedup.py`.
"""

import shutil
from collections import Counter
from collections.abc import Sequence
from functools import partial

from pyspark.sql import DataFrame, SparkSession

from curation.config import RunConfig
from curation.dedup.groups import Rule
from curation.dedup.holdout import HoldoutSet, find_sets
from curation.dedup.index import Index, check_same, check_searched, check_settings, externals, open_chain
from curation.dedup.kinds import settled
from curation.errors import ConfigError, Reason
from curation.spark import members as fate
from curation.spark.against import members_of, without_members
from curation.spark.captions import write_rows
from curation.spark.classes import best_of_class, late, ranked, vertices, without
from curation.spark.groups import settle
from curation.spark.holdout import near_holdout
from curation.spark.index import write_index
from curation.spark.neighbours import chosen_device
from curation.spark.session import get_session
from curation.spark.stage import read_table, write_table, written_once
from curation.stage import RECORD, Ledger, OpenStage, Record, StageSpec, locate, read_record, run_stage

SPEC = StageSpec(
    name="dedup", section="dedup", version=3, reads=("match", "balance", "download", "embed", "neighbours")
)
_PICTURES = (
    "image_id string, representative string, pixels long, captions long, bytes long, holdout string, "
    "holdout_near string, holdout_cosine double"
)
SCRATCH = "_scratch"  # of the stage, while it works
_CLASSES = "representative string, image_id string, pixels long, captions long, bytes long, pictures long"


def run(config: RunConfig) -> Record:
    """Run the stage.

    Raises ConfigError for a threshold below the search's floor, and for indexes that are no chain, or of another kind or rule;
    InputError for an index or an evaluation set that is not there.
    """
    config = settled(config)
    check_threshold(config)
    chain = open_chain(config.neighbours.against)
    check_settings(chain, config.dedup)
    sets = find_sets(config.dedup.holdout)
    outside = [*externals(chain), *(one.external() for one in sets)]
    return run_stage(config, SPEC, partial(_dedup, chain=chain, sets=sets), externals=outside)


def check_threshold(config: RunConfig) -> None:
    """Raise ConfigError where the search, as it is done, kept no pair down to the threshold."""
    place = locate(config, "neighbours")
    if not (place / RECORD).is_file():
        return
    floor, threshold = float(read_record(place).notes["search"]["floor"]), config.dedup.settled_threshold
    if threshold < floor:
        raise ConfigError(
            f"dedup.threshold is {threshold}, and the search kept pairs from neighbours.floor {floor} on: "
            f"raise the threshold to {floor} or more, or set neighbours.floor to {threshold} or less, which searches again"
        )


def _dedup(stage: OpenStage, *, chain: Sequence[Index], sets: Sequence[HoldoutSet]) -> None:
    spark, section = get_session(stage.config.spark), stage.config.dedup
    scratch = stage.path / SCRATCH
    search, kind = (stage.inputs["neighbours"].notes[name] for name in ("search", "kind"))
    check_same(chain, {"kind_sha256": kind["sha256"], "centroids_sha256": search["centroids_sha256"]})
    check_searched(chain, stage.inputs["neighbours"].data.get("externals", []))
    described = read_table(spark, stage.input("embed"), "descriptors")
    members = members_of(spark, chain)
    pictures = _pictures(spark, stage, without_members(described, chain), sets)
    stands = pictures.where("holdout IS NULL")
    classes = written_once(best_of_class(stands, section.rank), _CLASSES, scratch / "classes")
    edges = late(
        read_table(spark, stage.input("neighbours"), "edges"),
        section.settled_threshold,
        search["agreement_bound"],
    )
    gone = pictures.where("holdout IS NOT NULL")
    if sets:
        edges = without(edges, gone)
    graph = vertices(edges, classes, members, section.rank, scratch)
    settled, how = settle(graph, section.rule, scratch, driver_edges=section.driver_edges)
    groups = fate.standing(stands, classes, fate.fates(graph, settled, members))
    groups = groups.unionByName(fate.near_evaluation(gone))
    held = None
    if members is not None:
        seen = fate.seen_before(described, members)
        groups, held = groups.unionByName(seen), fate.held_in_index(graph, settled, members, seen)
    written = write_table(groups, stage, "groups", sort_by=["image_id"])
    _close(stage, written)
    stage.notes["groups"] |= how | {"near_pairs": graph.num_pairs} | fate.sizes(written)
    held_now = write_rows(spark, stage, written, held)
    write_index(stage, written, pictures, classes=classes, held=held_now, chain=chain)
    shutil.rmtree(scratch)


def _pictures(spark: SparkSession, stage: OpenStage, new: DataFrame, sets: Sequence[HoldoutSet]) -> DataFrame:
    """Return the pictures that no earlier crawl had, with what they are ranked by and the evaluation set that is near."""
    keys = ranked(
        new,
        read_table(spark, stage.input("neighbours"), "identical"),
        read_table(spark, stage.input("download"), "outcomes"),
        read_table(spark, stage.input("balance"), "wanted"),
        stage.config.dedup.rank,
    )
    device = chosen_device(spark, stage.config.neighbours.device) if sets else "cpu"
    near = near_holdout(stage, new, sets, stage.path / SCRATCH / "holdout", device=device)
    near = near.withColumnRenamed("near", "holdout_near")
    columns = [*keys.columns, "holdout", "holdout_near", "holdout_cosine"]
    found = keys.join(near, "image_id", "left").select(*columns)
    return written_once(found, _PICTURES, stage.path / SCRATCH / "pictures")


def _close(stage: OpenStage, groups: DataFrame) -> None:
    """Close the sum of `images`: survivors, those near an evaluation set, those that joined an earlier crawl's, and the merged."""
    rules: Counter[str] = Counter()
    sums: Counter[str] = Counter()
    for row in groups.groupBy("rule", "survivor", "in_index").count().collect():
        rule, pictures = str(row["rule"]), int(row["count"])
        rules[rule] += pictures
        here = "out" if row["survivor"] else Reason.EARLIER_PICTURE if row["in_index"] else "merged"
        sums[Reason.HOLDOUT if rule == Rule.HOLDOUT else here] += pictures
    dropped: dict[str, int] = {reason: sums[reason] for reason in (Reason.HOLDOUT, Reason.EARLIER_PICTURE)}
    total, out, merged = sum(sums.values()), sums["out"], sums["merged"]
    stage.add(Ledger(unit="images", rows_in=total, rows_out=out, dropped=dropped, merged=merged))
    stage.notes["groups"] = {"rules": dict(sorted(rules.items()))}
