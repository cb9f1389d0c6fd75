"""[embed], [neighbours] and [dedup] of the configuration: what pictures are compared by, the search, and what becomes of what it found."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from curation.canonical import later, runtime
from curation.errors import InputError, require

Device = Literal["auto", "cpu", "cuda"]
RANK_KEYS = ("pixels", "captions", "bytes")


def _thousandths(key: str, value: float) -> None:
    """Raise ConfigError for a cosine that integers cannot decide."""
    require(0 < value <= 1, key, value, "a cosine in (0, 1]")
    require(
        abs(value * 1000 - round(value * 1000)) < 1e-9, key, value, "at most three digits after the point"
    )


def weights_of(kind: str) -> Path | None:
    """Return the file of an embed.kind that is a network; None for one without. Raises InputError where it is not there."""
    if kind == "builtin":
        return None
    path = Path(kind.partition(":")[2])
    if not path.is_file():
        raise InputError(f"embed.kind is {kind!r}: there is no file {path}")
    return path.absolute()  # tasks work in directories of their own


@dataclass(frozen=True, kw_only=True)
class EmbedSection:
    """Pictures to descriptors."""

    kind: str = "builtin"
    """The descriptor: `builtin` needs no weights; `torchscript:PATH` runs an exported network, such as SSCD; `clip:CHECKPOINT`
    the image tower of our trainer's or of open_clip's checkpoint. Its hash, weights included, is part of the record.
    """
    device: Device = runtime("auto")
    """Where a network runs; `auto` takes a GPU where the task has one."""

    def __post_init__(self) -> None:
        name, colon, place = self.kind.partition(":")
        known = self.kind == "builtin" or (name in {"torchscript", "clip"} and colon and place)
        require(bool(known), "embed.kind", self.kind, "builtin, torchscript:PATH or clip:CHECKPOINT")


@dataclass(frozen=True, kw_only=True)
class NeighboursSection:
    """The search for near pictures."""

    floor: float | None = None
    """Pairs of at least this cosine are written, so that any dedup.threshold from here up needs no new search; three digits count.
    The kind's own where it is not set.
    """
    mode: Literal["probe", "bound", "exhaustive"] = "probe"
    """`probe`: each vector is compared with the `probe` cells nearest to it, the recall is measured; `bound`: with every cell
    that can hold a pair at the floor, complete by proof; `exhaustive`: all with all.
    """
    probe: int = 4
    """Cells that a vector visits in mode `probe`, its home among them."""
    rows_per_cell: int = 2_000
    """Vectors a cell, about: 1,000 to 4,000 suit a CPU, 250,000 a GPU at 10^9 vectors. Another number gives other cells."""
    sample_per_cell: int = 64
    """Vectors a cell that the k-means learns from, chosen by coin."""
    against: tuple[Path, ...] = runtime(())
    """Indexes of earlier crawls, oldest first, all of a chain: their survivors stay, and their cells are used. They count by content."""
    audit: int = 1_000
    """Pictures, chosen by coin, that are compared with all others, to measure the recall; 0 for none."""
    device: Device = runtime("auto")
    """Where the search runs: the same pairs on either. `auto` takes a GPU where there is one."""
    max_comparisons: float = runtime(1e14)
    """The stage refuses before it begins where more comparisons of vectors are ahead; `curate dedup plan` counts them."""
    max_pairs: float = runtime(1e9)
    """The stage ends where its search finds more near pairs, before it computes their cosines: n pictures that are nearly one, and
    not to the bit, have n^2 / 2. No pair is left out to save any.
    """

    def __post_init__(self) -> None:
        if self.floor is not None:
            _thousandths("neighbours.floor", self.floor)
        require(self.probe >= 1, "neighbours.probe", self.probe, "1 or more")
        require(self.rows_per_cell >= 1, "neighbours.rows_per_cell", self.rows_per_cell, "1 or more")
        require(self.sample_per_cell >= 1, "neighbours.sample_per_cell", self.sample_per_cell, "1 or more")
        require(self.audit >= 0, "neighbours.audit", self.audit, "0 or more")
        require(self.max_comparisons > 0, "neighbours.max_comparisons", self.max_comparisons, "above 0")
        require(self.max_pairs > 0, "neighbours.max_pairs", self.max_pairs, "above 0")

    @property
    def settled_floor(self) -> float:
        """The floor of a stage at work, which `curation.dedup.kinds.settled` filled in."""
        assert self.floor is not None
        return self.floor


@dataclass(frozen=True, kw_only=True)
class DedupSection:
    """Near-duplicates to one picture with all their captions."""

    threshold: float | None = None
    """Pictures whose codes have at least this cosine are near; three digits count; not below neighbours.floor. The kind's own where
    it is not set.
    """
    rule: Literal["mis", "dominated", "components"] = "mis"
    """`mis`: every dropped picture is near a kept one. `dominated`: every picture with a better-ranked near one is dropped.
    `components`: one picture of all that a chain of near pairs ties together.
    """
    rank: tuple[str, ...] = ("pixels",)
    """Which picture of two is better: by these in turn, most first, then the smaller image_id. `pixels`, `captions` (wanted
    pairs that show it), `bytes`. A picture of an earlier index is always better than a new one.
    """
    holdout: dict[str, Path] = later(factory=dict)
    """Evaluation sets by name, NAME=DIR of pictures or of descriptors of the same kind: every picture near one is dropped."""
    holdout_threshold: float | None = later(default=None)
    """Cosine from which a picture is near one of an evaluation set; dedup.threshold where it is not set."""
    driver_edges: int = runtime(20_000_000)
    """Up to so many near pairs are grouped in the driver's memory, about 100 bytes a pair; more of them by Spark. The same groups."""

    def __post_init__(self) -> None:
        if self.threshold is not None:
            _thousandths("dedup.threshold", self.threshold)
        if self.holdout_threshold is not None:
            _thousandths("dedup.holdout_threshold", self.holdout_threshold)
        known = len(set(self.rank)) == len(self.rank) and set(self.rank) <= set(RANK_KEYS)
        require(known, "dedup.rank", self.rank, f"of {', '.join(RANK_KEYS)}, each once at most")
        require(self.driver_edges >= 0, "dedup.driver_edges", self.driver_edges, "0 or more")

    @property
    def settled_threshold(self) -> float:
        """The threshold of a stage at work, which `curation.dedup.kinds.settled` filled in."""
        assert self.threshold is not None
        return self.threshold
