"""Pictures to rows of `descriptors` in a task, by any kind: what stage `embed` and the evaluation sets of `dedup` share."""

import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyspark import SparkFiles
from pyspark.sql import SparkSession

from curation.config_dedup import Device
from curation.dedup.kinds import Described, Describer, Kind, Recipe
from curation.schemas import TABLES
from curation.spark.batches import plain
from curation.spark.devices import gpu_profile, is_local, task_device
from curation.spark.shipping import ship_file
from curation.stage import Tally

BYTES_TOGETHER = 64 << 20  # of files that wait to be described together
UNIT = "images"
PLAIN = "plain"  # of a tally: pictures whose codes are all zero, near to nothing
_ON = "on "  # of a tally, before a device
_LOADED: dict[
    tuple[str, str], Describer
] = {}  # of this process: the last one, so that a worker loads a network once


@dataclass(frozen=True)
class Describing:
    """How a task describes pictures; small, for the weights travel as a file."""

    recipe: Recipe
    device: Device
    weights: str | None
    """Name of the shipped file; None where the task reads the recipe's own, or there is none."""

    @classmethod
    def prepare(cls, spark: SparkSession, recipe: Recipe, device: Device) -> "Describing":
        """Bring the weights to the executors of a cluster; tasks on this machine read them where they lie."""
        if recipe.weights is None:
            return cls(recipe, "cpu", None)
        if is_local(spark):
            return cls(recipe, device, None)
        return cls(recipe, device, ship_file(spark, recipe.weights, recipe.kind.sha256))

    def describer(self) -> Describer:
        """Return what describes pictures, in a task."""
        key = (self.recipe.kind.sha256, task_device(self.device))
        if key not in _LOADED:
            _LOADED.clear()
            place = Path(SparkFiles.get(self.weights)) if self.weights else None
            _LOADED[key] = self.recipe.describer(key[1], place)
        return _LOADED[key]

    def rows(self, pictures: Iterable[tuple[str, bytes]], tally: Tally) -> Iterator[pa.RecordBatch]:
        """Yield `descriptors` of pictures (image_id, bytes); count those that have none, by reason, and the device of the others."""
        describe = self.describer()
        for ids, bodies in _together(pictures, describe.batch):
            found = describe(bodies)
            for reason in found.failed.values():
                tally.drop(UNIT, reason)
            kept = [position for position in range(len(ids)) if position not in found.failed]
            tally.keep(UNIT, len(kept))
            if kept:
                tally.add(_ON + found.device, len(kept))
                tally.add(PLAIN, int((~found.codes[kept].any(axis=(1, 2))).sum()))
                yield batch_of(ids, found, kept, self.recipe.kind)

    def warn(self, spark: SparkSession, pictures: int) -> None:
        """Say once, before a network runs on CPUs for want of a GPU, how long that takes."""
        if self.recipe.weights is None or self.device == "cpu" or gpu_profile(spark, self.device):
            return
        describe = self.recipe.describer(self.device)
        if describe(()).device != "cpu":
            return
        started = time.perf_counter()
        describe((_PROBE, _PROBE))
        seconds = (time.perf_counter() - started) / 2
        cores = max(1, spark.sparkContext.defaultParallelism)
        print(
            f"warning: no GPU is asked for or seen here: {self.recipe.kind.name} takes {seconds:.2g} s a picture on a core, "
            f"about {seconds * pictures / cores / 3600:.2g} hours for {pictures} pictures on {cores} cores",
            file=sys.stderr, flush=True,
        )  # fmt: skip


def devices(tally: Tally) -> dict[str, int]:
    """Return the pictures described on each device."""
    return {name.removeprefix(_ON): num for name, num in sorted(tally.sums.items()) if name.startswith(_ON)}


def batch_of(ids: list[str], found: Described, kept: list[int], kind: Kind) -> pa.RecordBatch:
    """Return rows of `descriptors` of the kept positions of a batch."""
    columns = {
        "image_id": [ids[position] for position in kept],
        "width": found.width[kept],
        "height": found.height[kept],
        "codes": [found.codes[position].tobytes() for position in kept],
        "kind": [kind.name] * len(kept),
        "kind_sha256": [kind.sha256] * len(kept),
        "detail": [found.detail[position] if found.detail else None for position in kept],
    }
    schema = plain(TABLES["descriptors"])
    return pa.RecordBatch.from_arrays([pa.array(columns[f.name], f.type) for f in schema], schema=schema)


def _together(pictures: Iterable[tuple[str, bytes]], size: int) -> Iterator[tuple[list[str], list[bytes]]]:
    """Pack pictures into batches of at most `size`, and of not much more than `BYTES_TOGETHER`."""
    ids: list[str] = []
    bodies: list[bytes] = []
    held = 0
    for image_id, body in pictures:
        ids.append(image_id)
        bodies.append(body)
        held += len(body)
        if len(ids) == size or held >= BYTES_TOGETHER:
            yield ids, bodies
            ids, bodies, held = [], [], 0
    if ids:
        yield ids, bodies


# A picture of 64 x 48 pixels as a BMP: enough to time a network, which resizes what it sees.
_PROBE = (
    b"BM" + (54 + 64 * 48 * 3).to_bytes(4, "little") + bytes(4) + (54).to_bytes(4, "little")
    + (40).to_bytes(4, "little") + (64).to_bytes(4, "little") + (48).to_bytes(4, "little")
    + (1).to_bytes(2, "little") + (24).to_bytes(2, "little") + bytes(24) + bytes(range(256)) * 36
)  # fmt: skip
