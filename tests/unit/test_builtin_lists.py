"""The built-in descriptor on the pool's two lists, which nothing was fitted to: copies in one group, different things in none."""

import zipfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from curation.dedup import builtin, second_look
from curation.dedup.groups import Groups, group, rank
from curation.dedup.neighbours import Pairs, near_pairs
from curation.images import decode

SITE = "http://127.0.0.1:8765/"


def read(pool: Path, table: str, column: str) -> list[str]:
    urls = pq.read_table(pool / f"{table}.parquet", columns=[column])[column].to_pylist()
    return [url.removeprefix(SITE) for url in urls]


@pytest.fixture(scope="module")
def grouped(shared: Path) -> tuple[Path, dict[str, int], Groups]:
    pool = shared / "pool"
    listed = [("duplicates", "url"), ("duplicates", "duplicate_url"), ("distinct", "url")]
    paths = sorted({path for table, column in listed for path in read(pool, table, column)})
    with zipfile.ZipFile(pool / "site.zip") as site:
        pictures = [decode(site.read(path), draft_side=builtin.WORKING_SIDE) for path in paths]
    found = [builtin.described(picture.image) for picture in pictures]
    codes = np.stack([one.codes for one in found])
    details = np.stack([np.frombuffer(one.detail, np.uint8) for one in found])
    ranks = rank(np.array([picture.width * picture.height for picture in pictures]))
    pairs = near_pairs(codes, builtin.THRESHOLD, query_views=builtin.QUERY_VIEWS)
    agree = second_look.agreement_of(details, pairs.first, pairs.second) >= second_look.BOUND
    near = Pairs(pairs.first[agree], pairs.second[agree], pairs.cosine[agree])
    place = {path: number for number, path in enumerate(paths)}
    return pool, place, group(ranks, np.arange(len(paths)), near)


def test_copies_are_in_one_group(grouped: tuple[Path, dict[str, int], Groups]) -> None:
    pool, place, groups = grouped
    together = defaultdict(list)
    for row in pq.read_table(pool / "duplicates.parquet").to_pylist():
        here, there = (
            groups.joined[place[row[name].removeprefix(SITE)]] for name in ("url", "duplicate_url")
        )
        together[row["transform"]].append(here == there)
    shares = {transform: float(np.mean(found)) for transform, found in together.items()}
    assert len(shares) == 9
    assert min(shares.values()) >= 0.92, shares
    assert np.mean(np.concatenate(list(together.values()))) >= 0.97, shares


def test_different_things_are_in_different_groups(grouped: tuple[Path, dict[str, int], Groups]) -> None:
    pool, place, groups = grouped
    joined = groups.joined[[place[path] for path in read(pool, "distinct", "url")]]
    _, sizes = np.unique(joined, return_counts=True)
    assert sizes[sizes > 1].sum() <= 3
