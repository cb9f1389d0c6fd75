"""Pairs of pictures for the second look to learn from: that show the same, and that do not though many are near by their codes.

The same: a picture and its copy, two copies of one picture, an edited picture and its copy, the demo's drawings and their copies.
Others: emoji of different families; stars, playing cards and road signs of the clip art; a picture and the copy of what was made of
it by an edit (`edits.py`); any two pictures of which one is the likest of some drawn by coin; the demo's drawings of one thing, each
in another place and light. Pictures are those of set `fit` of `descriptor_sets`, and a demo's of a seed that no demo run has by
itself: the pool's own two lists are read only to leave their pictures out.
"""

import io
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow.parquet as pq
from descriptor_sets import TRANSFORMS, Dice, PictureSet, family, make
from edits import edited
from PIL import Image

from curation.dedup import builtin, second_look
from curation.dedup.neighbours import near_pairs
from curation.demo.web import build
from curation.ids import coin
from curation.images import UndecodableImageError, decode

LEAST = 0.84  # of the codes' cosine: what a second look may be asked about
SERIES = (
    "shapes/stars/",
    "recreation/games/cards/",
    "transportation/roadsigns/",
)  # in which no two show the same
SERIES_SHARE = 0.06  # of their near pairs, which are very many
COPIES = 9_000
OTHERS, DRAWN, OTHERS_LIKE = (
    12_000,
    60,
    0.97,
)  # pairs; of how many each takes the likest; above, they may be copies
EDITS, EMOJI_EDITS, EDITED_SIDE = (
    6,
    3,
    192,
)  # of a picture; of an emoji; pixels: pictures are reduced to at most twice that
SAME_ARTWORK = 2.0  # levels of mean difference: below, a pair of two names is one drawing
EDIT_SEEN = 3.0  # and below this, an edit is hardly seen
DEMO_SEED, DEMO_PICTURES, DEMO_OTHERS = 7, 3_000, 20_000
PROCESSES = 2


@dataclass(frozen=True)
class Described:
    """Codes int8 (N, V, D) and details uint8 (N, L) of some pictures."""

    codes: np.ndarray
    details: np.ndarray

    @classmethod
    def of(cls, found: list[tuple[np.ndarray, np.ndarray]]) -> "Described":
        """Put single ones together."""
        return cls(np.stack([one[0] for one in found]), np.stack([one[1] for one in found]))

    def take(self, chosen: np.ndarray | list[int]) -> "Described":
        """Return some of them."""
        return Described(self.codes[chosen], self.details[chosen])


@dataclass(frozen=True)
class Sort:
    """Pairs of one sort, near by their codes."""

    name: str
    first: np.ndarray
    """uint8 (E, L), details."""
    second: np.ndarray
    same: bool
    weight: float = 1.0
    """Of a pair, beside those of other sorts."""


def sort_of(name: str, first: Described, second: Described, *, same: bool, weight: float = 1.0) -> Sort:
    """Return the pairs whose codes are near."""
    near = _cosines(first.codes, second.codes) >= LEAST
    return Sort(name, first.details[near], second.details[near], same, weight)


def _cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the best cosine over the views, float32 (E,)."""
    found = [np.zeros(0, np.float32)]
    for start in range(0, len(first), 1_024):
        one, two = (codes[start : start + 1_024].astype(np.float32) for codes in (first, second))
        one, two = (
            codes / np.maximum(np.linalg.norm(codes, axis=2, keepdims=True), 1) for codes in (one, two)
        )
        found.append(np.einsum("eqd,evd->eqv", one[:, : builtin.QUERY_VIEWS], two).max(axis=(1, 2)))
    return np.concatenate(found)


def described(image: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    """Return codes and detail of an RGB picture."""
    found = builtin.described(image)
    return found.codes, np.frombuffer(found.detail, np.uint8)


def _described_body(body: bytes) -> tuple[np.ndarray, np.ndarray] | None:
    image = opened(body, builtin.WORKING_SIDE)
    return described(image) if image else None


def opened(body: bytes, side: int | None = None) -> Image.Image | None:
    """Return a picture, or nothing where it cannot be decoded."""
    try:
        return decode(body, draft_side=side).image
    except UndecodableImageError:
        return None


def all_sorts(pool: Path, name: str, seed: int, *, demo_seed: int | None) -> Iterator[Sort]:
    """Yield the pairs of set `fit` or `test`, and those of a demo."""
    pictures = make(pool, name, seed, copies=COPIES)
    with ProcessPoolExecutor(PROCESSES) as pool_of:
        found = dict(
            zip(
                pictures.pictures,
                pool_of.map(_described_body, pictures.pictures.values(), chunksize=64),
                strict=True,
            )
        )
        bodies = [copy.body for copy in pictures.copies]
        copies = Described.of([one for one in pool_of.map(_described_body, bodies, chunksize=64) if one])
        names = [path for path, one in found.items() if one]
        every = Described.of([one for one in found.values() if one])
        yield from _copies(pictures, names, every, copies)
        yield _unlike(names, every, seed)
        yield _others(names + [copy.source for copy in pictures.copies], _both(every, copies), seed)
        jobs = list(_edit_jobs(pictures.pictures, names, seed))
        yield from _edits([one for one in pool_of.map(_edited, jobs, chunksize=64) if one])
        if demo_seed is not None:
            yield from _demo(demo_seed, pool_of)


def _both(first: Described, second: Described) -> Described:
    return Described(
        np.concatenate([first.codes, second.codes]), np.concatenate([first.details, second.details])
    )


def _copies(pictures: PictureSet, names: list[str], every: Described, copies: Described) -> Iterator[Sort]:
    """Yield each copy beside its picture, and the copies of one picture beside each other."""
    place = {name: number for number, name in enumerate(names)}
    yield sort_of("copy", every.take([place[copy.source] for copy in pictures.copies]), copies, same=True)
    of_source = defaultdict(list)
    for number, copy in enumerate(pictures.copies):
        of_source[copy.source].append(number)
    first, second = zip(*(pair for numbers in of_source.values() for pair in pairwise(numbers)), strict=True)
    yield sort_of("copies", copies.take(list(first)), copies.take(list(second)), same=True)


def _unlike(names: list[str], every: Described, seed: int) -> Sort:
    """Return near pairs of emoji of two families, and some of the clip art's series."""
    pairs = near_pairs(every.codes, LEAST, query_views=builtin.QUERY_VIEWS)
    chosen = []
    for first, second in zip(pairs.first, pairs.second, strict=True):
        one, two = names[first], names[second]
        series = any(part in one and part in two for part in SERIES)
        emoji = one.startswith("emoji/") and two.startswith("emoji/") and family(one) != family(two)
        if emoji or (series and coin(f"{one}\0{two}", seed, "fit-second-look") < SERIES_SHARE):
            chosen.append((first, second))
    left, right = (every.take(list(side)) for side in zip(*chosen, strict=True))
    other = _difference(left.details, right.details) > SAME_ARTWORK
    return sort_of("unlike", left.take(other), right.take(other), same=False)


def _others(names: list[str], every: Described, seed: int) -> Sort:
    """Return pictures and copies beside the likest, by their codes, of some drawn by coin.

    names: of the picture that each is, or is a copy of.
    """
    things = [family(name) if name.startswith("emoji/") else name for name in names]
    first, second = [], []
    for turn in range(OTHERS):
        dice = Dice(f"others {turn}", seed)
        one = int(dice.between(0, len(names)))
        drawn = [int(dice.between(0, len(names))) for _ in range(DRAWN)]
        drawn = [number for number in drawn if things[number] != things[one]]
        cosines = _cosines(np.repeat(every.codes[[one]], len(drawn), axis=0), every.codes[drawn])
        best = int(cosines.argmax())
        if cosines[best] < OTHERS_LIKE:
            first.append(one)
            second.append(drawn[best])
    return Sort("others", every.details[first], every.details[second], same=False)


def _difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the mean difference of luminance and of chroma as they lie, the larger of both."""
    one, two = (side.view(second_look.DETAIL)[:, 0] for side in (first, second))
    parts = [
        np.abs(one[name].astype(np.float64) - two[name]).reshape(len(first), -1).mean(axis=1)
        for name in ("luminance", "colour")
    ]
    larger: np.ndarray = np.maximum(*parts)
    return larger


_Job = tuple[str, bytes, bytes, int]
_Edited = tuple[tuple[np.ndarray, np.ndarray], ...]


def _edit_jobs(pictures: dict[str, bytes], names: list[str], seed: int) -> Iterator[_Job]:
    """Yield what is edited: a key, the picture, another one."""
    dice = Dice("edits", seed)
    for name in names:
        for turn in range(EMOJI_EDITS if name.startswith("emoji/") else EDITS):
            yield f"{name}\0{turn}", pictures[name], pictures[dice.one_of(names)], seed


def _edited(job: _Job) -> _Edited | None:
    """Return the descriptors of a picture, of it edited, and of a copy of that; nothing where it is too small."""
    key, body, other_body, seed = job
    image, other = opened(body, EDITED_SIDE), opened(other_body, builtin.WORKING_SIDE)
    if image is None or other is None or min(image.size) < EDITED_SIDE // 4:
        return None
    factors = (max(1, image.width // EDITED_SIDE), max(1, image.height // EDITED_SIDE))
    image, dice = image.reduce(factors), Dice(key, seed)
    made = edited(image, other, dice)
    copy = TRANSFORMS[dice.one_of(sorted(TRANSFORMS))](made, dice)
    stream = io.BytesIO()
    copy.save(stream, "JPEG", quality=round(dice.between(40, 95)))
    return described(image), described(made), described(decode(stream.getvalue()).image)


def _edits(found: list[_Edited]) -> Iterator[Sort]:
    """Yield pictures beside the copies of what they were edited to, and the edited beside their copies."""
    before, after, copies = (Described.of([one[part] for one in found]) for part in range(3))
    seen = (_difference(before.details, after.details) > EDIT_SEEN) & before.codes.any(axis=(1, 2))
    yield sort_of("edit", before.take(seen), copies.take(seen), same=False, weight=0.7)
    third = np.flatnonzero(seen)[::3]
    yield sort_of("edit copy", after.take(third), copies.take(third), same=True)


def _demo(seed: int, processes: ProcessPoolExecutor) -> Iterator[Sort]:
    """Yield near pairs of a demo's pictures: of one drawing, and of two."""
    with TemporaryDirectory() as folder:
        web = build(Path(folder) / "web", seed=seed, pictures=DEMO_PICTURES)
        rows = [row for row in pq.read_table(web.pictures).to_pylist() if not row["fault"]]
        with zipfile.ZipFile(web.folder / "site.zip") as site:
            bodies = [site.read(row["url"].partition("://")[2]) for row in rows]
    found = list(processes.map(_described_body, bodies, chunksize=64))
    of = {
        one[1].tobytes() + one[0].tobytes(): number for number, one in enumerate(found) if one
    }  # one of the equal
    kept = sorted(of.values())
    every = Described.of([one for number in kept if (one := found[number])])
    drawing = np.array([rows[number]["copy_of"] or rows[number]["url"] for number in kept])
    pairs = near_pairs(every.codes, LEAST, query_views=builtin.QUERY_VIEWS)
    same = drawing[pairs.first] == drawing[pairs.second]
    luck = np.array(
        [coin(f"{a}:{b}", seed, "fit-demo") for a, b in zip(pairs.first, pairs.second, strict=True)]
    )
    others = np.argsort(np.where(same, 2, luck), kind="stable")[: min(DEMO_OTHERS, int((~same).sum()))]
    for name, chosen, weight in (("demo copy", np.flatnonzero(same), 2.0), ("demo", others, 0.5)):
        first, second = (every.details[side[chosen]] for side in (pairs.first, pairs.second))
        yield Sort(name, first, second, same=name == "demo copy", weight=weight)
