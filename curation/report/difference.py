"""`curate metadata diff A B`: what two entry lists differ in, by language and source, with samples. Writes nothing."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.markup import escape

from curation.report.lists import line, listed_json, lists_at, new_table, quoted, sources_text
from metadata.lookup import ListDiff, Listed, diff_lists


@dataclass(frozen=True, kw_only=True)
class DiffOptions:
    """Options of `curate metadata diff`."""

    a: Annotated[Path, tyro.conf.Positional]
    """A run, the folder of its stage metadata, a Parquet file of entries, LANG.txt, or `default`: the package's lists."""
    b: Annotated[Path, tyro.conf.Positional]
    """The other one."""
    samples: int = 6
    """Entries shown of each kind, language and source."""
    json: bool = False
    """Print JSON instead of tables: the same numbers and samples."""


def main(args: Sequence[str], console: Console) -> int:
    """Run the verb; return the exit status, which is 0 whether the lists differ or not."""
    about = "Say what two entry lists differ in, by language and source."
    options = tyro.cli(DiffOptions, prog="curate metadata diff", description=about, args=args)
    found = diff_lists(*(lists_at(place) for place in (options.a, options.b)))
    if options.json:
        names = {"a": str(options.a), "b": str(options.b)}
        rows = [_diff_json(item, options.samples) for item in found]
        print(json.dumps(names | {"languages": rows}, ensure_ascii=False))
        return 0
    line(console, f"[bold]a[/bold]  {escape(str(options.a))}\n[bold]b[/bold]  {escape(str(options.b))}")
    for item in found:
        _print_diff(item, options.samples, console)
    return 0


def _by_source(item: ListDiff) -> list[dict[str, Any]]:
    """Return a row a source: entries only in a, only in b, moved, and those whose sources or scores changed.

    An entry counts under the source that brought it in; of a pair, under b's.
    """
    kinds = {
        "only_a": [one.source for one in item.only_a],
        "only_b": [one.source for one in item.only_b],
        "moved": [theirs.source for _, theirs in item.moved],
        "sources": [theirs.source for _, theirs in item.resourced],
        "scores": [theirs.source for _, theirs in item.rescored],
    }
    counts = {kind: Counter(names) for kind, names in kinds.items()}
    sources = sorted({name for names in kinds.values() for name in names})
    return [{"source": name} | {kind: counts[kind][name] for kind in kinds} for name in sources]


def _diff_json(item: ListDiff, samples: int) -> dict[str, Any]:
    return {
        "lang": item.lang, "size_a": item.size_a, "size_b": item.size_b, "same": item.same, "shifted": item.shifted,
        "by_source": _by_source(item),
        "samples": {
            "only_a": [listed_json(one) for one in item.only_a[:samples]],
            "only_b": [listed_json(one) for one in item.only_b[:samples]],
            "moved": [_pair_json(pair) for pair in item.moved[:samples]],
            "sources": [_pair_json(pair) for pair in item.resourced[:samples]],
            "scores": [_pair_json(pair) for pair in item.rescored[:samples]],
        },
    }  # fmt: skip


def _pair_json(pair: tuple[Listed, Listed]) -> dict[str, Any]:
    return {"entry": pair[0].entry, "a": listed_json(pair[0]), "b": listed_json(pair[1])}


def _print_diff(item: ListDiff, samples: int, console: Console) -> None:
    sizes = f"{item.size_a:,} entries in a, {item.size_b:,} in b"
    if item.same:
        line(console, f"\n[bold]{escape(item.lang)}[/bold]  {sizes}: the same list")
        return
    line(console, f"\n[bold]{escape(item.lang)}[/bold]  {sizes}")
    heads = ("only a", "only b", "moved", "sources", "scores")
    table = new_table("source", *heads, right=heads)
    for row in _by_source(item):
        table.add_row(escape(row.pop("source")), *(f"{number:,}" for number in row.values()))
    console.print(table)
    if item.shifted:
        line(console, f"  [dim]{item.shifted:,} others keep their order and have another id[/dim]")
    for name, texts in _sampled(item, samples):
        line(console, f"  [dim]{name}[/dim] {escape(', '.join(texts))}", wrap=True)


def _sampled(item: ListDiff, samples: int) -> Iterator[tuple[str, list[str]]]:
    """Yield what is said of samples: of entries in one list by source, of changed ones what changed."""
    for name, one_sided in (("only a", item.only_a), ("only b", item.only_b)):
        for source in sorted({one.source for one in one_sided}):
            texts = [quoted(one.entry) for one in one_sided if one.source == source][:samples]
            if texts:
                yield f"{name}, {source}:", texts
    changed: tuple[tuple[str, list[tuple[Listed, Listed]], Callable[[Listed], str]], ...] = (
        ("moved:", item.moved, lambda one: f"{one.entry_id:,}"),
        ("sources:", item.resourced, lambda one: "+".join(name for name, _ in one.sources)),
        ("scores:", item.rescored, lambda one: sources_text(one.sources)),
    )
    for name, pairs, told in changed:
        texts = [f"{quoted(mine.entry)} {told(mine)} > {told(theirs)}" for mine, theirs in pairs[:samples]]
        if texts:
            yield name, texts
