"""The stages in their order, each by its dotted path, and the run of all of them. `curate run`.

Nothing of a stage is imported before it runs: a machine without torch can do everything up to the manifest.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

from curation.config import RunConfig
from curation.errors import ConfigError, MissingExtraError
from curation.stage import RECORD, Record, locate, read_record, write_atomically

SUMMARY = "summary.json"


@dataclass(frozen=True)
class Stage:
    """A stage: where its code is and what it says of itself."""

    path: str
    """Dotted path of its function, as module:function."""
    section: str | None
    """Its section of the configuration."""
    help: str
    """One line for the command line."""


STAGES: dict[str, Stage] = {
    "extract": Stage("curation.spark.extract:run", "extract", "WAT files or Parquet pools into pairs of address and text"),
    "metadata": Stage("metadata.entries:run", "metadata", "given entry lists into the frozen form"),
    "match": Stage("curation.spark.match:run", "match", "clean the texts, tell their language, find the entries they name"),
    "count": Stage("curation.spark.count:run", None, "count the matches of each entry"),
    "balance": Stage("curation.spark.balance:run", "balance", "choose what to download: cap the head, keep the tail"),
    "download": Stage("curation.spark.download:run", "download", "fetch the pictures, guarded; every address gets an outcome"),
    "embed": Stage("curation.spark.embed:run", "embed", "compute the descriptors of the pictures"),
    "dedup": Stage("curation.spark.dedup:run", "dedup", "find copies and near-duplicates; survivors inherit the captions"),
    "count-survivors": Stage("curation.spark.count:run_survivors", None, "count again on what survived, weighted"),
    "balance-survivors": Stage("curation.spark.balance:run_survivors", "balance", "select among the survivors"),
    "manifest": Stage("curation.spark.manifest:run", "manifest", "seal the survivors: manifest and shards"),
    "train": Stage("trainer.train:run", "train", "train a bilingual contrastive model on the selection"),
    "evaluate": Stage("trainer.evaluate:run", "evaluate", "retrieval and classification in each language, on what was held out"),
    "report": Stage("curation.report.html:run", "report", "one page to look at: report.html"),
}  # fmt: skip


def run_one(config: RunConfig, name: str) -> Record:
    """Run a stage by its name. Raises MissingExtraError that says what to install where a library is missing."""
    if config.spark.log is None:
        config = replace(config, spark=replace(config.spark, log=config.run.path / "spark.log"))
    module, _, function = STAGES[name].path.partition(":")
    try:
        run: Callable[[RunConfig], Record] = getattr(import_module(module), function)
    except ModuleNotFoundError as error:
        raise _missing(name, error) from error
    with _progress(name):
        try:
            return run(config)
        except ModuleNotFoundError as error:
            raise _missing(name, error) from error


def _missing(stage: str, error: ModuleNotFoundError) -> Exception:
    extras = {
        "torch": "train",
        "tokenizers": "train",
        "faiss": "cpu",
        "matplotlib": "report",
        "jinja2": "report",
    }
    extra = extras.get((error.name or "").partition(".")[0])
    if extra is None:
        return error
    return MissingExtraError(f"stage {stage!r} needs {error.name!r}: pip install 'bicurate[{extra}]'")


def _progress(name: str) -> AbstractContextManager[None]:
    """Show the tasks of a Spark stage; download shows its own, in addresses."""
    if not STAGES[name].path.startswith("curation.spark.") or name == "download":
        return nullcontext()
    watch: Callable[[str], AbstractContextManager[None]] = import_module("curation.spark.progress").watch
    return watch(name)


def run_all(config: RunConfig, *, until: str | None = None) -> Iterator[Record]:
    """Run the stages in their order, skipping what is done; yield each one's record; write the summary after each."""
    if until is not None and until not in STAGES:
        raise ConfigError(f"no stage is called {until!r}; there are {', '.join(STAGES)}")
    for name in STAGES:
        record = run_one(config, name)
        write_summary(config)
        yield record
        if name == until:
            return


def finished(config: RunConfig) -> dict[str, Record]:
    """Return the records of the stages that are done, in their order; a parent's where the run has none of its own."""
    places = {name: locate(config, name) for name in STAGES}
    return {name: read_record(place) for name, place in places.items() if (place / RECORD).is_file()}


def summary(config: RunConfig) -> dict[str, Any]:
    """Return what a person or a check asks first: a row a stage and, under `evaluate`, what the model retrieves."""
    records = finished(config)
    stages = [
        {"stage": name, "ledgers": record.ledgers, "seconds": record.data["seconds"], "notes": record.notes}
        for name, record in records.items()
        if name != "evaluate"
    ]
    evaluated = records["evaluate"].notes if "evaluate" in records else None
    return {"run": config.run.path.name, "stages": stages, "evaluate": evaluated}


def write_summary(config: RunConfig) -> None:
    """Write `RUN/summary.json`."""
    config.run.path.mkdir(parents=True, exist_ok=True)
    write_atomically(
        config.run.path / SUMMARY, json.dumps(summary(config), indent=1, ensure_ascii=False) + "\n"
    )


@contextmanager
def stopped_sessions() -> Iterator[None]:
    """Stop a local Spark session that the block started, so that a command returns its memory at once."""
    loaded = sys.modules.get("curation.spark.session")
    before = loaded is not None and loaded.is_running()
    try:
        yield
    finally:
        loaded = sys.modules.get("curation.spark.session")
        if loaded is not None and not before:
            loaded.stop_local()
