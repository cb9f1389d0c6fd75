"""The stages in their order, each by its dotted path, and the run of all of them. `curate run`.

Nothing of a stage is imported before it runs: a machine without torch can do everything up to the manifest.
"""

import fcntl
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from curation.config import RunConfig
from curation.config_dedup import weights_of
from curation.errors import ConfigError, InputError, MissingExtraError, StageError
from curation.extras import EXTRAS, missing, missing_network
from curation.stage import RECORD, Record, locate, read_record, write_atomically
from metadata.plan import check_extra

SUMMARY = "summary.json"
REPORT = "report"  # the stage that only shows what is there
OWN_PROGRESS = {"download", "metadata"}  # they show their own: in addresses, and only where Spark works


@dataclass(frozen=True)
class Stage:
    """A stage: where its code is and what it says of itself."""

    path: str
    """Dotted path of its function, as module:function."""
    section: str | None
    """Its section of the configuration."""
    help: str
    """One line for the command line."""
    needs: tuple[str, ...] = ()
    """Modules that only an extra installs."""


STAGES: dict[str, Stage] = {
    "extract": Stage("curation.spark.extract:run", "extract", "WAT files or Parquet pools into pairs of address and text"),
    "metadata": Stage("curation.spark.metadata:run", "metadata", "freeze the entry lists: given ones, the default, or built from dumps and WordNet"),
    "match": Stage("curation.spark.match:run", "match", "clean the texts, tell their language, find the entries they name"),
    "count": Stage("curation.spark.count:run", None, "count the matches of each entry"),
    "balance": Stage("curation.spark.balance:run", "balance", "choose what to download: cap the head, keep the tail"),
    "download": Stage("curation.spark.download:run", "download", "fetch the pictures, guarded; every address gets an outcome"),
    "embed": Stage("curation.spark.embed:run", "embed", "compute the descriptors of the pictures"),
    "neighbours": Stage("curation.spark.neighbours:run", "neighbours", "search the near pairs of pictures, and measure what the search missed", ("faiss",)),
    "dedup": Stage("curation.spark.dedup:run", "dedup", "keep one of each group of near pictures; survivors inherit the captions"),
    "count-survivors": Stage("curation.spark.count:run_survivors", None, "count again on what survived, weighted"),
    "balance-survivors": Stage("curation.spark.balance:run_survivors", "balance", "select among the survivors"),
    "manifest": Stage("curation.spark.manifest:run", "manifest", "seal the survivors: manifest and shards"),
    "train": Stage("trainer.train:run", "train", "train a bilingual contrastive model on the selection", ("torch", "tokenizers")),
    "evaluate": Stage("trainer.evaluate:run", "evaluate", "retrieval and classification in each language, on what was held out", ("torch", "tokenizers")),
    "report": Stage("curation.report.html:run", "report", "one page to look at: report.html", ("matplotlib", "jinja2")),
}  # fmt: skip


def run_one(config: RunConfig, name: str) -> Record:
    """Run a stage by its name. Raises MissingExtraError that says what to install where a library is missing."""
    config = absolute(config)
    _require_run(config, name)
    module, _, function = STAGES[name].path.partition(":")
    try:
        run: Callable[[RunConfig], Record] = getattr(import_module(module), function)
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        raise _missing(name, error.name) from error
    with _alone(config.run.path), _progress(name):
        return run(config)


def _require_run(config: RunConfig, name: str) -> None:
    """Raise InputError where the report is asked of a path that holds nothing to report on, before anything is made there."""
    if name == REPORT and not finished(config).keys() - {REPORT}:
        place = "holds no finished stage of a run" if config.run.path.is_dir() else "is not there"
        raise InputError(
            f"{config.run.path} {place}; give the run's directory, the one that holds extract/ and the others"
        )


def absolute(config: RunConfig) -> RunConfig:
    """Return the configuration with the run's paths made absolute, since tasks work in directories of their own."""
    parent = config.run.parent.resolve() if config.run.parent else None
    path = config.run.path.resolve()
    log = config.spark.log or path / "spark.log"
    return replace(
        config, run=replace(config.run, path=path, parent=parent), spark=replace(config.spark, log=log)
    )


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a run's directory against a second process, which would take a stage at work for the rest of a killed one."""
    if os.environ.get("RANK", "0") != "0":  # under torchrun the first process holds it for all
        yield
        return
    path.mkdir(parents=True, exist_ok=True)
    with (path / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StageError(
                f"another process is at work on {path}: wait for it, or choose another --path"
            ) from None
        yield


def check_extras(config: RunConfig, until: str | None) -> None:
    """Raise, before anything runs, for what a stage up to `until` lacks.

    MissingExtraError for a module that an extra installs, torch for a network that describes pictures among them; InputError where
    that network's file is not there.
    """
    for name, stage in STAGES.items():
        if name == "embed" and weights_of(config.embed.kind) and find_spec("torch") is None:
            raise missing_network()
        for module in stage.needs:
            if find_spec(module) is None:
                raise _missing(name, module)
        if name == until:
            return


def _missing(stage: str, module: str) -> MissingExtraError:
    return missing(f"stage {stage!r}", module, more="--until ends a run before that stage")


def _progress(name: str) -> AbstractContextManager[None]:
    """Show the tasks of a Spark stage."""
    if not STAGES[name].path.startswith("curation.spark.") or name in OWN_PROGRESS:
        return nullcontext()
    watch: Callable[[str], AbstractContextManager[None]] = import_module("curation.spark.progress").watch
    return watch(name)


def check_until(until: str | None) -> None:
    """Raise ConfigError where no stage has that name."""
    if until is not None and until not in STAGES:
        raise ConfigError(f"no stage is called {until!r}; there are {', '.join(STAGES)}")


def run_all(config: RunConfig, *, until: str | None = None) -> Iterator[Record]:
    """Run the stages in their order, skipping what is done; yield each one's record; write the summary after each."""
    check_until(until)
    check_extras(config, until)
    if until != next(iter(STAGES)):  # before the hours of extract
        check_extra(config.metadata, config.run.languages)
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
