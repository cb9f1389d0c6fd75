"""Crawl after crawl by the real stages: what joins what is what all crawls at once give, in the cells of the first one's index."""

import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from drawings import saved
from handmade import fetch, write
from PIL import Image, ImageOps
from pyspark.sql import SparkSession

from curation.config import (
    BalanceSection,
    DedupSection,
    NeighboursSection,
    RunConfig,
    RunSection,
    SparkSection,
)
from curation.dedup import groups
from curation.dedup.cells import load
from curation.dedup.groups import Graph, Groups, group, rank
from curation.dedup.index import open_chain
from curation.dedup.kinds import Kind, codes_of, details_of, recipe_of, second_look
from curation.dedup.neighbours import Pairs
from curation.dedup.search import Visiting, near_pairs_by_cells
from curation.ids import coin, image_id, pair_id
from curation.spark import dedup, embed, neighbours
from curation.stage import read_record

KIND, SEED = recipe_of("builtin").kind, 6
THRESHOLD = 0.9
Row = dict[str, Any]


def copies(number: int) -> list[bytes]:
    """Return files of one picture, of nearly one picture, and of one with the same pixels in other bytes."""
    levels = np.frombuffer(
        b"".join(image_id(f"{SEED} {number} {n}".encode()).encode() for n in range(4)), np.uint8
    )
    coarse = Image.fromarray((levels[:192].reshape(8, 8, 3) % 16 * 17).astype(np.uint8))
    whole = coarse.resize((120, 96), Image.Resampling.BICUBIC)
    cut = whole.crop((3, 2, 118, 95))
    made = [
        saved(whole), saved(whole, compress_level=1), saved(whole, "JPEG", quality=35),
        saved(whole.resize((150, 120))), saved(ImageOps.mirror(whole)), saved(cut),
        saved(ImageOps.expand(cut, 5, "black")),
    ]  # fmt: skip
    share = 0.2 if number % 3 == 0 else 0.6
    return [body for n, body in enumerate(made) if coin(f"{number} {n}", SEED, "made") < share]


@cache
def crawls() -> tuple[tuple[bytes, ...], ...]:
    """Return the bodies of two crawls; some of the first come again in the second."""
    bodies = [body for number in range(36) for body in copies(number)]
    later = [coin(image_id(body), SEED, "epoch") < 0.5 for body in bodies]
    first = [body for body, late in zip(bodies, later, strict=True) if not late]
    return tuple(first), (*(body for body, late in zip(bodies, later, strict=True) if late), *first[::6])


def config(run: Path, **keys: Any) -> RunConfig:
    against = keys.pop("against", ())
    return RunConfig(
        run=RunSection(path=run, languages=("en", "ko")), balance=BalanceSection(t={"en": 20.0}),
        spark=SparkSection(partitions=2), dedup=DedupSection(threshold=THRESHOLD, **keys),
        neighbours=NeighboursSection(probe=2, rows_per_cell=60, audit=0, device="cpu", floor=THRESHOLD, against=against),
    )  # fmt: skip


def embedded(run: Path, epoch: int) -> Path:
    """Make a crawl with its descriptors: a caption a picture."""
    files = [(f"http://a/{epoch}/{n}", body) for n, body in enumerate(crawls()[epoch])]
    fetch(run, files)
    keys = [pair_id(url, "a") for url, _ in files]
    shared = {
        "text": "a",
        "clean_text": "a",
        "lang_score": 1.0,
        "detector": "script",
        "mixed": False,
        "entry_ids": [1],
    }
    rows = [{"pair_id": key, "url": url} for key, (url, _) in zip(keys, files, strict=True)]
    write(
        run, "balance", "wanted", [row | {"keep_prob": 0.5, "coin": 0.2, "held_out": False} for row in rows]
    )
    write(run, "match", "matches", [row | shared | {"lang": "en"} for row in rows])
    embed.run(config(run))
    return run


@pytest.fixture(scope="module")
def searched(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The first crawl, searched, and the second with its descriptors."""
    place = tmp_path_factory.mktemp("against")
    first, second = embedded(place / "0", 0), embedded(place / "1", 1)
    neighbours.run(config(first))
    return first, second


@dataclass(frozen=True)
class Both:
    """Both crawls in one."""

    ids: list[str]
    epochs: np.ndarray
    graph: Graph
    groups: Groups
    best: np.ndarray


def at_once(first: Path, second: Path, rule: str) -> Both:
    """Search and group both crawls at once: the earlier one first, in the cells of the first one's index."""
    rows = [pq.read_table(run / "embed/descriptors").to_pylist() for run in (second, first)]
    by_id = {row["image_id"]: row | {"epoch": 1 - n} for n, part in enumerate(rows) for row in part}
    table = pa.Table.from_pylist([by_id[key] for key in sorted(by_id)])
    codes, details = codes_of(table, KIND, "both"), details_of(table, KIND, "both")
    epochs, ids = table["epoch"].to_numpy(), table["image_id"].to_pylist()
    ranks = rank(table["width"].to_numpy().astype(np.int64) * table["height"].to_numpy(), epochs=epochs)
    best = best_of_class(
        [(c.tobytes(), d.tobytes(), e) for c, d, e in zip(codes, details, epochs, strict=True)], ranks
    )
    alone = codes.copy()
    alone[best != np.arange(len(ids))] = 0
    chain = open_chain([first])
    cells = load(chain[0].place("centroids.npy"), chain[0].data["centroids_sha256"])
    visiting = Visiting(cells, "probe", 2, THRESHOLD)
    pairs, _ = near_pairs_by_cells(alone, visiting, query_views=KIND.query_views)
    look = second_look(KIND)
    assert look is not None
    near = look(details[pairs.first], details[pairs.second]) >= (KIND.agreement_bound or 0)
    pairs = Pairs(pairs.first[near], pairs.second[near], pairs.cosine[near])
    assert len(cells) > 5
    return Both(ids, epochs, Graph(pairs, ranks, epochs), group(ranks, best, pairs, rule, epochs), best)


def best_of_class(classes: list[tuple[Any, ...]], ranks: np.ndarray) -> np.ndarray:
    best: dict[tuple[Any, ...], int] = {}
    for n in np.argsort(ranks):
        best.setdefault(classes[n], int(n))
    return np.array([best[one] for one in classes])


def table(run: Path, name: str) -> dict[str, Row]:
    return {row["image_id"]: row for row in pq.read_table(run / "dedup" / name).to_pylist()}


@pytest.mark.parametrize("rule", ["mis", "dominated"])
def test_a_crawl_against_an_index_gives_what_both_at_once_give(
    searched: tuple[Path, Path], tmp_path: Path, rule: str
) -> None:
    first, second = (Path(shutil.copytree(run, tmp_path / run.name)) for run in searched)
    dedup.run(config(first, rule=rule))
    own = config(second, rule=rule, against=(first,))
    neighbours.run(own)
    dedup.run(own)
    both = at_once(first, second, rule)
    rows = table(first, "groups"), table(second, "groups")
    again = set(rows[0]) & set(rows[1])
    assert len(again) > 3
    for n, one in enumerate(both.ids):
        row = rows[both.epochs[n]][one]
        target = int(both.groups.joined[n])
        assert (row["joined"], row["survivor"]) == (both.ids[target], target == n), row["rule"]
        assert row["cosine"] == both.groups.cosine[n]
        assert row["in_index"] == (both.epochs[target] < both.epochs[n])
        if one in again:
            told = {key: rows[1][one][key] for key in ("joined", "group_id", "rule", "survivor", "in_index")}
            old = {"joined": row["joined"], "group_id": row["group_id"]}
            assert told == old | {"rule": "earlier", "survivor": False, "in_index": True}
    found = [row["rule"] for row in rows[1].values()]
    assert all(found.count(name) > 1 for name in ("single", "survivor", "near_descriptor")), found
    assert sum(row["in_index"] and row["rule"] == "near_descriptor" for row in rows[1].values()) > 10
    check_groups(both, rows, rule)
    check_record(first, second)


def check_groups(both: Both, rows: tuple[dict[str, Row], dict[str, Row]], rule: str) -> None:
    """An earlier group keeps its name, and who is tied to it takes that name; of two that are tied, the better's."""
    place = {one: n for n, one in enumerate(both.ids)}
    old = both.epochs == 0
    there = ~old | (
        np.array([one in rows[0] and rows[0][one]["survivor"] for one in both.ids]) if rule == "mis" else old
    )
    pairs = both.graph.pairs
    seen = there[pairs.first] & there[pairs.second] & ~(old[pairs.first] & old[pairs.second])
    roots = np.array([place[rows[0][one]["group_id"]] if one in rows[0] else place[one] for one in both.ids])
    ties = np.flatnonzero(roots != np.arange(len(roots)))
    left = Pairs(pairs.first[seen], pairs.second[seen], pairs.cosine[seen])
    label = groups.components(Graph(left, both.graph.ranks, both.epochs, (ties, roots[ties])))
    for one, row in rows[1].items():
        n = place[one]
        if not old[n]:
            assert row["group_id"] == both.ids[label[both.best[n]]]
            if row["in_index"]:
                assert row["group_id"] in rows[0]


def check_record(first: Path, second: Path) -> None:
    """The indexes say all that the next crawl asks: cells, visits, kind; and stand on one another."""
    chain = open_chain([first, second])
    search = read_record(first / "neighbours").notes["search"]
    for epoch, index in enumerate(chain):
        assert index.data["epoch"] == epoch
        assert index.data["visits"] == search["visits"] == {"mode": "probe", "probe": 2}
        assert index.data["centroids_sha256"] == search["centroids_sha256"]
        assert Kind.of_note(read_record(first / "embed").notes["kind"]).sha256 == index.data["kind_sha256"]
        assert {one["epoch"] for one in table(index.path.parents[1], "index/members").values()} == {epoch}
    old, new = (table(run, "index/members") for run in (first, second))
    assert not set(old) & set(new)
