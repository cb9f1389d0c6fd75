"""Stage `report`: one page to look at. In: every finished stage. Out: RUN/report/report.html, and beside it the data card and Croissant. `curate report`.

The page is one file: no script, no address is opened, curves are inline SVG. Stages that are not there are named as absent.
A report costs seconds and is derived from the rest, so an outdated one is made again without being asked.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from curation import pipeline
from curation.canonical import sha256_json
from curation.config import RunConfig
from curation.extras import missing
from curation.removal_files import load_removals
from curation.removals import Removals
from curation.report import facts, publish
from curation.report.sections import gather
from curation.report.visible import visible
from curation.stage import OpenStage, Record, StageSpec, file_sha256, read_record, run_stage, write_atomically

SPEC = StageSpec(name="report", section="report", version=3, run_keys=("languages", "seed"))
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
    removals = load_removals(config.run.removals)
    externals += publish.external(config) + removals.external()
    remade = replace(config, run=replace(config.run, on_existing="overwrite"))
    return run_stage(remade, SPEC, lambda stage: _write(stage, records, other, removals), externals=externals)


def _compared(config: RunConfig) -> Record | None:
    """Return the evaluation of the run to compare with. Raises StageError where that run has none."""
    return read_record(config.report.compare / "evaluate") if config.report.compare else None


def _write(stage: OpenStage, records: Mapping[str, Record], other: Record | None, removals: Removals) -> None:
    template = _template()
    context = gather(stage.config, records, other, removals)
    page = template.render(context)
    write_atomically(stage.path / PAGE, page)
    stage.add_file(PAGE, file_sha256(stage.path / PAGE))
    for name, text in publish.pages(stage.config, records).items():
        write_atomically(stage.path / name, text)
        stage.add_file(name, file_sha256(stage.path / name))
    alarms = [alarm["lang"] for alarm in context["languages"]["alarms"]]
    stage.notes |= {
        "stages": list(records), "bytes": len(page.encode()), "hangul_font": context["hangul_font"], "alarms": alarms,
    }  # fmt: skip


def render(config: RunConfig, records: Mapping[str, Record], other: Record | None = None) -> str:
    """Return the page as text. other: the evaluation of a run to compare with. Raises MissingExtraError."""
    template = _template()  # before the tables are read: jinja2 may be missing
    return str(template.render(gather(config, records, other, load_removals(config.run.removals))))


def _template() -> Any:
    try:
        import jinja2
    except ModuleNotFoundError as error:
        raise missing("the report", "jinja2") from error
    loader = jinja2.PackageLoader("curation.report", "templates")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "number": facts.number, "percent": facts.percent, "language": facts.name_of, "visible": visible, "seconds": facts.seconds,
    }  # fmt: skip
    return environment.get_template(PAGE)
