"""Runs up to the search for near pictures, made by coin without a picture: what stage `dedup` reads, and what it must answer."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from handmade import Rows, note, write

from curation.config import (
    BalanceSection,
    DedupSection,
    NeighboursSection,
    RunConfig,
    RunSection,
    SparkSection,
)
from curation.dedup.groups import Groups, group, rank
from curation.dedup.index import externals, open_chain
from curation.dedup.neighbours import Pairs
from curation.ids import coin, image_id, pair_id

KIND = {"name": "made-up", "sha256": "c0" * 32, "views": 1, "query_views": 1, "dimension": 2}
FLOOR, THRESHOLD = 0.92, 0.95
STEPS = (0.92, 0.94, 0.95, 0.97, 0.99, 1.0)


@dataclass(frozen=True)
class World:
    """Pictures in the order of image_id, of some crawls; a class is of one crawl."""

    ids: list[str]
    pixels: np.ndarray
    of_class: np.ndarray
    epoch: np.ndarray
    near: dict[tuple[int, int], float]
    """Cosines of classes, a < b; down to the floor."""

    @staticmethod
    def drawn(num: int, seed: int, epochs: int = 1) -> "World":
        """Draw pictures of 3/4 as many classes, and as many near pairs of classes as there are classes."""

        def toss(what: str) -> float:
            return coin(what, seed, "world")

        ids = sorted(image_id(f"{seed} {n}".encode()) for n in range(num))
        classes = max(1, 3 * num // 4)
        of_class = np.array([int(toss(f"class {one}") * classes) for one in ids])
        when = np.array([int(toss(f"epoch {c}") * epochs) for c in range(classes)])
        near = {}
        for n in range(classes):
            a = int(toss(f"a {n}") ** 2 * classes)
            b = a + 1 + int(toss(f"b {n}") * 6)
            if b < classes:
                near[a, b] = STEPS[int(toss(f"cosine {n}") * len(STEPS))]
        pixels = np.array([100 + int(toss(f"pixels {one}") * 4) for one in ids])
        return World(ids, pixels, of_class, when[of_class], near)

    def best(self) -> np.ndarray:
        """Position of the best-ranked of each picture's class."""
        ranks = self.ranks()
        return np.array(
            [min(np.flatnonzero(self.of_class == c), key=lambda n: ranks[n]) for c in self.of_class]
        )

    def ranks(self) -> np.ndarray:
        return rank(self.pixels, epochs=self.epoch)

    def groups(self, rule: str, threshold: float = THRESHOLD, without: Iterable[int] = ()) -> Groups:
        """What must come out of all crawls at once. without: classes that an evaluation set has."""
        best, gone = self.best(), set(without)
        place = dict(zip(self.of_class.tolist(), best.tolist(), strict=True))
        found = sorted(
            (*sorted((place[a], place[b])), value)
            for (a, b), value in self.near.items()
            if value >= threshold and a in place and b in place and not {a, b} & gone
        )
        columns = np.array(found).reshape(-1, 3).T
        pairs = Pairs(columns[0].astype(np.int64), columns[1].astype(np.int64), columns[2])
        return group(self.ranks(), best, pairs, rule, self.epoch)

    def write(
        self, run: Path, epoch: int = 0, *, chain: Sequence[Path] = (), again: Iterable[str] = ()
    ) -> RunConfig:
        """Write what `dedup` reads of one crawl, its search included. chain: indexes of earlier ones. again: seen before."""
        own = [n for n, one in enumerate(self.epoch) if one == epoch]
        seen = {*again}
        shown = [n for n, one in enumerate(self.ids) if n in own or one in seen]
        write(run, "embed", "descriptors", [self._described(n) for n in shown])
        note(run, "embed", notes={"kind": KIND})
        searched = {
            int(c): min(self.ids[n] for n in own if self.of_class[n] == c) for c in self.of_class[own]
        }
        known = {row["image_id"] for index in chain for row in table(index, "vectors", ".")}
        older = {int(self.of_class[n]): one for n, one in enumerate(self.ids) if one in known}
        self._search(run, own, searched, older)
        note(run, "neighbours", externals=externals(open_chain(list(chain))))
        self._captions(run, shown)
        return config(run)

    def _described(self, n: int) -> dict[str, Any]:
        codes = bytes((1, int(self.of_class[n]) % 128))
        sides = {"width": 1, "height": int(self.pixels[n])}
        return {
            "image_id": self.ids[n],
            **sides,
            "codes": codes,
            "kind": KIND["name"],
            "kind_sha256": KIND["sha256"],
        }

    def _search(self, run: Path, own: list[int], searched: dict[int, str], older: dict[int, str]) -> None:
        identical = [
            {"image_id": self.ids[n], "representative": searched[self.of_class[n]]}
            for n in own
            if searched[self.of_class[n]] != self.ids[n]
        ]
        ends = older | searched
        edges: Rows = []
        for (a, b), value in self.near.items():
            if a in ends and b in ends and (a in searched or b in searched):
                first, second = sorted((ends[a], ends[b]))
                edges.append({"image_id_a": first, "image_id_b": second, "cosine": value})
        vectors = [
            {"image_id": one, "view": 0, "cell": c % 3, "visits": [c % 3], "code": bytes((1, c % 128))}
            for c, one in searched.items()
        ]
        for name, rows in (("identical", identical), ("edges", edges), ("vectors", vectors)):
            write(run, "neighbours", name, rows)
        np.save(run / "neighbours" / "centroids.npy", np.ones((3, 2), np.int8))
        search = {
            "floor": FLOOR,
            "agreement_bound": None,
            "centroids_sha256": "ce" * 32,
            "mode": "exhaustive",
        }
        note(run, "neighbours", notes={"kind": KIND, "search": search, "audit": None})

    def _captions(self, run: Path, shown: list[int]) -> None:
        wanted, outcomes, matches = [], [], []
        for n in shown:
            for copy in range(1 + n % 2):
                url = f"http://a.test/{self.ids[n][:12]}/{copy}"
                text = f"caption {int(self.of_class[n]) % 5}"
                key = pair_id(url, text)
                outcomes.append({"url": url, "status": "ok", "image_id": self.ids[n], "bytes": 1_000 + n})
                wanted.append(
                    {"pair_id": key, "url": url, "keep_prob": 0.5, "coin": 0.25, "held_out": n % 17 == 3}
                )
                matches.append(
                    {
                        "pair_id": key, "lang": "en", "url": url, "text": text, "clean_text": text, "lang_score": 1.0,
                        "detector": "script", "mixed": False, "entry_ids": [1],
                    }
                )  # fmt: skip
        write(run, "balance", "wanted", wanted)
        write(run, "download", "outcomes", outcomes)
        write(run, "match", "matches", matches)


def config(run: Path, *, against: tuple[Path, ...] = (), partitions: int = 2, **dedup: Any) -> RunConfig:
    """Return the configuration of such a run."""
    return RunConfig(
        run=RunSection(path=run, languages=("en", "ko")), balance=BalanceSection(t={"en": 20.0}),
        spark=SparkSection(partitions=partitions), neighbours=NeighboursSection(against=against),
        dedup=DedupSection(threshold=dedup.pop("threshold", THRESHOLD), **dedup),
    )  # fmt: skip


def table(run: Path, name: str, stage: str = "dedup") -> Rows:
    """Read a table, sorted by its first column."""
    read = pq.read_table(run / stage / name)
    rows: Rows = read.sort_by([(read.schema.names[0], "ascending")]).to_pylist()
    return rows
