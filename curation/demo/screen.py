"""The demo's last screen: a row a stage, what each model retrieves in each language, and where to go from here."""

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from curation import pipeline
from curation.config import RunConfig
from curation.report.tables import reasons_text, shown
from curation.stage import Record

DIRECTIONS = {"image_to_text": "image to text", "text_to_image": "text to image"}
LANGUAGES = {"en": "English", "ko": "Korean"}
SHOWN_REASONS = 2
WIDTH = 80  # columns


def print_screen(
    curated: RunConfig, uncurated: RunConfig, report: Record, seconds: float, console: Console
) -> None:
    """Print the screen: it fits 80 columns."""
    console.print(f"\n[bold]bicurate demo[/bold] [dim]{'-' * (WIDTH - 14)}[/dim]", highlight=False)
    console.print(stage_table(curated))
    console.print()
    console.print(results_table(evaluated(curated), evaluated(uncurated)))
    console.print(_verdict(evaluated(curated), evaluated(uncurated)), highlight=False)
    lines = {
        "report": report.path / "report.html",
        "numbers": curated.run.path / pipeline.SUMMARY,
        "manifest": curated.run.path / "manifest",
    }
    for name, path in lines.items():
        console.print(f"  [dim]{name:<9}[/dim] {escape(shown(path))}", highlight=False, soft_wrap=True)
    console.print(f"  [dim]took[/dim]      {seconds:.0f} s", highlight=False)
    console.print("\nyour own data: fill in a copy of [bold]configs/own.toml[/bold], then")
    console.print("  [bold].venv/bin/curate run --config my.toml[/bold]")


def evaluated(config: RunConfig) -> dict[str, Any]:
    """Return what a run's evaluation found."""
    return pipeline.finished(config)["evaluate"].notes


def stage_table(config: RunConfig) -> Table:
    """Return a row a stage and unit, with its most frequent reasons."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", width=WIDTH)
    table.add_column("stage", no_wrap=True, min_width=17)
    table.add_column("unit", no_wrap=True, min_width=10)
    for name, width in (("in", 7), ("out", 7), ("s", 3)):
        table.add_column(name, justify="right", no_wrap=True, min_width=width)
    table.add_column("left out, mostly for", overflow="ellipsis", no_wrap=True, ratio=1)
    for name, record in pipeline.finished(config).items():
        for position, ledger in enumerate(record.ledgers):
            first = position == 0
            reasons = dict(sorted(ledger["dropped"].items(), key=lambda item: -item[1])[:SHOWN_REASONS])
            merged = {"merged": ledger["merged"]} if ledger["merged"] else {}
            table.add_row(
                name if first else "", ledger["unit"], f"{ledger['in']:,}", f"{ledger['out']:,}",
                f"{record.data['seconds']:.0f}" if first else "", reasons_text(merged | reasons),
            )  # fmt: skip
    return table


def results_table(curated: dict[str, Any], uncurated: dict[str, Any]) -> Table:
    """Return recall and zero-shot accuracy of both models in each language, beside chance."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", width=WIDTH)
    table.add_column("asked about what was held out", no_wrap=True, ratio=1)
    for name in ("items", "curated", "uncurated", "chance"):
        table.add_column(name, justify="right", no_wrap=True, min_width=9)
    for lang, found in curated["retrieval"].items():
        other = uncurated["retrieval"].get(lang)
        for key, words in DIRECTIONS.items():
            for rank in ("R@1", "R@5"):
                values = [found[key][rank], other[key][rank] if other else None, found["chance"][key][rank]]
                name = f"{LANGUAGES.get(lang, lang)}, {words}, {rank}"
                table.add_row(name, f"{found['items']:,}", *map(_percent, values))
    for name, by_lang in curated["zero_shot"].items():
        for lang, found in by_lang.items():
            other = uncurated["zero_shot"].get(name, {}).get(lang)
            values = [found["accuracy"], other["accuracy"] if other else None, found["chance"]]
            table.add_row(
                f"{LANGUAGES.get(lang, lang)}, zero-shot, {found['classes']} {name}", f"{found['items']:,}",
                *map(_percent, values),
            )  # fmt: skip
    return table


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def mean_recall(found: dict[str, Any], rank: str) -> float:
    """Return the mean over languages and directions of a recall."""
    values = [float(langs[key][rank]) for langs in found["retrieval"].values() for key in DIRECTIONS]
    return sum(values) / max(1, len(values))


def _verdict(curated: dict[str, Any], uncurated: dict[str, Any]) -> str:
    ours, theirs = mean_recall(curated, "R@5"), mean_recall(uncurated, "R@5")
    return (
        f"mean R@5: [bold]{100 * ours:.1f} %[/bold] curated, {100 * theirs:.1f} % uncurated, with the same number of pairs "
        f"and steps\n[dim]one seed and a toy web: it shows how to measure, not what to expect[/dim]"
    )
