"""`curate plan`: how many pairs a threshold keeps, and which threshold keeps so many, before anything is downloaded.

Reads matches and counts of a run (or its parent); with --learn, also what survived of an earlier, finished run. Writes nothing.
"""

import json
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import tyro
from rich.console import Console

from curation.balance import HELD_OUT, Reals, entry_prob
from curation.config import RunConfig, RunSection
from curation.config_balance import BalanceSection
from curation.errors import ConfigError, require
from curation.ids import coins
from curation.outlook import World, ladder, solve_each, solve_size, t_of_share
from curation.plan import PLAN, Pool, Sizes, Solved, pool_of
from curation.report.planned import Answer, print_answer
from curation.report.scan import batches
from curation.runfile import load
from curation.stage import RECORD, Record, locate, read_record

_COLUMNS = ("pair_id", "lang", "lang_score", "mixed", "entry_ids", "url")


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """Options of `curate plan`."""

    config: Path | None = None
    """The run's TOML file."""
    path: Path | None = None
    """The run; the configuration's where it is not set. Its stages match and count must be finished."""
    size: float | None = None
    """Wanted number of pairs in all languages: solved for the first language's t, which the others follow."""
    p: float | None = None
    """Wanted share of the tail in all matches of the first language, in (0, 1]."""
    learn: Path | None = None
    """An earlier, finished run: what share of its wanted pairs survived, by language."""
    margin: float | None = None
    """Factor on t before the download; without --learn it also says that one in so many wanted pairs survives."""
    sample: int = 2_000_000
    """Rows read at the most; of more, a sample by coin, with its error."""
    json: bool = False
    """Print JSON instead of tables: the same numbers."""

    def __post_init__(self) -> None:
        require(self.sample > 0, "--sample", self.sample, "a number above 0")
        held = self.margin is None or (self.margin >= 1 and math.isfinite(self.margin))
        require(held, "--margin", self.margin, "1 or more")


@dataclass(frozen=True)
class Asked:
    """What is known of the run before its pairs are read."""

    path: Path
    languages: tuple[str, ...]
    section: BalanceSection
    """Thresholds and margin of the TOML file, else of the run's balance, else the defaults."""
    match: Record
    count: Record


def main(args: Sequence[str], console: Console) -> int:
    """Run the verb; return the exit status."""
    options, named = _parse(args, _languages(args))
    asked = _asked(options)
    sized = [name for name in ("size", "p") if getattr(options, name) is not None]
    if len(sized) + bool(named["budget"]) > 1:
        raise ConfigError("give one of --size, --p and --budget.LANG: each of them decides t")
    budget = named["budget"] or ({} if sized or named["t"] else dict(asked.section.budget))
    answer = _answer(asked, options, named["t"], budget)
    if options.json:
        print(json.dumps(answer.as_json(), ensure_ascii=False))
    else:
        print_answer(answer, console)
    return 0


def _languages(args: Sequence[str]) -> tuple[str, ...]:
    """Return the run's languages, which must be read before the options are made; the defaults where nothing is there yet."""
    places = {}
    for name in ("config", "path"):
        for position, arg in enumerate(args):
            head, equals, value = arg.partition("=")
            if head == f"--{name}":
                places[name] = Path(value) if equals else Path(*args[position + 1 : position + 2])
    config = load(places["config"]) if "config" in places else RunConfig()
    path = places.get("path", config.run.path)
    match = locate(RunConfig(run=RunSection(path=path, parent=config.run.parent)), "match")
    if (match / RECORD).is_file():
        return tuple(read_record(match).data["config"]["run.languages"])
    return config.run.languages


def _parse(args: Sequence[str], languages: Sequence[str]) -> tuple[PlanOptions, dict[str, Sizes]]:
    """Return the options, and by their names the numbers that are given a language: of t and of budget."""
    helps = {"t": "its threshold, or inf", "budget": "wanted number of its pairs"}
    each: list[tuple[str, Any, Any]] = []
    for name, text in helps.items():
        kinds: Any = Annotated[float | None, tyro.conf.arg(help=text)]
        kind = make_dataclass(
            f"{name} of a language", [(lang, kinds, field(default=None)) for lang in languages], frozen=True
        )
        each.append((name, kind, field(default_factory=kind)))
    flat = Annotated[PlanOptions, tyro.conf.arg(name="")]
    members = [("options", flat, field(default_factory=PlanOptions)), *each]
    made: Any = make_dataclass("Options", members, frozen=True)
    about = "Say how many pairs a threshold keeps, or which threshold keeps so many, before anything runs."
    found = tyro.cli(made, prog="curate plan", description=about, args=list(args))
    named = {name: {k: v for k, v in vars(getattr(found, name)).items() if v is not None} for name in helps}
    for name, numbers in named.items():
        for lang, number in numbers.items():
            require(number > 0, f"--{name}.{lang}", number, "a number above 0")
    return found.options, named


def _asked(options: PlanOptions) -> Asked:
    config = load(options.config) if options.config else RunConfig()
    path = options.path or config.run.path
    run = RunConfig(run=RunSection(path=path))
    match, count = (read_record(_place(run, config.run.parent, stage)) for stage in ("match", "count"))
    balance = _place(run, config.run.parent, "balance")
    section = config.balance
    if not _has_balance(options.config) and (balance / RECORD).is_file():
        section = _section(read_record(balance).data["config"])
    return Asked(path, tuple(match.data["config"]["run.languages"]), section, match, count)


def _has_balance(config: Path | None) -> bool:
    """Return whether a TOML file says anything of the balance: else the run's own thresholds stand, not the defaults."""
    return config is not None and "balance" in tomllib.loads(config.read_text(encoding="utf-8"))


def _section(recorded: Mapping[str, Any]) -> BalanceSection:
    """Return [balance] as a record has it: keys that are not there have their defaults, infinity is a text."""
    known = {f.name: recorded[f.name] for f in fields(BalanceSection) if f.name in recorded}
    return BalanceSection(**known | {"t": {lang: float(t) for lang, t in recorded["t"].items()}})


def _place(run: RunConfig, parent: Path | None, stage: str) -> Path:
    own = locate(run, stage)
    if parent is None or (own / RECORD).is_file():
        return own
    return locate(RunConfig(run=RunSection(path=parent)), stage)


def _answer(asked: Asked, options: PlanOptions, t: Sizes, budget: Sizes) -> Answer:
    """Solve what is asked and look at the outcome."""
    margin, survival = _losses(asked, options)
    pool, counts, held_out = read_pool(asked.match, asked.count, asked.languages, options.sample)
    world = World(pool, counts, margin, survival)
    given, solved = _solved(world, asked, options, t, budget)
    outlook = world.outlook(given)
    first = next(lang for lang in asked.languages if lang in given)
    others = {lang: value for lang, value in given.items() if lang != first and lang not in solved}
    lines = []
    for step in ladder(counts[first], [outlook.t[first]]):
        try:
            lines.append(outlook if step == outlook.t[first] else world.outlook({**others, first: step}))
        except ConfigError:
            continue  # a language has no t that follows from this one
    return Answer(
        path=asked.path, languages=asked.languages, pool=pool, held_out=held_out, world=world, given=given,
        outlook=outlook, solved=solved, first=first, lines=lines, learned=options.learn,
        not_planned=_not_planned(asked.section),
    )  # fmt: skip


def _losses(asked: Asked, options: PlanOptions) -> tuple[float, Sizes | None]:
    """Return the margin, and what share of the wanted survives by language: learned, else as --margin says, else None for all.

    A language that the earlier run did not have is taken to lose as much as that which loses most.
    """
    if options.learn is None:
        stated = options.margin
        survival = None if stated is None else dict.fromkeys(asked.languages, 1.0 / stated)
        return stated or asked.section.margin, survival
    found = learned(options.learn, options.sample)
    least = min(found.values(), default=1.0)
    survival = {lang: found.get(lang, least) for lang in asked.languages}
    return options.margin or margin_for(survival), survival


def _solved(
    world: World, asked: Asked, options: PlanOptions, t: Sizes, budget: Sizes
) -> tuple[Sizes, dict[str, Solved]]:
    """Return the given and solved t, and by language (or "all") what was solved and how well."""
    first = next(iter(asked.languages))
    if options.size is not None:
        found = solve_size(world, options.size, first, {k: v for k, v in t.items() if k != first})
        return {**t, first: found.t}, {"all": found}
    if options.p is not None:
        return {**t, first: t_of_share(world.counts[first], options.p)}, {}
    if budget:
        rest = {lang: v for lang, v in {**asked.section.t, **t}.items() if lang not in budget}
        each = solve_each(world, budget, {lang: v for lang, v in rest.items() if lang in asked.languages})
        return {**rest, **{lang: item.t for lang, item in each.items()}}, each
    return {**asked.section.t, **t}, {}


def _not_planned(section: BalanceSection) -> list[str]:
    """Return the options of the balance that let fewer pairs pass than the plan says."""
    names = ("one_caption", "max_per_image", "max_per_domain")
    return [f"balance.{name}" for name in names if getattr(section, name, None)]


def read_pool(
    match: Record, count: Record, languages: Sequence[str], sample: int
) -> tuple[Pool, dict[str, Reals], float]:
    """Return the pairs to train on, the counts, and how many pairs are held out: estimated where a sample is read.

    sample: rows at the most; of more, each pair is drawn by a coin of its id. Memory holds what is drawn, nothing else.
    """
    seed, share = int(count.data["config"]["run.seed"]), float(count.data["config"]["run.heldout_share"])
    counts = read_counts(count.path / "counts", languages)
    drawn = min(1.0, sample / max(_rows(match.path / "matches"), 1))
    held_out: set[str] = set()

    def rows() -> Iterator[pa.RecordBatch]:
        for batch in batches(match.path / "matches", _COLUMNS):
            some = batch
            if drawn < 1:
                tossed = coins(batch.column("pair_id").to_pylist(), seed, PLAN)
                some = batch.filter(pa.array(tossed < drawn))
            out = pa.array(coins(some.column("url").to_pylist(), seed, HELD_OUT) < share)
            held_out.update(some.column("pair_id").filter(out).to_pylist())
            yield some.filter(pc.invert(out))

    pool = pool_of(rows(), languages, {lang: counts[lang].size for lang in languages}, share=drawn)
    return pool, counts, len(held_out) / drawn


def _rows(table: Path) -> int:
    files = (file for file in sorted(table.glob("*.parquet")) if not file.name.startswith((".", "_")))
    return sum(pq.read_metadata(file).num_rows for file in files)


def read_counts(table: Path, languages: Sequence[str]) -> dict[str, Reals]:
    """Return the counts of each language, float64 (E of it,), indexed by entry id."""
    found = {lang: np.zeros(0) for lang in languages}
    for batch in batches(table, ["lang", "entry_id", "count"]):
        for lang in languages:
            own = batch.filter(pc.equal(batch.column("lang"), lang))
            ids = own.column("entry_id").to_numpy()
            known = found[lang]
            found[lang] = np.zeros(max(known.size, int(np.max(ids, initial=-1)) + 1))
            found[lang][: known.size] = known
            found[lang][ids] = own.column("count").to_numpy()
    return found


def learned(path: Path, sample: int) -> dict[str, float]:
    """Return what share of a finished run's wanted pairs was left to train on, by language.

    Wanted: the expected number a language, scaled to what was wanted in all. Left: the manifest's captions of split train,
    selected or not. A language of which nothing was wanted is left out. Raises StageError where a stage is not finished.
    """
    config = RunConfig(run=RunSection(path=path))
    names = ("match", "count", "balance", "manifest")
    match, count, balance, manifest = (read_record(locate(config, name)) for name in names)
    languages = tuple(match.data["config"]["run.languages"])
    pool, counts, _ = read_pool(match, count, languages, sample)
    notes = balance.notes
    t = {lang: float(notes["margin"]) * float(value) for lang, value in notes["t"].items()}
    expected = pool.sum(pool.prob({lang: entry_prob(counts[lang], t[lang]) for lang in languages}))
    wanted = int(balance.data["tables"]["wanted"]["rows"]) - int(notes.get("held_out_pairs", 0))
    scale = wanted / max(math.fsum(expected.values()), 1.0)
    left = _captions(manifest.notes["captions"], languages)
    return {
        lang: min(left[lang] / (expected[lang] * scale), 1.0)
        for lang in languages
        if expected[lang] * scale > 0
    }


def _captions(notes: Mapping[str, int], languages: Sequence[str]) -> dict[str, int]:
    kinds = ("selected", "not_selected")
    return {lang: sum(int(notes.get(f"train/{lang}/{kind}", 0)) for kind in kinds) for lang in languages}


def margin_for(survival: Mapping[str, float]) -> float:
    """Return the factor on t with which even the language that loses most keeps enough: 1 / survival, rounded up.

    What survives of an entry stands for its count times the survival: to be kept t times of these it must be asked for
    t / survival times.
    """
    some = [share for share in survival.values() if share > 0]
    return math.ceil(100 / min(some, default=1.0) - 1e-9) / 100
