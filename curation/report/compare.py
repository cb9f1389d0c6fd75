"""`curate diff A B`: what two selections share, which entries gained and lost, and what made them differ. Writes nothing."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from curation.audit import selections
from curation.report.lists import line, new_table, number_text, quoted
from curation.report.visible import visible

VALUE_CHARS = 60  # of a setting that is shown
MAX_INPUTS = 12  # inputs from outside that are shown


@dataclass(frozen=True, kw_only=True)
class CompareOptions:
    """Options of `curate diff`."""

    a: Annotated[Path, tyro.conf.Positional]
    """A run, a folder that holds a manifest, or the folder of another selection of one."""
    b: Annotated[Path, tyro.conf.Positional]
    """The other one."""
    entries: int = 10
    """Entries shown that gained, and that lost, a language."""
    by: Literal["count", "share"] = "count"
    """What an entry gains: selected pairs, or its share of the language's matches, where the sizes differ."""
    json: bool = False
    """Print JSON instead of tables: the same numbers."""


def main(args: Sequence[str], console: Console) -> int:
    """Run the verb; return the exit status, which is 0 whether the selections differ or not."""
    about = "Say what two selections share, which entries gained and lost, and what made them differ."
    options = tyro.cli(CompareOptions, prog="curate diff", description=about, args=args)
    found = compare(options)
    if options.json:
        print(json.dumps(found, ensure_ascii=False))
        return 0
    line(console, f"[bold]a[/bold]  {escape(str(options.a))}\n[bold]b[/bold]  {escape(str(options.b))}\n")
    _print_shares(found["shared"], console)
    _print_causes(found, console)
    for lang, moved in found["entries"].items():
        _print_movers(lang, moved, found["matches"][lang], console)
    return 0


def compare(options: CompareOptions) -> dict[str, Any]:
    """Return all that is said of two selections, as JSON. Raises InputError where one of them is none."""
    places = [selections.open_place(path) for path in (options.a, options.b)]
    a, b = (selections.read_chosen(place) for place in places)
    ours, theirs = (place.records for place in places)
    return {
        "a": str(options.a), "b": str(options.b), "shared": selections.shares(a, b),
        "thresholds": selections.balances(ours, theirs), "settings": selections.settings_that_differ(ours, theirs),
        "outputs": selections.outputs(ours, theirs), "externals": selections.externals_that_differ(ours, theirs),
        "entries": selections.movers(a, b, options.entries, by_share=options.by == "share"),
        "matches": {
            lang: {"a": a.matches.get(lang, 0), "b": b.matches.get(lang, 0)}
            for lang in sorted({*a.matches, *b.matches})
        },
    }  # fmt: skip


def _print_shares(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    heads = ("in a", "in b", "in both", "Jaccard")
    table = new_table("selected", *heads, right=heads)
    for row in rows:
        numbers = [f"{row[key]:,}" for key in ("a", "b", "both")]
        table.add_row(escape(row["of"]), *numbers, f"{row['jaccard']:.4f}")
    console.print(table)


def _print_causes(found: Mapping[str, Any], console: Console) -> None:
    if found["thresholds"]:
        console.print()
        table = new_table("threshold", "of", "a", "b", right=("a", "b"))
        for row in found["thresholds"]:
            table.add_row(row["stage"], escape(row["of"]), *(_number(row[key]) for key in ("a", "b")))
        console.print(table)
    if found["settings"]:
        table = _causes("setting")
        for row in found["settings"]:
            table.add_row(row["stage"], escape(row["key"]), *(_shown(row[side]) for side in ("a", "b")))
        _print_after_gap(table, console)
    if found["externals"]:
        table = _causes("input")
        for row in found["externals"][:MAX_INPUTS]:
            table.add_row(
                row["stage"],
                escape(visible(row["path"], VALUE_CHARS)),
                *(_input(row[side]) for side in ("a", "b")),
            )
        _print_after_gap(table, console)
        if len(found["externals"]) > MAX_INPUTS:
            line(
                console,
                f"  [dim]and {len(found['externals']) - MAX_INPUTS:,} more inputs; --json names them all[/dim]",
            )
    _print_outputs(found["outputs"], console)


def _causes(what: str) -> Table:
    table = new_table("stage", what, "a", "b")
    table.columns[0].no_wrap = True
    return table


def _print_after_gap(table: Table, console: Console) -> None:
    console.print()
    console.print(table)


def _input(item: Mapping[str, Any] | None) -> str:
    """Return what tells an input from another of its name: its hash, else its size and time."""
    if item is None:
        return "-"
    hashed = item.get("sha256") or item.get("digest")
    if hashed:
        return escape(f"{str(hashed)[:16]}...")
    return _shown(", ".join(f"{key} {value}" for key, value in item.items()))


def _print_outputs(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Say in a line each which stages wrote the same, which did not, and which only one has."""
    kinds = {
        "wrote the same": [row["stage"] for row in rows if row["same"]],
        "wrote other rows": [row["stage"] for row in rows if not row["same"] and row["a"] and row["b"]],
        "only in a": [row["stage"] for row in rows if row["a"] and not row["b"]],
        "only in b": [row["stage"] for row in rows if row["b"] and not row["a"]],
    }
    console.print()
    for told, stages in kinds.items():
        if stages:
            line(console, f"  [dim]{told}[/dim] {', '.join(stages)}", wrap=True)


def _print_movers(
    lang: str, moved: Mapping[str, Sequence[Mapping[str, Any]]], matches: Mapping[str, int], console: Console
) -> None:
    line(
        console,
        f"\n[bold]{escape(lang)}[/bold]  {matches['a']:,} matches of entries selected in a, {matches['b']:,} in b",
    )
    table = new_table("", "entry", "in a", "in b", "change", right=("in a", "in b", "change"))
    for kind in ("gained", "lost"):
        for row in moved[kind]:
            change = (
                f"{row['change']:+,.0f}" if float(row["change"]).is_integer() else f"{row['change']:+.4%}"
            )
            table.add_row(kind, escape(quoted(row["entry"])), f"{row['a']:,}", f"{row['b']:,}", change)
    if table.row_count:
        console.print(table)
    else:
        line(console, "  no entry gained or lost")


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return number_text(value) if value >= 10 or float(value).is_integer() else f"{value:.4f}"


def _shown(value: object) -> str:
    text = (
        "-" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    )
    return escape(visible(text, VALUE_CHARS))
