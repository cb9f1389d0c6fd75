"""Fits the weights of `curation.dedup.second_look` on the set `fit` of `descriptor_sets`, and writes them as integers.

    python benchmarks/fit_second_look.py [--shared ../shared] [--out curation/dedup/second_look.json]

Pairs that show the same: each picture and its copies, and the copies among themselves. Pairs that do not, though many of them are
near by their codes: emoji of different families, stars, playing cards and road signs of the clip art, pictures with colours
exchanged, pictures with a piece of another pasted in, and any two pictures of which one is the likest of some drawn by coin. The pool's own two lists are not read but to leave their pictures out.
"""

import argparse
import io
import json
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from descriptor_sets import Dice, PictureSet, family, make
from PIL import Image

from curation.dedup import builtin, second_look
from curation.dedup.evidence import FEATURES
from curation.dedup.neighbours import near_pairs
from curation.ids import coin
from curation.images import UndecodableImageError, decode

SEED = 1
THRESHOLD = 0.85  # of the codes: what a second look may be asked about
SERIES = (
    "shapes/stars/",
    "recreation/games/cards/",
    "transportation/roadsigns/",
)  # in which no two show the same
SERIES_SHARE = 0.06  # of their near pairs, which are very many
COPIES = 4_500
OTHERS, DRAWN, OTHERS_LIKE = (
    12_000,
    60,
    0.97,
)  # pairs; of how many each takes the likest; above, they may be copies
TWINS_SHARE = 0.5  # of the pictures
BINS, UNITS, STEPS, NETWORKS = 32, 32, 1_500, 5
SPREAD = 4  # inputs lie from -2 to 2
WEIGHT_BITS, CERTAIN = 6, 20  # binary places of weights; log odds from agreement 0 to 1
SAME_ARTWORK = 2.0  # levels of mean difference: below, a pair of two names is one drawing


@dataclass(frozen=True)
class Described:
    """Codes and details of some pictures."""

    codes: np.ndarray
    details: np.ndarray

    @classmethod
    def of(cls, images: list[Image.Image]) -> "Described":
        """Describe RGB pictures."""
        found = [builtin.described(image) for image in images]
        details = np.stack([np.frombuffer(one.detail, np.uint8) for one in found])
        return cls(np.stack([one.codes for one in found]), details)


def _parts(described: Described) -> tuple[np.ndarray, np.ndarray]:
    return described.codes, described.details


def opened(body: bytes) -> Image.Image | None:
    """Return a picture, or nothing."""
    try:
        return decode(body, draft_side=builtin.WORKING_SIDE).image
    except UndecodableImageError:
        return None


def same_pairs(
    pictures: PictureSet, described: Described, copies: Described, place: dict[str, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return details (E, L) of each copy and its picture, and of the copies of one picture among themselves."""
    left = [described.details[place[copy.source]] for copy in pictures.copies]
    right = list(copies.details)
    of_source = defaultdict(list)
    for number, copy in enumerate(pictures.copies):
        of_source[copy.source].append(number)
    for numbers in of_source.values():
        for first, second in pairwise(numbers):
            left.append(copies.details[first])
            right.append(copies.details[second])
    return np.stack(left), np.stack(right)


def unlike_pairs(described: Described, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return details (E, L) of near pairs of emoji of two families, and of some in the clip art's series."""
    pairs = near_pairs(described.codes, THRESHOLD, query_views=builtin.QUERY_VIEWS)
    chosen = []
    for first, second in zip(pairs.first, pairs.second, strict=True):
        one, two = names[first], names[second]
        series = any(part in one and part in two for part in SERIES)
        emoji = one.startswith("emoji/") and two.startswith("emoji/") and family(one) != family(two)
        if emoji or (series and coin(f"{one}\0{two}", SEED, "fit-second-look") < SERIES_SHARE):
            chosen.append((first, second))
    left, right = (described.details[list(side)] for side in zip(*chosen, strict=True))
    other = _difference(left, right) > SAME_ARTWORK
    return left[other], right[other]


def other_pairs(described: Described, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return details (E, L) of pictures and copies beside the likest, by their codes, of some drawn by coin.

    names: of the picture that each is, or is a copy of.
    """
    vectors = described.codes.astype(np.float32)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=2, keepdims=True), np.float32(1))
    things = [family(name) if name.startswith("emoji/") else name for name in names]
    chosen = []
    for turn in range(OTHERS):
        dice = Dice(f"others {turn}", SEED)
        first = int(dice.between(0, len(names)))
        drawn = [int(dice.between(0, len(names))) for _ in range(DRAWN)]
        drawn = [number for number in drawn if things[number] != things[first]]
        cosines = np.einsum("qd,nvd->nqv", vectors[first, : builtin.QUERY_VIEWS], vectors[drawn]).max(
            axis=(1, 2)
        )
        best = int(cosines.argmax())
        if 0 < cosines[best] < OTHERS_LIKE:
            chosen.append((first, drawn[best]))
    left, right = (described.details[list(side)] for side in zip(*chosen, strict=True))
    return left, right


def _difference(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the mean difference of luminance and of chroma as they lie, the larger of both."""
    one, two = (side.view(second_look.DETAIL)[:, 0] for side in (left, right))
    parts = [
        np.abs(one[name].astype(np.float64) - two[name]).reshape(len(left), -1).mean(axis=1)
        for name in ("luminance", "colour")
    ]
    return np.maximum(*parts)


def twins(images: list[Image.Image], names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return details (E, L) of pictures and of what was made of them: other colours, or a piece of another picture."""
    left, right = [], []
    for image, name in zip(images, names, strict=True):
        dice = Dice(name, SEED)
        if dice.between(0, 1) > TWINS_SHARE or min(image.size) < 48:
            continue
        made = (
            Image.merge(
                "RGB", [image.split()[k] for k in dice.one_of([(1, 2, 0), (2, 0, 1), (0, 2, 1), (1, 0, 2)])]
            )
            if dice.between(0, 1) < 0.4
            else _pasted(image, images[int(dice.between(0, len(images)))], dice)
        )
        before, after = builtin.described(image), builtin.described(_as_jpeg(made, dice))
        pair = [np.frombuffer(one.detail, np.uint8)[None] for one in (before, after)]
        if _difference(*pair)[0] > 2 * SAME_ARTWORK and before.codes.any():
            left.append(pair[0][0])
            right.append(pair[1][0])
    return np.stack(left), np.stack(right)


def _pasted(image: Image.Image, other: Image.Image, dice: Dice) -> Image.Image:
    """Return the picture with a piece of the other, a fifth to two fifths of the side of what is not border."""
    left, upper, right, lower = builtin.trimmed(image).outer
    share = dice.between(0.2, 0.4)
    width, height = max(4, round((right - left) * share)), max(4, round((lower - upper) * share))
    x = left + round(dice.between(0, right - left - width))
    y = upper + round(dice.between(0, lower - upper - height))
    inner = builtin.trimmed(other).outer
    made = image.copy()
    made.paste(other.crop(inner).resize((width, height)), (x, y))
    return made


def _as_jpeg(image: Image.Image, dice: Dice) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=round(dice.between(70, 95)))
    return decode(stream.getvalue()).image


def features(pairs: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Return the features of pairs, float64 (E, F)."""
    left, right = pairs
    step = second_look.BATCH
    return np.concatenate(
        [
            second_look.features(left[start : start + step], right[start : start + step])
            for start in range(0, len(left), step)
        ]
    )


def fitted(same: np.ndarray, unlike: np.ndarray) -> dict[str, object]:
    """Return the weights, as second_look.json has them: of networks from several seeds side by side, which are averaged."""
    same = same[same[:, FEATURES.index("uncorrelated")] <= second_look.UNCORRELATED]
    both = np.concatenate([same, unlike])
    bounds = [np.unique(np.quantile(column, np.arange(1, BINS) / BINS)) for column in both.T]
    bins = np.stack(
        [np.searchsorted(b, column, side="right") for b, column in zip(bounds, both.T, strict=True)], axis=1
    )
    parts = [_trained(bins, len(same), seed) for seed in range(NETWORKS)]
    hidden, hidden_bias, out = (np.concatenate([part[name] for part in parts], axis=-1) for name in range(3))
    return {
        "features": list(FEATURES),
        "bounds": [column.tolist() for column in bounds],
        "hidden": hidden.tolist(),
        "hidden_bias": hidden_bias.tolist(),
        "out": out.tolist(),
        "out_bias": int(sum(part[3] for part in parts)),
        "certain": NETWORKS * CERTAIN * BINS << 2 * WEIGHT_BITS,
    }


def _trained(bins: np.ndarray, num_same: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Return a network in integers: from bins to hidden units, their bias, from them to the score, its bias."""
    import torch

    torch.manual_seed(seed)
    inputs = SPREAD * (torch.tensor(bins, dtype=torch.float32) / BINS - 0.5)
    wanted = (torch.arange(len(bins)) < num_same).float()
    weight = torch.where(wanted > 0, len(bins) / (2 * num_same), len(bins) / (2 * (len(bins) - num_same)))
    network = torch.nn.Sequential(
        torch.nn.Linear(len(FEATURES), UNITS), torch.nn.ReLU(), torch.nn.Linear(UNITS, 1)
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.02, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        optimizer.zero_grad()
        logits = network(inputs)[:, 0]
        torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted, weight).backward()
        optimizer.step()
        schedule.step()
    hidden, out = network[0], network[2]
    unit = 1 << WEIGHT_BITS
    bias = hidden.bias - SPREAD / 2 * hidden.weight.sum(dim=1)
    floats = (
        hidden.weight.T * SPREAD * unit, bias * BINS * unit, out.weight[0] * unit,
        (out.bias + CERTAIN / 2) * BINS * unit**2,
    )  # fmt: skip
    integers = [torch.round(values.detach()).to(torch.int64).numpy() for values in floats]
    return integers[0], integers[1], integers[2], int(integers[3][0])


def main() -> None:
    """Fit, write, and print how many pairs of each sort agree."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--out", type=Path, default=Path("curation/dedup/second_look.json"))
    options = parser.parse_args()
    pictures = make(options.shared / "pool", "fit", SEED, copies=COPIES)
    images = {path: image for path, body in pictures.pictures.items() if (image := opened(body))}
    names = list(images)
    described = Described.of(list(images.values()))
    copies = Described.of([image for copy in pictures.copies if (image := opened(copy.body))])
    everything = Described(
        *(np.concatenate(part) for part in zip(_parts(described), _parts(copies), strict=True))
    )
    sorts = {
        "same": same_pairs(pictures, described, copies, {name: number for number, name in enumerate(names)}),
        "unlike": unlike_pairs(described, names),
        "others": other_pairs(everything, names + [copy.source for copy in pictures.copies]),
        "twins": twins(list(images.values()), names),
    }
    measured = {name: features(pairs) for name, pairs in sorts.items()}
    weights = fitted(
        measured["same"], np.concatenate([measured[name] for name in ("unlike", "others", "twins")])
    )
    options.out.write_text(json.dumps(weights, separators=(",", ":")) + "\n", "utf-8")
    for name, rows in measured.items():
        agree = second_look.weighed(rows, second_look.Weights.of(weights))
        shares = {
            bound: round(float((agree >= bound).mean()), 4) for bound in (0.4, 0.5, 0.55, 0.6, 0.65, 0.7)
        }
        print(name, len(rows), shares)


if __name__ == "__main__":
    main()
