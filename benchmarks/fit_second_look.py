"""Trains the networks of `curation.dedup.comparison` on the pairs of `second_look_pairs`, and writes them in integers.

    python benchmarks/fit_second_look.py [--shared ../shared] [--epochs 16] [--out curation/dedup/second_look.json]
    python benchmarks/fit_second_look.py --only-test

Then it prints of the pairs of set `test`, and of a demo with another seed, what share agrees at some bounds: of copies all
should, of others none. Needs torch; on two cores it takes about half an hour.
"""

import argparse
import json
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from second_look_pairs import PROCESSES, Sort, all_sorts

from curation.dedup import second_look
from curation.dedup.comparison import LARGEST, Network
from curation.dedup.evidence import FEATURES

NETWORKS = 3  # that differ in what they begin with; what they say is averaged
SEED, DEMO_SEED = 1, 7
TEST_SEED, TEST_DEMO_SEED = 2, 0
BINS, SPREAD = 32, 4  # of a feature; a bin is a number from -2 to 2
CHANNELS, COLOUR_CHANNELS, UNITS = (16, 24, 32, 48), 16, 48
BATCH, RATE, DECAY, DROPPED, SMOOTHED = 256, 4e-3, 0.01, 0.1, 0.01
ACTIVATION_BITS, WEIGHT_BITS, OUT_BITS = 6, 7, 8  # binary places
CERTAIN = 20  # log odds from agreement 0 to 1
BOUNDS = (0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7)


@dataclass(frozen=True)
class Set:
    """What is seen of pairs, in the smallest types."""

    levels: np.ndarray
    """int8 (E, 3, S, S)."""
    colours: np.ndarray
    """int8 (E, 5, C, C)."""
    features: np.ndarray
    """float64 (E, F)."""
    pairs: int
    """With those that do not correlate, which the network never sees."""


def set_of(sort: Sort) -> Set:
    """Align all pairs."""
    chunks = [
        (sort.first[at : at + 1_024], sort.second[at : at + 1_024]) for at in range(0, len(sort.first), 1_024)
    ]
    with ProcessPoolExecutor(PROCESSES) as processes:
        parts = list(processes.map(_seen, chunks))
    return Set(*(np.concatenate([part[k] for part in parts]) for k in range(3)), len(sort.first))


def _seen(sides: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, ...]:
    first, second = sides
    step, found = second_look.BATCH, []
    for at in range(0, len(first), step):
        _, what = second_look.seen(first[at : at + step], second[at : at + step])
        planes = (plane.transpose(0, 3, 1, 2).astype(np.int8) for plane in (what.levels, what.colours))
        found.append((*planes, what.features))
    return tuple(np.concatenate([one[k] for one in found]) for k in range(3))


class Comparison(torch.nn.Module):
    """The network in floating point: what is 64 in integers is 1."""

    def __init__(self) -> None:
        super().__init__()
        first, second, third, fourth = CHANNELS
        self.levels1 = torch.nn.Conv2d(3, first, 5, 2, 2)
        self.levels2 = torch.nn.Conv2d(first, second, 3, 2, 1)
        self.colours = torch.nn.Conv2d(5, COLOUR_CHANNELS, 1)
        self.both1 = torch.nn.Conv2d(second + COLOUR_CHANNELS, third, 3, 1, 1)
        self.both2 = torch.nn.Conv2d(third, fourth, 3, 2, 1)
        self.hidden = torch.nn.Linear(2 * fourth + len(FEATURES), UNITS)
        self.out = torch.nn.Linear(UNITS, 1)

    def forward(self, levels: torch.Tensor, colours: torch.Tensor, bins: torch.Tensor) -> torch.Tensor:
        """Return the log odds that pairs show the same, (E,). levels, colours: as in `Set`; bins: from 0 on, (E, F)."""
        unit, most = 1 << ACTIVATION_BITS, LARGEST / (1 << ACTIVATION_BITS)
        found = levels / unit
        for layer in (self.levels1, self.levels2):
            found = layer(found).clamp(0, most)
        found = torch.cat([found, self.colours(colours / unit).clamp(0, most)], dim=1)
        for layer in (self.both1, self.both2):
            found = layer(found).clamp(0, most)
        ends = torch.cat([found.amax((2, 3)), found.mean((2, 3)), SPREAD * (bins / BINS - 0.5)], dim=1)
        if self.training:
            ends = torch.nn.functional.dropout(ends, DROPPED)
        odds: torch.Tensor = self.out(torch.relu(self.hidden(ends)))[:, 0]
        return odds


def turned(levels: torch.Tensor, colours: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return both pictures of each pair turned, mirrored, as negatives and in other hues: what they have in common stays."""
    quarter = int(torch.randint(0, 4, ()))
    levels, colours = levels.rot90(quarter, (2, 3)), colours.rot90(quarter, (2, 3))
    if torch.rand(()) < 0.5:
        levels, colours = levels.flip(3), colours.flip(3)
    if torch.rand(()) < 0.5:
        levels = torch.cat([-levels[:, :2], levels[:, 2:]], dim=1)
    angle = 2 * torch.pi * torch.rand(())
    cos, sin = torch.cos(angle), torch.sin(angle)
    one, two, other_one, other_two, known = colours.split(1, dim=1)
    hues = [
        cos * one - sin * two,
        sin * one + cos * two,
        cos * other_one - sin * other_two,
        sin * other_one + cos * other_two,
    ]
    return levels, torch.cat([*hues, known], dim=1)


def trained(
    sorts: list[Sort], sets: list[Set], epochs: int, seed: int
) -> tuple[Comparison, list[np.ndarray]]:
    """Return the network and the bounds of the features' bins."""
    features = np.concatenate([one.features for one in sets])
    bounds = [np.unique(np.quantile(column, np.arange(1, BINS) / BINS)) for column in features.T]
    bins = [np.searchsorted(b, column, side="right") for b, column in zip(bounds, features.T, strict=True)]
    levels, colours = (
        torch.from_numpy(np.concatenate([getattr(one, name) for one in sets]))
        for name in ("levels", "colours")
    )
    inputs = levels, colours, torch.from_numpy(np.stack(bins, axis=1)).float()
    same = torch.cat(
        [torch.full((len(s.features),), float(sort.same)) for sort, s in zip(sorts, sets, strict=True)]
    )
    weight = torch.cat(
        [torch.full((len(s.features),), sort.weight) for sort, s in zip(sorts, sets, strict=True)]
    )
    weight[same > 0] *= (weight * (1 - same)).sum() / (weight * same).sum()
    torch.manual_seed(seed)
    network = Comparison().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    steps = epochs * (len(same) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=0.1)
    began = time.monotonic()
    for epoch in range(epochs):
        losses = []
        for chosen in torch.randperm(len(same))[: len(same) // BATCH * BATCH].split(BATCH):
            seen = turned(*(part[chosen].float() for part in inputs[:2]))
            wanted = same[chosen] * (1 - 2 * SMOOTHED) + SMOOTHED
            odds = network(*seen, inputs[2][chosen])
            loss = torch.nn.functional.binary_cross_entropy_with_logits(odds, wanted, weight[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        print(
            f"epoch {epoch + 1} of {epochs}: loss {np.mean(losses):.4f}, {time.monotonic() - began:.0f} s",
            flush=True,
        )
    return network, bounds


def in_integers(network: Comparison, bounds: list[np.ndarray]) -> dict[str, Any]:
    """Return the network as `curation.dedup.comparison.Network` reads it."""
    layers = {
        name: _layer(getattr(network, name)) for name in ("levels1", "levels2", "colours", "both1", "both2")
    }
    hidden, out = network.hidden, network.out
    cells = 36  # of the last layer, whose sum is told for its mean
    unit = cells << ACTIVATION_BITS + OUT_BITS  # of a hidden unit
    channels = CHANNELS[-1]
    largest, mean, bins = hidden.weight.T.split([channels, channels, len(FEATURES)])
    weights = [
        largest * (unit >> ACTIVATION_BITS),
        mean * (unit >> ACTIVATION_BITS) / cells,
        bins * unit * SPREAD / BINS,
    ]
    bias = (hidden.bias - SPREAD / 2 * bins.sum(dim=0)) * unit
    return {
        "features": list(FEATURES), "bounds": [column.tolist() for column in bounds], **layers,
        "hidden": _rounded(torch.cat(weights)), "hidden_bias": _rounded(bias), "out": _rounded(out.weight[0] * (1 << OUT_BITS)),
        "out_bias": _rounded((out.bias[0] + CERTAIN / 2) * unit * (1 << OUT_BITS)), "certain": CERTAIN * unit << OUT_BITS,
    }  # fmt: skip


def _layer(layer: torch.nn.Conv2d) -> dict[str, Any]:
    """Return weights by window and channel, and the shift that leaves ACTIVATION_BITS."""
    weights = layer.weight.permute(2, 3, 1, 0).reshape(-1, layer.out_channels) * (1 << WEIGHT_BITS)
    return {
        "weights": _rounded(weights), "bias": _rounded(layer.bias * (1 << WEIGHT_BITS + ACTIVATION_BITS)), "shift": WEIGHT_BITS,
        "size": layer.kernel_size[0], "stride": layer.stride[0],
    }  # fmt: skip


def _rounded(values: torch.Tensor) -> Any:
    return torch.round(values.detach().double()).to(torch.int64).tolist()


def tested(pool: Path, weights: list[dict[str, Any]]) -> None:
    """Print what share of the test's pairs agrees."""
    networks = [Network.of(data) for data in weights]
    print("sort", "pairs", *BOUNDS, sep="\t")
    for sort in all_sorts(pool, "test", TEST_SEED, demo_seed=TEST_DEMO_SEED):
        seen = set_of(sort)
        agreement = agreements(networks, seen)
        shares = [f"{float((agreement >= bound).sum()) / seen.pairs:.4f}" for bound in BOUNDS]
        print(sort.name, seen.pairs, *shares, sep="\t", flush=True)


def agreements(networks: list[Network], seen: Set) -> np.ndarray:
    """Return what the second look says of pairs that correlate."""
    parts = [np.zeros(0)]
    for at in range(0, len(seen.features), second_look.BATCH):
        rows = slice(at, at + second_look.BATCH)
        planes = (part[rows].transpose(0, 2, 3, 1).astype(np.float32) for part in (seen.levels, seen.colours))
        parts.append(second_look.agreed(second_look.Seen(*planes, seen.features[rows]), networks))
    return np.concatenate(parts)


def main() -> None:
    """Train, write, and print how many pairs of each sort agree."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--out", type=Path, default=Path("curation/dedup/second_look.json"))
    parser.add_argument("--only-test", action="store_true", help="of the network that is there")
    options = parser.parse_args()
    if not options.only_test:
        sorts, sets = [], []
        for sort in all_sorts(options.shared / "pool", "fit", SEED, demo_seed=DEMO_SEED):
            sets.append(set_of(sort))
            sorts.append(
                Sort(sort.name, sort.first[:0], sort.second[:0], sort.same, sort.weight)
            )  # done with
            print(sort.name, sets[-1].pairs, "pairs", len(sets[-1].features), "correlate", flush=True)
        networks = [in_integers(*trained(sorts, sets, options.epochs, seed)) for seed in range(NETWORKS)]
        text = json.dumps({"networks": networks}, separators=(",", ":"))
        options.out.write_text(text + "\n", "utf-8")
    tested(options.shared / "pool", json.loads(options.out.read_text("utf-8"))["networks"])


if __name__ == "__main__":
    main()
