"""What `curate plan` found, on a terminal of 80 columns and as JSON."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape

from curation.outlook import Outlook, World
from curation.plan import Pool, Sizes, Solved
from curation.report.lists import line, new_table
from curation.report.tables import shown

HOW = {
    "within": "within 0.5 %",
    "largest": "the largest there is: the pairs are not enough",
    "nearest": "the nearest there is: the sizes jump over it",
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """All that a plan says."""

    path: Path
    languages: tuple[str, ...]
    pool: Pool
    held_out: float
    """Pairs that are held out, which are downloaded besides; estimated where a sample was read."""
    world: World
    given: Sizes
    """t as given or solved; the other languages' follow."""
    outlook: Outlook
    solved: dict[str, Solved]
    """What was asked for, by language or "all"."""
    first: str
    """The language whose t the lines of the table go through."""
    lines: Sequence[Outlook]
    learned: Path | None
    not_planned: Sequence[str]
    """Options that let fewer pairs pass than the plan says."""

    @property
    def matched(self) -> Sizes:
        """All pairs to train on, by language."""
        return self.pool.sum(np.ones(self.pool.lang.size))

    def as_json(self) -> dict[str, Any]:
        """Return the numbers as a program reads them; infinity is a text, as in records."""
        return {
            "run": str(self.path),
            "rows": {"pairs_read": int(self.pool.lang.size), "share": self.pool.share},
            "held_out_pairs": round(self.held_out),
            "matched": _with_all(self.matched),
            "largest": _with_all(self.world.largest()),
            "margin": self.world.margin,
            "survival": None if self.world.survival is None else dict(self.world.survival),
            "given": {lang: _json(t) for lang, t in self.given.items()},
            "asked": {
                name: {"wanted": item.wanted, "size": item.size, "t": _json(item.t), "how": item.how}
                for name, item in self.solved.items()
            },
            "answer": _outlook_json(self.outlook),
            "table": [_outlook_json(one) for one in self.lines],
            "not_planned": list(self.not_planned),
            "toml": toml(self).splitlines(),
        }


def _json(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _with_all(sizes: Mapping[str, float]) -> dict[str, float]:
    return {lang: round(size, 3) for lang, size in sizes.items()} | {
        "all": round(math.fsum(sizes.values()), 3)
    }


def _outlook_json(one: Outlook) -> dict[str, Any]:
    sizes = {"balanced": one.balanced, "downloaded": one.downloaded, "left": one.left}
    return {
        "t": {lang: _json(t) for lang, t in one.t.items()}, "p": _json(one.p),
        **{name: _with_all(each) | {"error": round(one.errors[name], 3)} for name, each in sizes.items()},
        "head": one.head, "gini": one.gini,
    }  # fmt: skip


def print_answer(answer: Answer, console: Console) -> None:
    """Print what a threshold gives, what was solved, a table to choose from, and what to write in the TOML file."""
    line(console, f"[bold]plan[/bold]  {escape(shown(answer.path))}  [dim]{_read(answer)}[/dim]\n")
    _print_sizes(answer, console)
    for text in _remarks(answer):
        line(console, f"  {text}", wrap=True)
    if len(answer.lines) > 1:
        _print_lines(answer, console)
    console.print()
    line(console, escape(toml(answer)))


def _read(answer: Answer) -> str:
    read = answer.pool.lang.size
    if answer.pool.share >= 1:
        return f"all {read:,} pairs read"
    return f"{read:,} pairs by coin, a share of {answer.pool.share:.3g}"


def _print_sizes(answer: Answer, console: Console) -> None:
    """Print a row a step of the way, a column a language."""
    one, world = answer.outlook, answer.world
    sampled = answer.pool.share < 1
    heads = ("", *answer.languages, "all", *(["std. error"] if sampled else []))
    table = new_table(*heads, right=heads[1:])
    rows: list[tuple[str, Sizes, str | None]] = [
        ("pairs that name an entry", answer.matched, None),
        ("kept at t, if nothing is lost", one.balanced, "balanced"),
        (f"to download, at {world.margin:g} t", one.downloaded, "downloaded"),
    ]
    if world.survival is not None:
        rows += [
            ("left at t, after losses", one.left, "left"),
            ("the most that is left", world.largest(), None),
        ]
    table.add_row("t", *(number(one.t[lang]) for lang in answer.languages), "", *([""] if sampled else []))
    for name, sizes, error in rows:
        total = math.fsum(sizes.values())
        said = [f"{one.errors[error]:,.0f}" if error else ""] if sampled else []
        table.add_row(name, *(f"{sizes[lang]:,.0f}" for lang in answer.languages), f"{total:,.0f}", *said)
    console.print(table)


def _remarks(answer: Answer) -> list[str]:
    """Return what must be said of the answer, a sentence or two each."""
    said = []
    for name, item in answer.solved.items():
        where = "in all" if name == "all" else name
        said.append(
            f"[bold]{escape(where)}[/bold]: {item.wanted:,.0f} wanted, {item.size:,.0f} at t = {number(item.t)}: "
            f"{HOW[item.how]}"
        )
    survival = answer.world.survival
    if survival is None:
        said.append("Nothing is taken to be lost on the way: --learn RUN or --margin says what is.")
    else:
        shares = ", ".join(f"{lang} {100 * share:.1f} %" for lang, share in survival.items())
        source = f"learned from {shown(answer.learned)}" if answer.learned else "as the margin says"
        said.append(
            f"Of what is downloaded, left after dead links and duplicates: {shares} ({escape(source)})."
        )
    if answer.held_out:
        said.append(f"Held out and downloaded besides: {answer.held_out:,.0f} pairs.")
    if answer.not_planned:
        said.append(f"Not in these numbers, which are upper bounds: {escape(', '.join(answer.not_planned))}.")
    return said


def _print_lines(answer: Answer, console: Console) -> None:
    """Print the table to choose from: what is left, by t."""
    langs = answer.languages
    heads = ("", *(f"t {lang}" for lang in langs), "p", *langs, "all", "share", "head", "gini")
    table = new_table(*heads, right=heads[1:])
    table.padding = (0, 1)
    matched = max(math.fsum(answer.matched.values()), 1.0)
    for one in answer.lines:
        total = math.fsum(one.left.values())
        table.add_row(
            ">" if one is answer.outlook else "",
            *(number(one.t[lang]) for lang in langs),
            "-" if math.isnan(one.p) else f"{one.p:.3f}",
            *(short(one.left[lang]) for lang in langs), short(total),
            f"{100 * total / matched:.1f}%", f"{100 * one.head:.0f}%", f"{one.gini:.2f}",
        )  # fmt: skip
    console.print()
    console.print(table)
    line(
        console,
        "  [dim]p: the tail's share of the first language's matches; share: of all pairs; head: the share of the kept "
        "matches that entries with t or more hold; gini: of the kept matches over the entries[/dim]",
        wrap=True,
    )


def number(value: float) -> str:
    """Return a threshold with few digits."""
    if math.isinf(value):
        return "inf"
    return f"{value:,.0f}" if value == round(value) else f"{value:,.6g}"


def short(value: float) -> str:
    """Return a size in at most seven characters."""
    units: tuple[tuple[float, str, Callable[[float], str]], ...] = (
        (1e10, "G", lambda v: f"{v / 1e9:.2f}"), (1e7, "M", lambda v: f"{v / 1e6:.1f}"),
    )  # fmt: skip
    for least, unit, text in units:
        if value >= least:
            return text(value) + unit
    return f"{value:,.0f}"


def toml(answer: Answer) -> str:
    """Return the lines for the run's TOML file; a language that follows is a comment."""
    own = ", ".join(
        f"{lang} = {_toml_number(answer.given[lang])}" for lang in answer.languages if lang in answer.given
    )
    follow = [
        f"{lang} follows: {number(answer.outlook.t[lang])}"
        for lang in answer.languages
        if lang not in answer.given
    ]
    comment = f"    # {', '.join(follow)}" if follow else ""
    return f"[balance]\nt = {{ {own} }}{comment}\nmargin = {answer.world.margin:g}"


def _toml_number(value: float) -> str:
    return "inf" if math.isinf(value) else repr(float(value))
