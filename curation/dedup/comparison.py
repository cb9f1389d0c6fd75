"""A small convolutional network in integers: whether an aligned picture shows what the template shows.

It sees both pictures' levels, brought to one contrast, and their colours; at its end it is told the features of
`curation.dedup.evidence` too. `benchmarks/fit_second_look.py` trains it in floating point and rounds it to integers.

The same on any machine: levels are rounded to integers, weights are integers, sums are below 2^24 in float32 or below 2^53 in
int64, hence exact in whatever order they are added, and a layer's sums are cut by a power of two.
"""

# E pairs, S and C sides of the thumbnails, F features, P positions of a layer, K weights a position, O channels of a layer

from dataclasses import dataclass
from typing import Any

import numpy as np

from curation.dedup.evidence import FEATURES, Aligned, Levels

CONTRAST = 40  # units of a level in the planes, at the contrast of the paler picture
KNOWN = 64  # what a known pixel is in the planes
LARGEST = 127
AT_ONCE = 64  # pairs: what their windows take stays in the cache
_LARGEST_GAIN = 20.0
_EXACT = 1 << 24


@dataclass(frozen=True)
class Convolution:
    """One layer: windows of a picture to channels, none below 0 and none above 127."""

    weights: np.ndarray
    """float32 integers (K, O): row by row, column by column, channel by channel of the window."""
    bias: np.ndarray
    """float32 integers (O,)."""
    shift: int
    """Binary places that are cut from a sum."""
    size: int
    stride: int

    @classmethod
    def of(cls, data: dict[str, Any]) -> "Convolution":
        """Return a layer as a file has it."""
        weights, bias = (np.array(data[name], np.float32) for name in ("weights", "bias"))
        assert (LARGEST * np.abs(weights).sum(axis=0) + np.abs(bias) < _EXACT).all()
        return cls(weights, bias, data["shift"], data["size"], data["stride"])

    def __call__(self, planes: np.ndarray) -> np.ndarray:
        """Return the channels, float32 integers (E, S', S', O), of planes (E, S, S, channels)."""
        edge = self.size // 2
        padded = np.pad(planes, ((0, 0), (edge, edge), (edge, edge), (0, 0))) if edge else planes
        windows = np.lib.stride_tricks.sliding_window_view(padded, (self.size, self.size), axis=(1, 2))
        windows = windows[:, :: self.stride, :: self.stride].transpose(0, 1, 2, 4, 5, 3)
        num, rows, columns = windows.shape[:3]
        sums: np.ndarray = windows.reshape(num * rows * columns, -1) @ self.weights
        sums += self.bias
        sums *= np.float32(2.0**-self.shift)
        sums += np.float32(0.5)
        np.floor(sums, out=sums)
        np.clip(sums, 0, LARGEST, out=sums)
        return sums.reshape(num, rows, columns, -1)


@dataclass(frozen=True)
class Network:
    """The layers, the bins of the features, and what weighs both at the end."""

    levels: tuple[Convolution, Convolution]
    colours: Convolution
    both: tuple[Convolution, Convolution]
    bounds: list[np.ndarray]
    """float64, F of them: between the bins of each feature, ascending."""
    hidden: np.ndarray
    """int64 (2 O + F, H): for the largest of each channel, for its sum, for each feature's bin."""
    hidden_bias: np.ndarray
    """int64 (H,)."""
    out: np.ndarray
    """int64 (H,)."""
    out_bias: int
    certain: int
    """The score of agreement 1."""

    @classmethod
    def of(cls, data: dict[str, Any]) -> "Network":
        """Return the network of a file's contents."""
        assert tuple(data["features"]) == FEATURES
        layers = {
            name: Convolution.of(data[name]) for name in ("levels1", "levels2", "colours", "both1", "both2")
        }
        hidden, hidden_bias, out = (
            np.array(data[name], np.int64) for name in ("hidden", "hidden_bias", "out")
        )
        return cls(
            (layers["levels1"], layers["levels2"]), layers["colours"], (layers["both1"], layers["both2"]),
            [np.array(column, np.float64) for column in data["bounds"]],
            hidden, hidden_bias, out, data["out_bias"], data["certain"],
        )  # fmt: skip

    def agreement(self, levels: np.ndarray, colours: np.ndarray, features_EF: np.ndarray) -> np.ndarray:
        """Return how surely each pair shows the same, float64 (E,) in [0, 1]. Planes as `planes` returns them."""
        channels = np.concatenate(
            [
                self._channels(levels[at : at + AT_ONCE], colours[at : at + AT_ONCE])
                for at in range(0, len(levels), AT_ONCE)
            ]
        )
        units = np.maximum(
            np.concatenate([channels, self.bins(features_EF)], axis=1) @ self.hidden + self.hidden_bias, 0
        )
        score = units @ self.out + self.out_bias
        result: np.ndarray = np.clip(score, 0, self.certain) / self.certain
        return result

    def _channels(self, levels: np.ndarray, colours: np.ndarray) -> np.ndarray:
        """Return the largest of each channel and its sum, int64 (E, 2 O)."""
        first, second = self.levels
        third, fourth = self.both
        found = fourth(third(np.concatenate([second(first(levels)), self.colours(colours)], axis=3)))
        parts = [found.max(axis=(1, 2)), found.sum(axis=(1, 2))]
        return np.concatenate(parts, axis=1).astype(np.int64)

    def bins(self, features_EF: np.ndarray) -> np.ndarray:
        """Return the bin of each feature, int64 (E, F)."""
        columns = zip(self.bounds, features_EF.T, strict=True)
        return np.stack([np.searchsorted(bounds, column, side="right") for bounds, column in columns], axis=1)


def planes(pairs: Aligned, found: Levels) -> tuple[np.ndarray, np.ndarray]:
    """Return what the network sees: float32 integers from -127 to 127, levels (E, S, S, 3) and colours (E, C, C, 5).

    Levels: the template, the other, where both are known; colours: two of the template, two of the other, where both are known.
    """
    gain = np.clip(found.gain, -_LARGEST_GAIN, _LARGEST_GAIN)[:, None, None]
    template = pairs.template * gain + (found.offset - found.middle)[:, None, None]
    other = pairs.other / 16.0 - found.middle[:, None, None]
    unit = (CONTRAST / found.contrast)[:, None, None]
    known = pairs.known
    levels = [np.clip(np.rint(plane * unit), -LARGEST, LARGEST) * known for plane in (template, other)]
    colour_known = pairs.colours_known[:, None]
    other_colours = np.clip(
        np.floor(pairs.other_colours / np.float32(16) + np.float32(0.5)), -LARGEST, LARGEST
    )
    colours = [np.maximum(plane, -LARGEST) * colour_known for plane in (pairs.colours, other_colours)]
    return (
        np.stack([*levels, KNOWN * known], axis=3).astype(np.float32),
        np.concatenate([*colours, KNOWN * colour_known], axis=1).transpose(0, 2, 3, 1).astype(np.float32),
    )
