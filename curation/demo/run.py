"""`curate demo`: the whole job on the small web that the project draws, and what the curation bought.

No network and no data set: the web is drawn from a seed, served on the loopback interface, and every stage runs on it,
training included. A second run is downloaded with t = infinity and trained on as many pairs drawn by coin, with the same number
of steps: the uncurated model. Both are asked about the same held-out pictures.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import tyro
from rich.console import Console
from rich.markup import escape

from curation import pipeline
from curation.config import OnExisting, RunConfig
from curation.demo.screen import print_screen
from curation.demo.server import serve
from curation.demo.web import PICTURES, DemoWeb, build
from curation.errors import StageError
from curation.ids import coins
from curation.manifest import read_manifest
from curation.report.tables import print_record
from curation.runfile import load
from curation.schemas import TABLES
from curation.stage import Record

UNCURATED = "uncurated"


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """Options of `curate demo`."""

    path: Path = Path("runs/demo")
    """Directory of the run; the web and the uncurated run lie beside it."""
    seed: int = 0
    """Seed of the web and of every coin."""
    pictures: int = PICTURES
    """Pictures to draw."""
    steps: int | None = None
    """Training steps of each model; the configuration's where it is not set."""
    until: str | None = None
    """Last stage to run; without the uncurated run and the last screen."""
    on_existing: OnExisting = "fail"
    """What to do with a stage that another seed, number of pictures or configuration made."""


def main(args: Sequence[str], console: Console) -> int:
    """Run the demo from the command line."""
    flatten = tyro.conf.arg(name="")
    about = "The whole job on a small web that the project draws itself: no network, no data set."
    options = tyro.cli(
        Annotated[DemoOptions, flatten], prog="curate demo", description=about, args=list(args)
    )
    started = time.monotonic()
    pipeline.check_until(options.until)
    pipeline.check_extras(load(demo_toml()), options.until)
    web = _draw(options, console)
    with serve(web.folder) as address:
        curated = configure(options, web, address)
        _run(curated, options.until or "evaluate", console)
        if options.until:
            return 0
        uncurated = _uncurated(curated)
        console.print("\n[bold]the uncurated run, to compare with:[/bold] the same pool, t = infinity")
        _run(uncurated, "manifest", console)
        uncurated = _drawn_by_coin(curated, uncurated)
        for stage in ("train", "evaluate"):
            print_record(pipeline.run_one(uncurated, stage), console)
        pipeline.write_summary(uncurated)
    curated = replace(curated, report=replace(curated.report, compare=uncurated.run.path))
    record = pipeline.run_one(curated, "report")
    pipeline.write_summary(curated)
    print_screen(curated, uncurated, record, time.monotonic() - started, console)
    return 0


def demo_toml() -> Path:
    """Return the demo's configuration: in the package where it was installed, in the checkout where it is developed."""
    packaged = Path(str(resources.files("curation"))) / "configs" / "demo.toml"
    return packaged if packaged.is_file() else Path(__file__).parents[2] / "configs" / "demo.toml"


def configure(options: DemoOptions, web: DemoWeb, address: str) -> RunConfig:
    """Return the configuration of the curated run: the shipped one, with where this web lies."""
    base = load(demo_toml())
    steps = options.steps or base.train.steps
    return replace(
        base,
        run=replace(base.run, path=options.path, seed=options.seed, on_existing=options.on_existing),
        extract=replace(base.extract, inputs=(web.wat,), root=str(web.folder / "wat")),
        metadata=replace(base.metadata, entries=(str(web.entries),)),
        download=replace(base.download, resolve=web.resolve(address)),
        train=replace(base.train, train_seed=options.seed, steps=steps, warmup=min(base.train.warmup, steps)),
        evaluate=replace(base.evaluate, classes=web.class_sets),
    )


def _draw(options: DemoOptions, console: Console) -> DemoWeb:
    started = time.monotonic()
    folder = options.path.with_name(f"{options.path.name}-web")
    with console.status(f"drawing {options.pictures:,} pictures and the pages around them"):
        web = build(folder, seed=options.seed, pictures=options.pictures)
    counts = web.counts
    console.print(
        f"[bold]web[/bold]  {escape(str(folder))}  [dim]{time.monotonic() - started:.1f} s[/dim]\n"
        f"  {counts['pages']:,} pages, {counts['links']:,} image links with {counts['texts']:,} texts, "
        f"{counts['pictures']:,} pictures and {counts['copies']:,} copies of them",
        highlight=False,
    )
    return web


def _run(config: RunConfig, until: str, console: Console) -> list[Record]:
    records = []
    for record in pipeline.run_all(config, until=until):
        print_record(record, console)
        records.append(record)
    return records


def _uncurated(curated: RunConfig) -> RunConfig:
    """Return the run that keeps everything that matched: its first stages are the curated run's own."""
    path = curated.run.path.with_name(f"{curated.run.path.name}-{UNCURATED}")
    everything = dict.fromkeys(curated.run.languages, float("inf"))
    return replace(
        curated,
        run=replace(curated.run, path=path, parent=curated.run.path),
        balance=replace(curated.balance, t=everything),
    )


def _drawn_by_coin(curated: RunConfig, uncurated: RunConfig) -> RunConfig:
    """Return the uncurated run set to train on as many pairs as were selected, drawn by coin, and asked the same."""
    chosen = read_manifest(curated.run.path / "manifest", ["selected"])
    budget = int(pc.sum(chosen["selected"]).as_py() or 0)
    selection = draw_by_coin(
        uncurated.run.path / "manifest", budget, uncurated.run.seed, asked=curated.run.path / "manifest"
    )
    path = uncurated.run.path / "selection-by-coin.parquet"
    pq.write_table(selection, path, compression="zstd")
    return replace(
        uncurated,
        train=replace(uncurated.train, selection=path),
        evaluate=replace(uncurated.evaluate, manifest=curated.run.path / "manifest"),
    )


def draw_by_coin(manifest: Path, budget: int, seed: int, *, asked: Path) -> pa.Table:
    """Return a selection of `budget` training captions: those with the smallest coins. Raises StageError for too few.

    asked: the manifest whose held-out pictures both models are asked about: none of them is drawn.
    """
    held = read_manifest(asked, ["image_id", "source_image_id", "split"])
    held = held.filter(pc.equal(held["split"], "heldout"))
    pictures = pa.concat_arrays([held[name].combine_chunks() for name in ("image_id", "source_image_id")])
    rows = read_manifest(manifest, ["pair_id", "image_id", "source_image_id", "split"])
    train = rows.filter(pc.equal(rows["split"], "train"))
    for name in ("image_id", "source_image_id"):
        train = train.filter(pc.invert(pc.is_in(train[name], value_set=pictures)))
    keys = train["pair_id"].to_pylist()
    if len(keys) < budget:
        raise StageError(
            f"{manifest} holds {len(keys)} captions to train on, fewer than the {budget} to be drawn"
        )
    order = np.argsort(coins(keys, seed, UNCURATED), kind="stable")
    share = budget / max(1, len(keys))
    drawn = [{"pair_id": keys[position], "keep_prob": share, "selected": True} for position in order[:budget]]
    return pa.Table.from_pylist(drawn, schema=TABLES["selection"])
