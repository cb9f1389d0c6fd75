"""A second look at two pictures whose codes are near: whether they show the same, up to what the web does.

Codes of low frequencies cannot tell a smiley from one with another mouth, nor a road sign from its neighbour. So `embed` keeps a
`detail` a picture: the thumbnail of what is not plain border, and where that lies in the whole. `agreement` lays the one over the
other (`curation.dedup.alignment`), measures block by block what differs (`curation.dedup.evidence`), and shows both to three
small networks in integers (`curation.dedup.comparison`; `second_look.json`, made by `benchmarks/fit_second_look.py`).

It is symmetric, and the same on any machine: sums of integers, correctly rounded single operations, and comparisons.
"""

# E pairs, S side of the thumbnail, C side of its chroma

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
from PIL import Image

from curation.canonical import sha256_json
from curation.dedup.alignment import FULL_SIDE, UNIT, Alignment, Frame, align, warped
from curation.dedup.comparison import Network, planes
from curation.dedup.evidence import FEATURES, Aligned, measured
from curation.errors import InputError

VERSION = 2
COLOUR_SIDE = 12
MARGIN, MARGIN_PIXELS = 16, 3  # a part of the box's side, and pixels, that are added at each edge
BATCH = 128  # pairs at once: their thumbnails stay in the cache
LEAST_CORRELATION = 0.6  # of levels as they were aligned: below, nothing else counts
HOPELESS = 0.3  # agreement, below which a pair is shown to no further network
_TAKEN = 4_096  # pairs whose details are copied at once
BOUND = 0.5  # agreement of pictures that show the same
DETAIL = np.dtype(
    [
        # Left, upper, right, lower, in 65,535ths of the whole's sides. The window is what the thumbnail shows: the outer box, with
        # a margin unless it was framed. Beyond it there is plain border up to `known`, and beyond this, who knows.
        ("window", "<u2", 4),
        ("known", "<u2", 4),
        ("outer", "<u2", 4),  # what is left without a plain border
        ("inner", "<u2", 4),  # and without another one inside it
        ("sides", "<u2", 2),  # of the whole picture, as it was described, in pixels
        ("luminance", "u1", (FULL_SIDE, FULL_SIDE)),
        ("colour", "u1", (2, COLOUR_SIDE, COLOUR_SIDE)),
    ]
)
DETAIL_BYTES = DETAIL.itemsize
Edges = tuple[int, int, int, int]  # left, upper, right, lower


@dataclass(frozen=True)
class Trimmed:
    """A picture without its plain borders: boxes in pixels of the reduced picture."""

    outer: Edges
    """Without a plain border; the whole where there is none."""
    inner: Edges
    """Without another one inside it; the same where there is none: a frame has a margin in it."""
    framed: bool
    """The border is a frame, not the picture's own margin: what is beyond it nobody knows."""


def parameters() -> dict[str, object]:
    """Return what details and agreement depend on."""
    return {
        "version": VERSION,
        "least_correlation": LEAST_CORRELATION,
        "hopeless": HOPELESS,
        "detail_bytes": DETAIL_BYTES,
        "weights_sha256": sha256_json(_weights_file()),
    }


def detail_of(planes: Image.Image, left: Trimmed, sides: tuple[int, int]) -> bytes:
    """Return the detail of a picture.

    planes: YCbCr, reduced. left: what is left of it without borders. sides: width and height of the picture before it was reduced,
    for its proportions.
    """
    row = np.zeros((), DETAIL)
    window = left.outer if left.framed else _with_margin(left.outer, planes.size)
    known = window if left.framed else (0, 0, *planes.size)
    for name, edges in (("window", window), ("known", known), ("outer", left.outer), ("inner", left.inner)):
        row[name] = [edge * 0xFFFF // side for edge, side in zip(edges, planes.size * 2, strict=True)]
    row["sides"] = [min(side, 0xFFFF) for side in sides]
    thumbnail = np.asarray(
        planes.resize((FULL_SIDE, FULL_SIDE), Image.Resampling.BILINEAR, box=window), np.uint16
    )
    row["luminance"] = _smoothed(thumbnail[..., 0])
    share = FULL_SIDE // COLOUR_SIDE
    sums = thumbnail[..., 1:].reshape(COLOUR_SIDE, share, COLOUR_SIDE, share, 2).sum(axis=(1, 3))
    row["colour"] = ((sums + share**2 // 2) // share**2).transpose(2, 0, 1)
    return row.tobytes()


def _with_margin(box: Edges, sides: tuple[int, int]) -> Edges:
    """Return the box with some of the border around it, so that its edge is plain wherever it is not the picture's own."""
    left, upper, right, lower = box
    x, y = MARGIN_PIXELS + (right - left) // MARGIN, MARGIN_PIXELS + (lower - upper) // MARGIN
    return max(0, left - x), max(0, upper - y), min(sides[0], right + x), min(sides[1], lower + y)


def _smoothed(levels_SS: np.ndarray) -> np.ndarray:
    """Return levels smoothed by 1 2 1 along each axis, so that a pixel's shift is no great difference."""
    padded = np.pad(levels_SS, 1, mode="edge")
    rows = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    smooth: np.ndarray = (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:] + 8) >> 4
    return smooth


@dataclass(frozen=True)
class Seen:
    """What the network is given of E pairs."""

    levels: np.ndarray
    """float32 integers (E, FULL_SIDE, FULL_SIDE, 3), as `comparison.planes` returns them."""
    colours: np.ndarray
    """float32 integers (E, COLOUR_SIDE, COLOUR_SIDE, 5)."""
    features: np.ndarray
    """float64 (E, F): what speaks for and against, columns as FEATURES."""


def agreement(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return how surely each pair of pictures shows the same, float64 (E,) in [0, 1]; symmetric; 1 for equal details.

    first, second: uint8 (E, DETAIL_BYTES). Raises InputError for another type or shape.
    """
    first, second = _checked(first), _checked(second)
    if len(first) != len(second):
        raise InputError(f"{len(first)} details beside {len(second)}: a second look is at pairs")
    result = np.zeros(len(first))
    for start in range(0, len(first), BATCH):
        alike, what = seen(first[start : start + BATCH], second[start : start + BATCH])
        result[start : start + BATCH][alike] = agreed(what, _networks())
    result[(first == second).all(axis=1)] = 1.0
    return result


def agreed(what: Seen, networks: Sequence[Network]) -> np.ndarray:
    """Return the mean of what the networks say, float64 (E,); a pair that one finds hopeless has nothing from those after it."""
    total = np.zeros(len(what.features))
    asked = np.arange(len(total))
    for network in networks:
        if not len(asked):
            break
        said = network.agreement(what.levels[asked], what.colours[asked], what.features[asked])
        total[asked] += said
        asked = asked[said >= HOPELESS]
    mean: np.ndarray = total / len(networks)
    return mean


def agreement_of(details_NL: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the agreement of pairs of pictures given by position, float64 (E,), without copying all their details at once."""
    parts = [
        agreement(details_NL[first[start : start + _TAKEN]], details_NL[second[start : start + _TAKEN]])
        for start in range(0, len(first), _TAKEN)
    ]
    result: np.ndarray = np.concatenate([np.zeros(0), *parts])
    return result


def _checked(details: np.ndarray) -> np.ndarray:
    if details.dtype != np.uint8 or details.ndim != 2 or details.shape[1] != DETAIL_BYTES:
        raise InputError(
            f"details are {details.dtype} {details.shape}; uint8 (pairs, {DETAIL_BYTES}) is wanted"
        )
    return np.ascontiguousarray(details)


def seen(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, Seen]:
    """Return where the best alignment correlates at all, bool (E,), and what is seen of these pairs.

    As `agreement` takes them, few at once.
    """
    swap = _is_template(second, first)[:, None]
    template = np.where(swap, second, first).view(DETAIL)[:, 0]
    other = np.where(swap, first, second).view(DETAIL)[:, 0]
    found = align(template["luminance"], other["luminance"], _frame(template), _frame(other))
    alike = found.correlation >= LEAST_CORRELATION
    template, other, found = template[alike], other[alike], found.take(alike)
    pairs = _aligned(template, other, found)
    named, stand = measured(pairs)
    named |= _geometry(template, other, found)
    return alike, Seen(*planes(pairs, stand), np.stack([named[name] for name in FEATURES], axis=1))


def _is_template(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return where the first is the template: its box is the larger part of its whole, or the bytes are the greater; (E,)."""
    areas = []
    for details in (first, second):
        left, upper, right, lower = details.view(DETAIL)["window"][:, 0].astype(np.int64).T
        areas.append((right - left) * (lower - upper))
    row = np.arange(len(first))
    differing = (first != second).argmax(axis=1)
    greater = first[row, differing] > second[row, differing]
    result: np.ndarray = (areas[0] > areas[1]) | ((areas[0] == areas[1]) & greater)
    return result


def _frame(details: np.ndarray) -> Frame:
    return Frame(
        *(
            (details[name].astype(np.int64) * UNIT + 0x7FFF) // 0xFFFF
            for name in ("window", "known", "outer", "inner")
        )
    )


def _aligned(template: np.ndarray, other: np.ndarray, found: Alignment) -> Aligned:
    """Return both in the template's frame."""
    turn = found.mirror[:, None, None]
    frame = _frame(other).mirrored(found.mirror)
    levels = other["luminance"]
    level, known = warped(np.where(turn, levels[:, :, ::-1], levels), frame, found.placement)
    chroma = other["colour"].astype(np.float32) - 128
    chroma = np.where(turn[:, None], chroma[..., ::-1], chroma)
    planes, colours_known = zip(*(warped(chroma[:, k], frame, found.placement) for k in (0, 1)), strict=True)
    return Aligned(
        template["luminance"].astype(np.float32), level, known, template["colour"].astype(np.float32) - 128,
        np.stack(planes, axis=1), colours_known[0],
    )  # fmt: skip


def _geometry(template: np.ndarray, other: np.ndarray, found: Alignment) -> dict[str, np.ndarray]:
    """Return by what factor the one is stretched to the other's proportions, and by what it is scaled: float64 (E,), from 1 on."""
    lengths = [
        (details["window"][:, 2:].astype(np.float64) - details["window"][:, :2]) * details["sides"] + 1
        for details in (template, other)
    ]
    scale = found.placement.scale / UNIT
    stretch = (
        lengths[0][:, 0]
        / lengths[0][:, 1]
        * (lengths[1][:, 1] * scale[:, 1])
        / (lengths[1][:, 0] * scale[:, 0])
    )
    larger = np.maximum(scale, 1 / scale)
    return {"aspect": np.maximum(stretch, 1 / stretch), "rescaled": larger[:, 0] * larger[:, 1]}


def _weights_file() -> dict[str, Any]:
    text = resources.files("curation.dedup").joinpath("second_look.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


@functools.cache
def _networks() -> tuple[Network, ...]:
    return tuple(Network.of(data) for data in _weights_file()["networks"])
