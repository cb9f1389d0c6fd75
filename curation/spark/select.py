"""`curate balance --manifest FOLDER [--manifest FOLDER2 ...] --out DIR`: another selection of what is sealed, without a download.

For another t, up to the t times margin that was downloaded for, another budget, another seed, caps. What is not given is as in
the run's own selection. The work is `curation.spark.selection`'s.
"""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, make_dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from curation.config import RunConfig, SparkSection
from curation.config_balance import BalanceSection
from curation.errors import ConfigError, CurationError, require
from curation.report.tables import print_record, shown
from curation.runfile import load
from curation.sealed import Sealed, open_sealed
from curation.spark.progress import watch
from curation.spark.selection import DATACOMP, SELECTION, SelectOptions, select
from curation.stage import Record

HELP = {"-h", "--help"}
ABOUT = (
    "Select again among what is sealed, without a download: another t, budget or seed, caps. What is not given is as in the "
    "manifest's own selection. 'curate balance' without --manifest is the stage of a run; it has its own --help."
)
BY_LANGUAGE = {
    "t": "its threshold, or inf; those of languages that are not named follow from the first that is",
    "budget": "wanted number of its pairs, instead of its t",
}
CHOICES = {  # the other keys of [balance]; not margin: of what is there, there is no more to download
    "one_caption": "Of each picture's captions one is drawn by a coin of its own, then tossed for.",
    "max_per_image": "Most selected captions of one picture.",
    "max_per_domain": "Most selected pairs of one host.",
}


@dataclass(frozen=True, kw_only=True)
class _Told:
    """Where settings come from, and how the answer is printed."""

    config: Path | None = None
    """A TOML file whose [balance], if it has one, is taken instead of the run's own, with its [spark] and run.removals; options
    given here win over it.
    """
    json: bool = False
    """Print the record as JSON instead of a table."""
    dry_run: bool = False
    """Print the settings and stop."""


def main(args: Sequence[str], console: Console) -> int:
    """Run the verb; return the exit status."""
    told, options, section, spark = parse(list(args))
    if told.dry_run:
        print(json.dumps({"options": asdict(options), "balance": asdict(section)}, indent=1, default=str))
        return 0
    log = spark.log or options.out.resolve().with_name("spark.log")
    with watch("balance"):
        record = select(options, section, replace(spark, log=log))
    if told.json:
        print(json.dumps(record.data, ensure_ascii=False))
        return 0
    print_record(record, console)
    _print_sizes(record, console)
    _print_next(record, options, console)
    return 0


def _values(args: Sequence[str], name: str) -> list[str]:
    """Return the values of an option that must be read before the other options are made."""
    found: list[str] = []
    for position, arg in enumerate(args):
        head, equals, value = arg.partition("=")
        if head == f"--{name}":
            found += [value] if equals else [*args[position + 1 : position + 2]]
    return found


def parse(args: list[str]) -> tuple[_Told, SelectOptions, BalanceSection, SparkSection]:
    """Return what the arguments, a TOML file and the manifests' own records say, in this order of weight.

    Raises ConfigError where none says with which t or budget.
    """
    sealed = _sealed(args)
    given = _values(args, "config")
    config = load(Path(given[-1])) if given else RunConfig()
    own = next((item.section for item in sealed if item.section), None)
    base = config.balance if given and _has_table(Path(given[-1]), "balance") else own
    langs = dict.fromkeys(lang for item in sealed for lang in item.languages) or dict.fromkeys(
        config.run.languages
    )
    parsed = _asked(args, base or BalanceSection(), tuple(langs), config)
    numbers: dict[str, Mapping[str, float]] = {
        name: {lang: value for lang, value in vars(getattr(parsed, name)).items() if value is not None}
        for name in BY_LANGUAGE
    }
    if base is None and not any(numbers.values()):
        raise ConfigError(
            "nothing says with which t the manifest's own selection was made: pass --t.LANG or --budget.LANG"
        )
    for name, by_lang in numbers.items():
        for lang, number in by_lang.items():
            require(number > 0, f"--{name}.{lang}", number, "a number above 0")
    if base is None:  # a language with a budget has no t; what follows, follows from it, never from a default
        base = BalanceSection(t=dict(numbers["t"]) or dict.fromkeys(numbers["budget"], float("inf")))
    options = parsed.options
    if not options.removals:  # those of the TOML file
        options = replace(options, removals=config.run.removals)
    return parsed.told, options, _section(base, parsed.balance, numbers), parsed.spark


def _sealed(args: Sequence[str]) -> list[Sealed]:
    """Return the manifests that are named; who asks for help need not have one, and gets it with the defaults."""
    try:
        return [open_sealed(Path(place)) for place in _values(args, "manifest")]
    except CurationError:
        if HELP.isdisjoint(args):
            raise
        return []


def _has_table(path: Path, name: str) -> bool:
    with path.open("rb") as file:
        return name in tomllib.load(file)


def _asked(args: list[str], base: BalanceSection, langs: Sequence[str], config: RunConfig) -> Any:
    """Return the parsed options: of [balance] those that a selection knows, t and budget a language."""
    flat = tyro.conf.arg(name="")
    kept: list[tuple[str, Any, Any]] = [
        (f.name, Annotated[f.type, tyro.conf.arg(help=CHOICES[f.name])], field(default=getattr(base, f.name)))
        for f in fields(BalanceSection)
        if f.name in CHOICES
    ]
    choices: Any = make_dataclass("balance", kept, frozen=True, kw_only=True)
    members: list[tuple[str, Any, Any]] = [
        ("told", Annotated[_Told, flat], field(default_factory=_Told)),
        ("options", Annotated[SelectOptions, flat], field()),
        ("balance", Annotated[choices, flat], field(default_factory=choices)),
    ]
    for name, text in BY_LANGUAGE.items():
        one: Any = Annotated[float | None, tyro.conf.arg(help=text)]
        kind = make_dataclass(name, [(lang, one, field(default=None)) for lang in langs], frozen=True)
        members.append((name, kind, field(default_factory=kind)))
    members.append(("spark", SparkSection, field(default=config.spark)))
    made: Any = make_dataclass("Options", members, frozen=True, kw_only=True)
    asked = (
        args if HELP.isdisjoint(args) else ["--help"]
    )  # whatever stands beside it: an option without its value, too
    return tyro.cli(made, prog="curate balance", description=ABOUT, args=asked)


def _section(
    base: BalanceSection, choices: Any, numbers: Mapping[str, Mapping[str, float]]
) -> BalanceSection:
    """Return [balance]: t and budget as given where any is given, else as they were."""
    named = any(numbers.values())
    t, budget = (dict(numbers[name] if named else getattr(base, name)) for name in BY_LANGUAGE)
    return BalanceSection(**(vars(choices) | {"t": t or dict(base.t), "budget": budget, "margin": 1.0}))


def _print_sizes(record: Record, console: Console) -> None:
    notes = record.notes
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for name in ("language", "t", "downloaded for", "expected", "selected"):
        table.add_column(name, justify="left" if name == "language" else "right")
    for lang, t in notes["t"].items():
        bounds = {
            str(item["drawn_with"].get("downloaded_for", {}).get(lang, "?")) for item in notes["manifests"]
        }
        sizes = (notes["expected_by_language"][lang], notes["selected_by_language"][lang])
        bound = ", ".join(f"{float(value):,.10g}" if value != "?" else value for value in sorted(bounds))
        table.add_row(lang, f"{float(t):,.10g}", bound, *(f"{size:,.0f}" for size in sizes))
    console.print(table)
    small = notes["margin_too_small_pairs"]
    if small:
        console.print(
            f"[yellow]{small:,} pairs would be kept with a higher chance than they were downloaded with[/yellow]: of their like "
            "there were more, and they are not here; a t up to what was downloaded for leaves few of them"
        )
    extended = {name for item in notes["manifests"] for name in item["drawn_with"].get("earlier", ())}
    if len(extended) >= len(notes["manifests"]):
        console.print(
            f"[dim]a manifest's run extends {', '.join(sorted(map(escape, extended)))}: its own selection was made on the counts of "
            "all; give their manifests too[/dim]"
        )


def _print_subsets(record: Record, place: str, console: Console) -> None:
    console.print(f"DataComp:  {place}/{DATACOMP}, by pair", highlight=False, soft_wrap=True)
    for item in record.notes["manifests"]:
        told = (
            f"{place}/{item['pictures']}, for the shards of"
            if item["pictures"]
            else "[yellow]no subset for[/yellow]"
        )
        why = (
            ""
            if item["pictures"]
            else ": their samples have no uid; 'curate manifest --on-existing overwrite' gives them one"
        )
        console.print(f"           {told} {escape(item['folder'])}{why}", highlight=False, soft_wrap=True)


def _print_next(record: Record, options: SelectOptions, console: Console) -> None:
    place = escape(shown(record.path))
    console.print(f"selection: {place}/{SELECTION}", highlight=False, soft_wrap=True)
    if options.datacomp:
        _print_subsets(record, place, console)
    if len(options.manifest) == 1:
        folder = escape(shown(options.manifest[0]))
        console.print(
            f"[dim]next: curate train --manifest {folder} --selection {place}[/dim]",
            highlight=False,
            soft_wrap=True,
        )
