"""Step "match" on Spark. Table in: pairs. Table out: matches. `curate match`.

The frozen lists go to the executors as files named by their sha256; each worker process builds its automata once.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark import SparkFiles
from pyspark.sql import DataFrame, SparkSession

from curation.config import MatchSection, RunConfig, RunSection
from curation.earlier import EarlierRun, earlier_runs, externals
from curation.errors import InputError, Reason
from curation.language import language_identifier
from curation.match import READ, PairMatcher, load_matcher
from curation.schemas import TABLES
from curation.spark.batches import plain
from curation.spark.session import get_session
from curation.spark.stage import adopt, read_table, write_counted
from curation.stage import OpenStage, Record, StageSpec, Tally, file_identity, run_stage
from metadata.entries import EntryList, frozen_lists

SPEC = StageSpec(
    name="match", section="match", version=1, reads=("extract", "metadata"), run_keys=("languages", "seed")
)


def run(config: RunConfig) -> Record:
    """Match the texts of the extracted pairs."""
    model = config.match.lid_model
    if model is not None and not model.is_file():
        raise InputError(
            f"the language model {model} is not there; leave match.lid_model out for the bundled one"
        )
    earlier = earlier_runs(config)
    outside: list[dict[str, Any]] = [*([file_identity(model)] if model else [])]
    outside += externals([run.match for run in earlier])
    return run_stage(config, SPEC, lambda stage: _match(stage, earlier), externals=outside)


def unseen(pairs: DataFrame, earlier: Sequence[EarlierRun]) -> DataFrame:
    """Return the pairs that no earlier run has matched."""
    for run in earlier:
        matched = read_table(pairs.sparkSession, run.match.path, "matches").select("pair_id")
        pairs = pairs.join(matched, "pair_id", "left_anti")
    return pairs


def _match(stage: OpenStage, earlier: Sequence[EarlierRun]) -> None:
    config = stage.config
    spark = get_session(config.spark)
    lists = frozen_lists(stage.inputs["metadata"])
    pairs = unseen(read_table(spark, stage.input("extract"), "pairs").select(*READ), earlier)
    shipped = ShippedMatcher.ship(spark, config, lists)
    schema = plain(TABLES["matches"])

    def match(batches: Iterator[pa.RecordBatch], tally: Tally) -> Iterator[pa.RecordBatch]:
        matcher = shipped.open()
        for lang, engine in matcher.engines.items():
            tally.add(f"engine/{lang}/{engine}", 1)
        for batch in batches:
            yield matcher.match_pairs(batch, schema, tally)

    keep_dropped = config.match.keep_dropped
    _, tally = write_counted(
        pairs, match, stage, "matches", sort_by=["pair_id", "lang"], keep_dropped=keep_dropped
    )
    adopt(stage, "matches", spark)
    if earlier:
        seen = int(stage.inputs["extract"].data["tables"]["pairs"]["rows"]) - tally.of("pairs").rows_in
        tally.drop("pairs", Reason.MATCHED_EARLIER, seen)
        stage.notes["earlier"] = [run.note() for run in earlier]
    stage.add(tally.of("pairs"))
    stage.notes |= {"detectors": _sums(tally, "detector/"), "rows": _sums(tally, "rows/")}
    stage.notes["asked"] = _sums(tally, "asked/")
    identifier = language_identifier(config.run.languages, config.match.lid_model)
    stage.notes["lid_model_sha256"] = identifier.model_sha256
    stage.notes["engine"] = _engines(tally)
    stage.notes["lists"] = {lang: item.sha256 for lang, item in lists.items()}


def _sums(tally: Tally, prefix: str) -> dict[str, int]:
    return {
        name.removeprefix(prefix): tally.sums[name] for name in sorted(tally.sums) if name.startswith(prefix)
    }


def _engines(tally: Tally) -> dict[str, str]:
    """Return the engine that the executors' tasks matched each language by; more than one where their machines differ."""
    used: dict[str, list[str]] = {}
    for name in _sums(tally, "engine/"):
        lang, _, engine = name.partition("/")
        used.setdefault(lang, []).append(engine)
    return {lang: ", ".join(engines) for lang, engines in used.items()}


@dataclass(frozen=True)
class ShippedMatcher:
    """What a worker process makes its matcher from: names of files that Spark brought to it, and settings."""

    run: RunSection
    section: MatchSection
    lists: Mapping[str, tuple[str, str]]
    """File name and sha256 of the frozen list, by language."""
    model: str | None

    @classmethod
    def ship(cls, spark: SparkSession, config: RunConfig, lists: Mapping[str, EntryList]) -> "ShippedMatcher":
        """Hand the files to Spark."""
        model = config.match.lid_model
        for path in (*(item.path for item in lists.values()), *([model] if model else [])):
            spark.addArtifact(str(path), file=True)
        names = {lang: (item.path.name, item.sha256) for lang, item in lists.items()}
        return cls(config.run, config.match, names, model.name if model else None)

    def open(self) -> PairMatcher:
        """Return this process's matcher; its parts are built once a process."""
        section = self.section
        identifier = language_identifier(
            self.run.languages,
            model_path=Path(SparkFiles.get(self.model)) if self.model else None,
            min_score=section.lid_min_score,
            langdetect_share=section.langdetect_share,
            seed=self.run.seed,
        )
        matchers = {
            lang: load_matcher(
                Path(SparkFiles.get(name)),
                sha256,
                lang=lang,
                mode=section.mode_of(lang),
                engine=section.engine,
                fold_case=section.fold_case.get(lang, False),
            )
            for lang, (name, sha256) in self.lists.items()
        }
        return PairMatcher(identifier, matchers, min_chars=section.min_chars, max_chars=section.max_chars)
