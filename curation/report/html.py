"""Stage `report`: one page to look at. In: every finished stage. Out: RUN/report/report.html. `curate report`.

The page is one file: no script, no address is opened, curves are inline SVG. Stages that are not there are named as absent.
A report costs seconds and is derived from the rest, so an outdated one is made again without being asked.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from curation import pipeline
from curation.canonical import sha256_json
from curation.config import RunConfig
from curation.errors import MissingExtraError
from curation.report import duplicates, facts, flow, plots, training
from curation.report.entries import EntryCounts, entry_counts, examples, overview, shares
from curation.stage import OpenStage, Record, StageSpec, file_sha256, read_record, run_stage, write_atomically

SPEC = StageSpec(name="report", section="report", version=1, run_keys=("languages", "seed"))
PAGE = "report.html"


def run(config: RunConfig) -> Record:
    """Write the page, unless it is there and nothing it shows has changed."""
    records = {name: record for name, record in pipeline.finished(config).items() if name != SPEC.name}
    other = _compared(config)
    externals: list[dict[str, Any]] = [
        {"stage": name, "record": sha256_json(record.data), "run": record.path.parent.name}
        for name, record in records.items()
    ]
    if other:
        externals.append({"compared": config.report.compare.name, "record": sha256_json(other.data)})  # type: ignore[union-attr]
    remade = replace(config, run=replace(config.run, on_existing="overwrite"))
    return run_stage(remade, SPEC, lambda stage: _write(stage, records, other), externals=externals)


def _compared(config: RunConfig) -> Record | None:
    """Return the evaluation of the run to compare with. Raises StageError where that run has none."""
    return read_record(config.report.compare / "evaluate") if config.report.compare else None


def _write(stage: OpenStage, records: Mapping[str, Record], other: Record | None) -> None:
    page = render(stage.config, records, other)
    write_atomically(stage.path / PAGE, page)
    stage.add_file(PAGE, file_sha256(stage.path / PAGE))
    stage.notes |= {"stages": list(records), "bytes": len(page.encode())}


def render(config: RunConfig, records: Mapping[str, Record], other: Record | None = None) -> str:
    """Return the page as text. other: the evaluation of a run to compare with. Raises MissingExtraError."""
    counts = entry_counts(records, config.run.languages)
    context = {
        "about": _about(config, records, counts), "stages": flow.stage_rows(records),
        "captions": flow.caption_flow(records, config.run.languages), "pictures": flow.picture_flow(records),
        "entries": [_entries_of(config, records["metadata"], each) for each in counts.values()],
        "duplicates": _duplicates(config, records), "training": _training(config, records, other),
        "sources": _sources(config, records),
    }  # fmt: skip
    return str(_template().render(context))


def _template() -> Any:
    try:
        import jinja2
    except ModuleNotFoundError as error:
        raise MissingExtraError("the report needs jinja2: pip install 'bicurate[report]'") from error
    loader = jinja2.PackageLoader("curation.report", "templates")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": facts.number, "percent": facts.percent, "language": facts.name_of}
    return environment.get_template(PAGE)


def _about(
    config: RunConfig, records: Mapping[str, Record], counts: Mapping[str, EntryCounts]
) -> dict[str, Any]:
    languages = config.run.languages
    return {
        "name": config.run.path.resolve().name, "languages": languages, "seed": config.run.seed,
        "heldout_share": config.run.heldout_share, "parent": config.run.parent and config.run.parent.resolve().name,
        "headline": facts.headline(records, languages), "thresholds": facts.thresholds(records, languages),
        "balance": records["balance"].notes if "balance" in records else None, "lists": facts.lists(config, records),
        "versions": facts.versions(records),
        "absent": [name for name in pipeline.STAGES if name not in records and name != SPEC.name],
        "limits": facts.limits(config, records, counts),
    }  # fmt: skip


def _entries_of(config: RunConfig, metadata: Record, counts: EntryCounts) -> dict[str, Any]:
    return {
        "lang": counts.lang, "t": facts.threshold(counts.t), "overview": overview(counts), "shares": shares(counts),
        "examples": examples(metadata, counts, config.report.max_entries, config.run.seed),
        "cumulative": _svg(plots.cumulative_plot(counts.pool, counts.t, counts.lang)),
        "rank": _svg(plots.rank_plot(counts.pool, counts.selected, counts.t, counts.lang)),
    }  # fmt: skip


def _duplicates(config: RunConfig, records: Mapping[str, Record]) -> dict[str, Any] | None:
    if "dedup" not in records:
        return None
    dedup = records["dedup"]
    sizes, shown = duplicates.families(dedup, config.report.max_examples)
    duplicates.add_captions(dedup, shown)
    if "download" in records:
        duplicates.add_thumbnails(records["download"], shown)
    ledger = flow.ledger_of(records, "dedup", "captions")
    return {
        "sizes": sizes, "families": shown, "largest": max((row["families"] for row in sizes), default=0),
        "captions": ledger, "inherited": dedup.notes.get("captions", {}).get("inherited"),
        "threshold": dedup.data["config"].get("threshold"),
    }  # fmt: skip


def _training(config: RunConfig, records: Mapping[str, Record], other: Record | None) -> dict[str, Any]:
    languages = config.run.languages
    found = records["evaluate"].notes if "evaluate" in records else None
    theirs = other.notes if other else None
    metrics = training.read_metrics(records["train"].path / training.METRICS) if "train" in records else []
    return {
        "settings": training.summary_of(records["train"]) if "train" in records else {},
        "loss": _svg(plots.loss_plot(metrics, languages)) if metrics else None, "last": metrics[-1] if metrics else None,
        "evaluated": found is not None, "compared": config.report.compare.name if config.report.compare else None,
        "items": {lang: part["items"] for lang, part in found["retrieval"].items()} if found else {},
        "retrieval": training.retrieval_rows(found, theirs, languages) if found else [],
        "zero_shot": training.zero_shot_rows(found, theirs, languages) if found else [],
    }  # fmt: skip


def _svg(text: str) -> Any:
    """Return our own SVG as text that the template does not escape."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - made by matplotlib from numbers and language codes


def _sources(config: RunConfig, records: Mapping[str, Record]) -> list[dict[str, str]]:
    """Return, for each finished stage, where its record and tables lie: relative to the run, or to the parent's name."""
    own = config.run.path
    rows = []
    for name, record in records.items():
        place = name if record.path.parent == own else f"{record.path.parent.resolve().name}/{name}"
        what = [f"{table} ({note['rows']:,} rows)" for table, note in record.data["tables"].items()]
        rows.append(
            {
                "stage": name,
                "place": f"{place}/_stage.json",
                "tables": ", ".join(what),
                "digest": record.digest[:16],
            }
        )
    return rows
