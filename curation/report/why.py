"""`curate why PAIR_ID|URL|TEXT`: the life of one pair through every stage of a run, with the numbers that decided. Writes nothing.

Of a pair that a removal list names, ids and decisions are told, and neither its text nor its address.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from curation.audit.files import RunFiles
from curation.audit.find import Pair, find_dropped, find_pairs
from curation.audit.life import LEFT, NOT_RUN, Life, Step, life_of
from curation.config import RunConfig
from curation.removal_files import load_removals
from curation.removals import Removals
from curation.report.gone import WITHHELD
from curation.report.lists import line, new_table, number_text, quoted
from curation.report.visible import visible
from curation.report.why_removed import (
    SEAL,
    Named,
    concealed,
    concealed_row,
    held_in,
    kept_out,
    named_by,
    verdict_of,
)
from curation.runfile import load

NOT_FOUND = 1
_HASH = re.compile("[0-9a-f]{64}")  # shown by its first digits; whole in the JSON
TEXT_CHARS = 400  # of a text or an address that is shown
LIST_CHARS = 100  # of a text in a list of pairs


@dataclass(frozen=True, kw_only=True)
class WhyOptions:
    """Options of `curate why`."""

    asked: Annotated[str, tyro.conf.Positional]
    """A pair's id or its first 8 digits or more, a picture's id, an address, a text, or a part of a text."""
    path: Path | None = None
    """The run; the configuration's where it is not set."""
    config: Path | None = None
    """The run's TOML file."""
    removals: tuple[str, ...] = ()
    """Files of what must not be shown, as run.removals; the configuration's where they are not set."""
    limit: int = 10
    """Pairs that are listed at the most, where several are meant."""
    json: bool = False
    """Print JSON: the same numbers, not rounded."""


def main(args: Sequence[str], console: Console) -> int:
    """Run the verb; return 0, or 1 where the run has no such pair."""
    about = "Follow one pair through every stage of a run, with the numbers that decided."
    options = tyro.cli(WhyOptions, prog="curate why", description=about, args=args)
    config = load(options.config) if options.config else RunConfig()
    files = RunFiles(options.path or config.run.path)
    files.require_readable()
    removals = load_removals(options.removals or config.run.removals)
    pairs, how = find_pairs(files, options.asked, options.limit + 1)
    if len(pairs) == 1:
        return _show_life(*_told(files, pairs[0], removals), console, as_json=options.json)
    if pairs:
        told = [_told(files, pair, removals) for pair in pairs[: options.limit]]
        return _show_list(told, how, options, console, more=len(pairs) > options.limit)
    return _show_nothing(files, options, console, removals)


def _told(files: RunFiles, pair: Pair, removals: Removals) -> tuple[Life, list[Named]]:
    """Return what may be told of a pair, and who asked for it to be gone."""
    life, named = life_of(files, pair), named_by(files, pair, removals)
    return concealed(life) if named else life, named


def _head(life: Life, named: list[Named]) -> dict[str, Any]:
    """Return what JSON says of a pair; `removed` is empty where it may be shown."""
    return asdict(life.pair) | {
        "verdict": verdict_of(life, named),
        "removed": [asdict(item) for item in named],
    }


def _show_life(life: Life, named: list[Named], console: Console, *, as_json: bool) -> int:
    held = {"held_in": held_in(life)} if named else {}
    if as_json:
        steps = {"steps": [asdict(step) for step in life.steps]}
        print(json.dumps(_head(life, named) | held | steps, ensure_ascii=False))
        return 0
    line(console, f"[bold]{life.pair.pair_id}[/bold]  {escape(verdict_of(life, named))}", wrap=bool(named))
    for name in ("url", "text"):
        line(console, f"  [dim]{name}[/dim]  {_shown(getattr(life.pair, name))}", wrap=True)
    for stages in held.values():
        told = f"  [dim]its text or address still stands in the tables of[/dim] {', '.join(stages)}"
        line(console, told, wrap=True)
    for step in life.steps:
        _print_step(step, console)
    return 0


def _print_step(step: Step, console: Console) -> None:
    state = {LEFT: f"[yellow]left: {escape(str(step.reason))}[/yellow]", NOT_RUN: "[dim]not run yet[/dim]"}
    line(console, f"\n[bold]{step.stage}[/bold]  {state.get(step.state, '')}")
    for row in _lines(step, console.width):
        line(console, row, wrap=True)
    if step.entries:
        console.print(_entry_table(step.entries))
    for remark in step.remarks:
        line(console, f"  [red]differs:[/red] {escape(visible(remark, TEXT_CHARS))}", wrap=True)


def _lines(step: Step, width: int) -> Iterator[str]:
    """Yield a step's facts, short ones side by side, long ones on lines of their own."""
    held, taken = list[str](), 0
    for name, value in step.facts.items():
        if value is None or value == "":
            continue
        plain, marked = f"  {name} {_value(value)}", f"  [dim]{escape(name)}[/dim] {_value(value)}"
        if held and taken + len(plain) > width:
            yield "".join(held)
            held, taken = [], 0
        held.append(marked)
        taken += len(plain)
    if held:
        yield "".join(held)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{key} {_value(item)}" for key, item in value.items() if item is not None)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value[:16]}..." if _HASH.fullmatch(str(value)) else _shown(str(value))


def _shown(text: str) -> str:
    return escape(visible(text, TEXT_CHARS))


def _entry_table(entries: Sequence[Mapping[str, Any]]) -> Table:
    numbers = [name for name in ("count", "t", "entry_prob") if name in entries[0]]
    heads = ["lang", "entry", *(name.replace("_", " ") for name in numbers)]
    table = new_table(*heads, right=tuple(heads[2:]))
    for item in entries:
        shown = [f"{item[name]:.4g}" if name == "entry_prob" else number_text(item[name]) for name in numbers]
        name = item["entry"]
        text = f"{name} {item['entry_id']}" if name == WITHHELD else quoted(name)
        table.add_row(item["lang"], escape(text), *shown)
    return table


def _show_list(
    told: list[tuple[Life, list[Named]]], how: str, options: WhyOptions, console: Console, *, more: bool
) -> int:
    if options.json:
        pairs = [_head(life, named) for life, named in told]
        print(
            json.dumps({"asked": options.asked, "by": how, "more": more, "pairs": pairs}, ensure_ascii=False)
        )
        return 0
    number = f"more than {options.limit}" if more else str(len(told))
    line(console, f"{number} pairs by {how}; ask for one by its id:\n")
    for life, named in told:
        pair = life.pair
        line(console, f"[bold]{pair.pair_id}[/bold]  {escape(verdict_of(life, named))}", wrap=True)
        line(console, f"  {escape(visible(pair.text, LIST_CHARS))}", wrap=True)
        line(console, f"  [dim]{escape(visible(pair.url, LIST_CHARS))}[/dim]", wrap=True)
    return 0


def _show_nothing(files: RunFiles, options: WhyOptions, console: Console, removals: Removals) -> int:
    dropped = [
        concealed_row(row) if removals.rule_of_url(row["url"] or "") else row
        for row in find_dropped(files, options.asked, options.limit)
    ]
    gone = kept_out(files, options.asked)
    if options.json:
        told = {"asked": options.asked, "pairs": [], "dropped": dropped, "removed": gone}
        print(json.dumps(told, ensure_ascii=False))
        return NOT_FOUND
    line(
        console,
        f"no pair of {escape(str(files.path))} is meant by {escape(visible(options.asked, LIST_CHARS))}",
    )
    for row in gone[: options.limit]:
        line(console, f"\n[bold]{row['pair_id']}[/bold]  removed by {SEAL} ({row['rule']})", wrap=True)
    for row in dropped:
        line(console, f"\n[bold]extract[/bold]  [yellow]left: {escape(row.pop('reason'))}[/yellow]")
        for name, value in row.items():
            if value:
                line(console, f"  [dim]{name}[/dim]  {_shown(value)}", wrap=True)
    if not dropped and not gone and not files.setting("extract", "keep_dropped"):
        hint = "what extract dropped is kept only with extract.keep_dropped; its reasons stand in the run's summary"
        line(console, f"[dim]{hint}[/dim]", wrap=True)
    return NOT_FOUND
