"""`curate dedup plan`: what a search for near-duplicates costs, before it begins: comparisons, bytes, memory, hours.

From a number of pictures, or from a run whose `embed` is done, of which a sample says how the cells fall out. Writes nothing.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from curation.config import RunConfig, RunSection
from curation.config_dedup import NeighboursSection
from curation.dedup import cost
from curation.dedup.cells import fitted
from curation.dedup.exact import distinct_views
from curation.dedup.kinds import Kind, codes_of, kind_of
from curation.dedup.plan import Cost, Question, Rates, measured_products, priced, refusals, suggested_rows
from curation.dedup.search import Visiting
from curation.errors import ConfigError, require
from curation.ids import coins
from curation.report.tables import shown
from curation.runfile import load
from curation.stage import RECORD, Record, locate, read_record

_SAMPLED = 20_000  # vectors that are read of a run
_WORTH_SAYING = 0.95  # of the time as planned, that another number of rows a cell takes
_COIN = "dedup plan"
_READ = ("image_id", "codes", "kind", "kind_sha256")
_STEPS = {
    "embed": "decode and describe",
    "kmeans": "k-means, in the driver",
    "placing": "vectors to their cells",
    "search": "search",
    "audit": "audit of the recall",
    "look": "second look at near pairs",
    "shuffle": "shuffles",
}


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """Options of `curate dedup plan`."""

    config: Path | None = None
    """The run's TOML file: its [embed] and [neighbours] stand where no option says otherwise."""
    path: Path | None = None
    """A run whose stage embed is done: its pictures and kind, and a sample of its vectors."""
    pictures: float | None = None
    """Number of pictures, such as 1e9; the run's where it is not set."""
    kind: str | None = None
    """The descriptor, as embed.kind."""
    views: int | None = None
    """Views a picture, instead of the kind's."""
    query_views: int | None = None
    """Views that ask, instead of the kind's."""
    dimension: int | None = None
    """Dimensions of a view, instead of the kind's."""
    mode: Literal["probe", "bound", "exhaustive"] | None = None
    """As neighbours.mode."""
    probe: int | None = None
    """As neighbours.probe."""
    rows_per_cell: int | None = None
    """As neighbours.rows_per_cell."""
    cells: int | None = None
    """Cells, instead of rows a cell."""
    cores: int = os.cpu_count() or 1
    """Cores of all executors."""
    gpus: int = 0
    """GPUs of all executors, which then search."""
    comparisons_per_second: float | None = None
    """Of a core or a GPU in the search, for this kind; a cautious figure where it is not set."""
    measure: bool = False
    """Measure that figure on a core of this machine, in a second."""
    pictures_per_second: float | None = None
    """Of a core, decoded and described; of a network nothing is counted where it is not set."""
    shuffle_bytes_per_second: float | None = None
    """Of a core."""
    pairs_per_picture: float | None = None
    """Near pairs, for what they take; those of the run where its stage neighbours is done, else not counted."""
    max_hours: float | None = None
    """Refuse a search that takes longer, with exit status 2."""
    max_comparisons: float | None = None
    """Refuse a search of more comparisons; neighbours.max_comparisons where it is not set, which the stage itself holds to."""
    json: bool = False
    """Print JSON instead of a table: the same numbers."""


@dataclass(frozen=True)
class Answer:
    """All that the plan says."""

    kind: str
    question: Question
    cost: Cost
    suggested: int
    """Rows a cell that take least."""
    refused: list[str]
    sampled: int
    """Vectors of a run that were looked at; 0 where none were."""
    searched: bool
    """Whether the near pairs are those that the run's search found."""
    run: Path | None

    @property
    def assumed(self) -> bool:
        """Whether the search's time follows from a rate that was never measured."""
        return self.question.rates.products is None and self.question.device in cost.ASSUMED

    def as_json(self) -> dict[str, Any]:
        """Return the numbers as a program reads them."""
        return {
            "kind": self.kind, "run": str(self.run) if self.run else None, "sampled_vectors": self.sampled,
            "pairs_from_run": self.searched,
            "question": asdict(self.question) | {"vectors": self.question.vectors, "queries": self.question.queries},
            "cost": asdict(self.cost) | {"hours": self.cost.hours}, "suggested_rows_per_cell": self.suggested,
            "assumed_rate": self.assumed, "refused": self.refused,
        }  # fmt: skip


def main(args: Sequence[str], console: Console) -> int:
    """Run the verb; return the exit status. Raises ConfigError where a budget forbids the search."""
    about = "Say what a search for near-duplicates costs before it begins: comparisons, bytes, memory, hours."
    flat = Annotated[PlanOptions, tyro.conf.arg(name="")]
    options = tyro.cli(flat, prog="curate dedup plan", description=about, args=list(args))
    answer = answered(options)
    if options.json:
        print(json.dumps(answer.as_json(), ensure_ascii=False))
    else:
        print_answer(answer, console)
    if answer.refused:
        raise ConfigError("; ".join(answer.refused) + f": {cheaper(answer.question)}")
    return 0


def answered(options: PlanOptions) -> Answer:
    """Return what a search costs. Raises ConfigError where neither a number nor a run is given, StageError for a run without embed."""
    config = load(options.config) if options.config else RunConfig()
    section = _section(config.neighbours, options)
    run = options.path or (config.run.path if options.pictures is None and options.config else None)
    if run is None and options.pictures is None:
        raise ConfigError("give --pictures N, such as 1e9, or --path RUN whose stage embed is done")
    there = RunConfig(run=RunSection(path=run, parent=config.run.parent)) if run else None
    embed = read_record(locate(there, "embed")) if there else None
    kind = (
        Kind.of_note(embed.notes["kind"])
        if embed and not options.kind
        else kind_of(options.kind or config.embed.kind)
    )
    pictures = int(embed.data["tables"]["descriptors"]["rows"]) if embed else 0
    section = replace(section, floor=kind.floor if section.floor is None else section.floor)
    question = _question(
        options, section, kind, round(options.pictures) if options.pictures is not None else pictures
    )
    sampled, searched = 0, False
    if there and embed and (question.views, question.dimension) == (kind.views, kind.dimension):
        question, sampled = _learned(question, embed, kind, section)
        if question.pairs is None:
            question = replace(question, pairs=_pairs_found(there, pictures))
            searched = question.pairs is not None
    found = priced(question)
    allowed = options.max_comparisons or section.max_comparisons
    return Answer(
        kind.name, question, found, suggested_rows(question),
        list(refusals(found, max_hours=options.max_hours, max_comparisons=allowed)), sampled, searched, run,
    )  # fmt: skip


def _section(given: NeighboursSection, options: PlanOptions) -> NeighboursSection:
    """Return [neighbours] with what the options say."""
    names = ("mode", "probe", "rows_per_cell")
    return replace(given, **{name: value for name in names if (value := getattr(options, name)) is not None})


def _question(options: PlanOptions, section: NeighboursSection, kind: Kind, pictures: int) -> Question:
    for name in (
        "comparisons_per_second",
        "pictures_per_second",
        "shuffle_bytes_per_second",
        "max_hours",
        "max_comparisons",
    ):
        value = getattr(options, name)
        require(value is None or value > 0, f"--{name.replace('_', '-')}", value, "a number above 0")
    require(options.cells is None or options.cells >= 1, "--cells", options.cells, "1 or more")
    views, dimension = options.views or kind.views, options.dimension or kind.dimension
    query_views = options.query_views or (kind.query_views if options.views is None else views)
    products = options.comparisons_per_second and options.comparisons_per_second * dimension
    if options.measure and products is None and not options.gpus:
        products = measured_products(dimension)
    rates = Rates(products=products)
    if options.pictures_per_second or not kind.name.startswith("builtin"):
        rates = replace(rates, pictures=options.pictures_per_second)
    if options.shuffle_bytes_per_second:
        rates = replace(rates, shuffled_bytes=options.shuffle_bytes_per_second)
    rows = -(-pictures * views // options.cells) if options.cells else section.rows_per_cell
    return Question(
        pictures=pictures, views=views, query_views=query_views, dimension=dimension, detail_bytes=kind.detail_bytes,
        mode=section.mode, probe=section.probe, rows_per_cell=max(1, rows), sample_per_cell=section.sample_per_cell,
        audit=section.audit, pairs=options.pairs_per_picture, cores=options.cores, gpus=options.gpus, rates=rates,
    )  # fmt: skip


def _learned(
    question: Question, embed: Record, kind: Kind, section: NeighboursSection
) -> tuple[Question, int]:
    """Return the question with what a sample of a run's vectors says of views and cells, and how many vectors that were.

    Of a large run the sample has fewer cells than the search will have: what `bound` makes of them is then more than of those.
    """
    rows = _sample(embed, kind)
    codes = codes_of(rows, kind, embed.path)
    keeps = distinct_views(codes)
    vectors = np.ascontiguousarray(codes[keeps])
    if not len(vectors):
        return question, 0
    question = replace(question, distinct=float(keeps.mean()))
    cells = min(question.cells, len(vectors) // section.sample_per_cell)
    if cells < 2:
        return question, len(vectors)
    names = [
        f"{image_id} {view}"
        for image_id, own in zip(rows["image_id"].to_pylist(), keeps, strict=True)
        for view in np.flatnonzero(own)
    ]
    centroids = fitted(vectors, coins(names, 0, _COIN), cells)
    visits = Visiting(centroids, section.mode, section.probe, section.settled_floor).visits(vectors)
    share = cost.expected_comparisons(visits, cells, 1, 1)
    if section.mode == "bound":
        return replace(question, bound_share=min(1.0, share)), len(vectors)
    return replace(question, imbalance=max(1.0, share * cells / min(section.probe, cells))), len(vectors)


def _pairs_found(config: RunConfig, pictures: int) -> float | None:
    """Return how many near pairs a picture has that the run's search found; None where it was not searched."""
    place = locate(config, "neighbours")
    if not pictures or not (place / RECORD).is_file():
        return None
    return int(read_record(place).data["tables"]["edges"]["rows"]) / pictures


def _sample(embed: Record, kind: Kind) -> pa.Table:
    """Return image_id, codes and kind of about `_SAMPLED` vectors' pictures by coin, sorted."""
    pictures = int(embed.data["tables"]["descriptors"]["rows"])
    share = _SAMPLED / max(1, pictures * kind.views)
    data = pads.dataset(embed.path / "descriptors", format="parquet")
    parts = [pa.table({name: pa.array([], data.schema.field(name).type) for name in _READ})]
    for batch in data.to_batches(columns=list(_READ)):
        drawn = coins(batch.column("image_id").to_pylist(), 0, _COIN) < share
        parts.append(pa.Table.from_batches([batch.filter(pa.array(drawn))]).select(_READ))
    return pa.concat_tables(parts).sort_by("image_id")


def cheaper(question: Question) -> str:
    """Return what makes a search cheaper, for an error."""
    if question.mode == "exhaustive":
        return "take --mode probe, whose recall is measured"
    if question.mode == "bound":
        return "take a higher neighbours.floor, or --mode probe, whose recall is measured"
    best = suggested_rows(question)
    rows = f"--rows-per-cell {best}, " if best != question.rows_per_cell else ""
    return f"take {rows}more cores or GPUs, or a smaller --probe; or raise the budget"


def print_answer(answer: Answer, console: Console) -> None:
    """Print the plan in 80 columns."""
    q, found = answer.question, answer.cost
    where = f"  {escape(shown(answer.run))}" if answer.run else ""
    console.print(
        f"[bold]dedup plan[/bold]{where}  [dim]{q.pictures:,} pictures, kind {escape(answer.kind)}[/dim]",
        highlight=False,
        soft_wrap=True,
    )
    how = f"mode {q.mode}" + (f", probe {q.probe}" if q.mode == "probe" else "")
    for text in (
        f"{q.vectors:,} vectors of {q.dimension} dimensions, {q.queries:,} of them ask",
        f"{how}, {found.cells:,} cells of about {q.vectors // found.cells:,} vectors",
        f"on {_workers(q)}",
    ):
        console.print(f"  {text}", highlight=False)
    table = Table(box=None, padding=(0, 2), header_style="dim", pad_edge=True)
    table.add_column("step")
    for name in ("comparisons", "bytes", "time"):
        table.add_column(name, justify="right")
    for step, name in _STEPS.items():
        made = q.near_pairs if step == "look" else found.comparisons.get(step)
        moved = _bytes(found.shuffled_bytes) if step == "shuffle" else ""
        table.add_row(
            name,
            f"{made:.2g}" if made else "",
            moved,
            cost.as_text(found.seconds[step]) if found.seconds[step] else "",
        )
    table.add_row("[bold]in all[/bold]", "", "", f"[bold]{cost.as_text(found.hours * 3600)}[/bold]")
    console.print(table)
    for text in _remarks(answer):
        console.print(f"  {text}", highlight=False)


def _remarks(answer: Answer) -> list[str]:
    q, found = answer.question, answer.cost
    said = [f"A task of the search holds about {_bytes(found.task_bytes)}.", _of_pairs(answer)]
    if answer.assumed:
        said.append(
            f"A GPU's {cost.PRODUCTS_PER_SECOND[q.device]:.0e} multiplications a second are an assumption, never measured: "
            "--comparisons-per-second gives its own."
        )
    if not q.rates.pictures:
        said.append("What the network takes is not counted: --pictures-per-second says how fast it is.")
    if found.at_most:
        said.append(
            "Mode bound makes at the most so many comparisons: give --path RUN, and a sample of its vectors says how many."
        )
    if answer.sampled:
        said.append(f"How full the cells are is known from {answer.sampled:,} vectors of the run.")
    best = priced(replace(q, rows_per_cell=answer.suggested))
    if q.mode == "probe" and best.hours < _WORTH_SAYING * found.hours:
        least = cost.as_text(best.hours * 3600)
        said.append(f"With --rows-per-cell {answer.suggested} it takes about {least}, the least.")
    return said


def _of_pairs(answer: Answer) -> str:
    q = answer.question
    if q.pairs is None:
        look = ", and the second look at them," if q.detail_bytes else ""
        return f"Near pairs{look} are not counted: --pairs-per-picture says how many there are."
    where = " as in the run" if answer.searched else ""
    return f"{q.near_pairs:.2g} near pairs, {q.pairs:.3g} a picture{where}: of alike pictures they grow with the square."


def _workers(question: Question) -> str:
    cores = f"{question.cores:,} core" + "s" * (question.cores != 1)
    return f"{question.gpus:,} GPU" + "s" * (question.gpus != 1) + f" and {cores}" if question.gpus else cores


def _bytes(number: float) -> str:
    power = min(5, max(0, len(f"{number:.0f}") - 1) // 3)
    return f"{number / 1000**power:.3g} {('B', 'kB', 'MB', 'GB', 'TB', 'PB')[power]}"
