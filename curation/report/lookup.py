"""`curate metadata show TEXT`: whether an entry stands in the lists, where it came from, and what a run counted for it.

Reads the frozen lists (`metadata.lookup`) and, of a run that has them, counts, thresholds and the entry probability. Writes
nothing.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from curation.balance import WEIGHT_UNIT, entry_prob
from curation.config import RunConfig, RunSection
from curation.errors import ConfigError
from curation.report.lists import (
    STAGE,
    line,
    listed_json,
    lists_at,
    new_table,
    number_text,
    quoted,
    sources_text,
)
from curation.report.scan import batches
from curation.runfile import load
from curation.stage import RECORD, Record, locate, read_record
from metadata.lookup import Listed, Lists, Near, find_entry, find_near

# The count of a stage, the thresholds that go with it, the column and its unit, and what the rows are.
_COUNTS = (
    ("count", "balance", "count", 1.0, "matches in the pool"),
    ("count-survivors", "balance-survivors", "weight", WEIGHT_UNIT, "weighted matches of survivors"),
)


@dataclass(frozen=True, kw_only=True)
class ShowOptions:
    """Options of `curate metadata show`."""

    text: Annotated[str, tyro.conf.Positional]
    """The entry to look for, as it would be written in a text."""
    path: Path | None = None
    """A run, the folder of its stage metadata, a file of entries, or `default`; the configuration's run where it is not set."""
    config: Path | None = None
    """The run's TOML file."""
    near: int = 8
    """Near entries shown at the most, where no list has the text."""
    json: bool = False
    """Print JSON instead of a table."""


def main(args: Sequence[str], console: Console) -> int:
    """Run the verb; return the exit status, which is 0 whether the text is found or not."""
    about = "Find an entry and say where it came from; where no list has it, show what is near."
    options = tyro.cli(ShowOptions, prog="curate metadata show", description=about, args=args)
    place = _place(options)
    lists = lists_at(place)
    found = find_entry(lists, options.text)
    facts = {item: list(_facts(place, item)) for item in found}
    near = [] if found else find_near(lists, options.text, options.near)
    if options.json:
        exact = [listed_json(item) | {"counts": facts[item]} for item in found]
        nearby = [listed_json(item.listed) | {"how": item.how} for item in near]
        print(json.dumps({"text": options.text, "found": exact, "near": nearby}, ensure_ascii=False))
        return 0
    if found:
        _print_found(lists, found, facts, console)
    else:
        _print_near(lists, options.text, near, console)
    return 0


def _place(options: ShowOptions) -> Path:
    if options.path is not None:
        return options.path
    config = load(options.config) if options.config else RunConfig()
    place = config.run.path
    if not place.exists():
        raise ConfigError(
            f"there is no run at {place}: pass --path RUN, --path default for the package's own lists, or --config with the run's TOML file"
        )
    return place


def _facts(run: Path, item: Listed) -> Iterator[dict[str, Any]]:
    """Yield, for each count that a run has of this very list, the count, the threshold and the entry probability.

    t: the threshold that was used, the margin before the download included; None before the balance ran.
    """
    inside = run.name == STAGE and (run / RECORD).is_file()
    config = RunConfig(run=RunSection(path=run.parent if inside else run))
    lists = _finished(config, STAGE)
    for counted, balanced, column, unit, what in _COUNTS:
        count, balance = _finished(config, counted), _finished(config, balanced)
        if lists is None or count is None or count.data["inputs"].get(STAGE) != lists.digest:
            continue
        number = _count_of(count.path / "counts", item, column) * unit
        row: dict[str, Any] = {"what": what, "count": number, "t": None, "entry_prob": None}
        if balance is not None and item.lang in balance.notes["t"]:
            t = float(balance.notes["t"][item.lang]) * float(balance.notes["margin"])
            row |= {"t": t, "entry_prob": float(entry_prob([number], t)[0])}
        yield row


def _finished(config: RunConfig, stage: str) -> Record | None:
    place = locate(config, stage)
    return read_record(place) if (place / RECORD).is_file() else None


def _count_of(table: Path, item: Listed, column: str) -> int:
    for batch in batches(table, ["lang", "entry_id", column]):
        for lang, entry_id, count in zip(*(values.to_pylist() for values in batch.columns), strict=True):
            if lang == item.lang and entry_id == item.entry_id:
                return int(count or 0)
    return 0


def _print_found(
    lists: Lists, found: Sequence[Listed], facts: dict[Listed, list[dict[str, Any]]], console: Console
) -> None:
    table = new_table("lang", "id", "entry", "sources and scores", right=("id",))
    for item in found:
        table.add_row(
            item.lang, f"{item.entry_id:,}", escape(quoted(item.entry)), escape(sources_text(item.sources))
        )
    console.print(table)
    for lang in sorted(set(lists) - {item.lang for item in found}):
        line(console, f"  [dim]not in the list of {escape(lang)}[/dim]")
    counted = [(item, row) for item in found for row in facts[item]]
    if counted:
        console.print()
        console.print(_counts_table(counted))


def _counts_table(counted: Iterable[tuple[Listed, dict[str, Any]]]) -> Table:
    numbers = ("count", "t", "entry probability")
    table = new_table("lang", "counted", *numbers, right=numbers)
    for item, row in counted:
        t = "" if row["t"] is None else number_text(row["t"])
        prob = "" if row["entry_prob"] is None else f"{row['entry_prob']:.4f}"
        table.add_row(item.lang, row["what"], number_text(row["count"]), t, prob)
    return table


def _print_near(lists: Lists, text: str, near: Sequence[Near], console: Console) -> None:
    sizes = ", ".join(f"{lang} ({len(own):,})" for lang, own in lists.items())
    line(console, f"no list has {escape(quoted(text))}: looked in {escape(sizes)}")
    if not near:
        return
    table = new_table("near by", "lang", "id", "entry", "sources and scores", right=("id",))
    for how, item in near:
        sources = escape(sources_text(item.sources))
        table.add_row(how, item.lang, f"{item.entry_id:,}", escape(quoted(item.entry)), sources)
    console.print(table)
