"""What the built-in descriptor finds of copies, what it joins that it should not, and how fast it is.

    python benchmarks/descriptors.py [--shared ../shared] [--sets fit test given twin] [--emoji FOLDER] [--out FILE.json]

Four sets, each grouped as a whole by rule `mis`: `fit`, of whose pictures the second look was trained; `test`, other pictures, another
seed, emoji of another maker, stronger changes; `given`, all pictures of the pool with its own two lists, which nothing was fitted to;
`twin`, lists made like those of other pictures from another seed (`twin_pool.py`), with --emoji of a maker from elsewhere. A copy is
found where it is in one group with its picture. A false one is an emoji in one group with one of another family, or one of the
list of different things in one group with another of them.
"""

import argparse
import json
import time
import zipfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import twin_pool
from descriptor_sets import SITE, PictureSet, make
from machine import machine, versions

from curation.dedup import builtin, second_look
from curation.dedup.faiss_package import load_faiss
from curation.dedup.groups import Groups, group, rank, representatives
from curation.dedup.neighbours import Pairs, near_pairs
from curation.images import UndecodableImageError, decode

GRID = {"threshold": (0.88, 0.9, 0.92, 0.95), "bound": (0.35, 0.4, 0.45, 0.5, 0.55)}
FLOOR = min(GRID["threshold"])
SEEDS = {"fit": 3, "test": 2, "twin": 11}  # the network was trained on copies of another one


@dataclass(frozen=True)
class Trial:
    """Pictures with what is known of them."""

    bodies: dict[str, bytes]
    """By name, all different."""
    copies: list[tuple[str, str, str]]
    """Picture, copy, transform."""
    things: dict[str, str]
    """Pictures of which two may be in one group only if they show one thing."""


def trial_of(pool: Path, name: str, emoji: Path | None = None) -> Trial:
    """Return a set by its name."""
    if name == "given":
        return given(pool)
    if name == "twin":
        return made(twin_pool.make(pool, SEEDS[name], emoji))
    return made(make(pool, name, SEEDS[name]))


def made(pictures: PictureSet) -> Trial:
    """Return a set with its copies under names of their own."""
    bodies = dict(pictures.pictures)
    copies = []
    for number, copy in enumerate(pictures.copies):
        bodies[f"copy {number:05}"] = copy.body
        copies.append((copy.source, f"copy {number:05}", copy.transform))
    return Trial(bodies, copies, pictures.families)


def given(pool: Path) -> Trial:
    """Return all pictures of the pool, with its lists."""
    with zipfile.ZipFile(pool / "site.zip") as site:
        bodies = {path: site.read(path) for path in site.namelist() if not path.startswith("bad/")}
    listed = pq.read_table(pool / "duplicates.parquet").to_pylist()
    copies = [(_path(row["url"]), _path(row["duplicate_url"]), row["transform"]) for row in listed]
    distinct = [_path(url) for url in pq.read_table(pool / "distinct.parquet")["url"].to_pylist()]
    return Trial(bodies, copies, {path: path for path in distinct})


def _path(url: str) -> str:
    return url.removeprefix(SITE)


@dataclass(frozen=True)
class Searched:
    """The described pictures, by name, and the pairs that the codes propose."""

    place: dict[str, int]
    ranks: np.ndarray
    same: np.ndarray
    pairs: Pairs
    agreement: np.ndarray

    def grouped(self, threshold: float, bound: float) -> Groups:
        """Return the groups of pairs that reach both."""
        near = (self.pairs.cosine >= threshold) & (self.agreement >= bound)
        kept = Pairs(self.pairs.first[near], self.pairs.second[near], self.pairs.cosine[near])
        return group(self.ranks, self.same, kept)


def searched(trial: Trial) -> tuple[Searched, dict[str, Any]]:
    """Describe, search, look again; and how long that took, on one core."""
    names, codes, details, sides = [], [], [], []
    started = time.process_time()
    for name, body in sorted(trial.bodies.items()):
        try:
            picture = decode(body, draft_side=builtin.WORKING_SIDE)
        except UndecodableImageError:
            continue
        found = builtin.described(picture.image)
        names.append(name)
        codes.append(found.codes)
        details.append(np.frombuffer(found.detail, np.uint8))
        sides.append(picture.width * picture.height)
    described = time.process_time() - started
    all_codes, all_details = np.stack(codes), np.stack(details)
    both = np.concatenate([all_codes.reshape(len(names), -1), all_details.view(np.int8)], axis=1)
    ranks = rank(np.array(sides))
    same = representatives(np.where(all_codes.any(axis=(1, 2))[:, None], both, 0), ranks)
    alone = np.flatnonzero(same == np.arange(len(names)))
    pairs = near_pairs(all_codes[alone], FLOOR, query_views=builtin.QUERY_VIEWS)
    pairs = Pairs(alone[pairs.first], alone[pairs.second], pairs.cosine)
    started = time.process_time()
    agreement = second_look.agreement_of(all_details, pairs.first, pairs.second)
    looked = time.process_time() - started
    speed = {
        "pictures": len(names), "pictures_a_second": round(len(names) / described),
        "pairs_looked_at": len(pairs), "pairs_a_second": round(len(pairs) / max(looked, 1e-9)),
        "different_descriptors": len(alone),
    }  # fmt: skip
    place = {name: number for number, name in enumerate(names)}
    return Searched(place, ranks, same, pairs, agreement), speed


def figures(trial: Trial, found: Searched, threshold: float, bound: float) -> dict[str, Any]:
    """Return recall by transform, false ones, and the sizes of groups."""
    groups = found.grouped(threshold, bound)
    by_transform = defaultdict(list)
    for source, copy, transform in trial.copies:
        one = groups.joined[found.place[source]] == groups.joined[found.place[copy]]
        by_transform["two" if "+" in transform else transform].append(one)
    things = defaultdict(list)
    for name, thing in trial.things.items():
        if name in found.place:
            things[int(groups.joined[found.place[name]])].append(thing)
    false = sum(len(shown) for shown in things.values() if len(set(shown)) > 1)
    every = [one for found_ones in by_transform.values() for one in found_ones]
    sizes = [np.sort(np.bincount(part))[::-1][:5].tolist() for part in (groups.joined, groups.component)]
    return {
        "threshold": threshold, "bound": bound, "recall": round(float(np.mean(every)), 4),
        "recall_by_transform": {name: round(float(np.mean(ones)), 4) for name, ones in sorted(by_transform.items())},
        "false": false, "things": len(trial.things), "kept": int((groups.joined == np.arange(len(groups.joined))).sum()),
        "largest_groups": sizes[0], "largest_components": sizes[1],
    }  # fmt: skip


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument(
        "--sets",
        nargs="+",
        default=["fit", "test", "given", "twin"],
        help="others stay as they are in the file",
    )
    parser.add_argument(
        "--emoji", type=Path, help="pictures named by code points, for the twin's different things"
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/descriptors.json"))
    options = parser.parse_args()
    load_faiss().omp_set_num_threads(1)
    result: dict[str, Any] = json.loads(options.out.read_text("utf-8")) if options.out.is_file() else {}
    result |= {
        "machine": machine(), "versions": versions("numpy", "pillow", "faiss-cpu"), "builtin": builtin.parameters(),
        "bytes_a_picture": {"codes": builtin.VIEWS * builtin.DIMENSION, "detail": second_look.DETAIL_BYTES},
    }  # fmt: skip
    for name in options.sets:
        trial = trial_of(options.shared / "pool", name, options.emoji)
        found, speed = searched(trial)
        result[name] = {**speed, "grid": []}
        for threshold in GRID["threshold"]:
            for bound in GRID["bound"]:
                row = figures(trial, found, threshold, bound)
                result[name]["grid"].append(row)
                print(name, json.dumps(row), flush=True)
        print(name, json.dumps(speed), flush=True)
        options.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
