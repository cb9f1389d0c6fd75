"""Batches: which pairs a step trains on, and their pixels and tokens. Every batch is a function of (configuration, step) alone.

The order is the coins of (seed, epoch, pair_id), so it does not depend on processes, threads, files or how often a run was stopped.
An epoch's last, incomplete batch is left out, so no pair stands twice in a batch.
"""

# N pairs, B pairs of a batch, b pairs of this process, S side of the picture, L tokens

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from curation.config import TrainSection
from curation.errors import ConfigError, InputError
from curation.ids import coins
from curation.images import UndecodableImageError
from trainer.manifest import Captions, Pictures
from trainer.tokenizer import Vocabulary
from trainer.transforms import crop, crop_boxes, decode_reduced, stored_side

CROP_DRAWS = ("area", "aspect", "left", "top")
BATCHES_AHEAD = 2  # prepared while a step runs
Result = TypeVar("Result")


def epoch_order(pair_ids: list[str], seed: int, epoch: int) -> np.ndarray:
    """Return the order of an epoch, int64 (N,) rows by their coins; ties go by id, as `pair_ids` are sorted."""
    return np.argsort(coins(pair_ids, seed, f"order-{epoch}"), kind="stable")


class Order:
    """Rows of each step's batch."""

    def __init__(self, pair_ids: list[str], seed: int, batch_size: int) -> None:
        self.per_epoch = len(pair_ids) // batch_size
        if not self.per_epoch:
            raise ConfigError(
                f"train.batch_size is {batch_size}, but {len(pair_ids)} captions are selected: "
                f"set it to {len(pair_ids)} or less"
            )
        self._pair_ids, self._seed, self._batch_size = pair_ids, seed, batch_size
        self._held: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))

    def rows(self, step: int) -> np.ndarray:
        """Return the rows of a step's batch, int64 (B,), over all processes; steps count from 0."""
        epoch, place = divmod(step, self.per_epoch)
        if self._held[0] != epoch:
            self._held = (epoch, epoch_order(self._pair_ids, self._seed, epoch))
        return self._held[1][place * self._batch_size : (place + 1) * self._batch_size]


class PictureStore:
    """Pictures at the size they are cropped from; kept in memory up to a bound, decoded again beyond it."""

    def __init__(self, pictures: Pictures, side: int, cache_bytes: int) -> None:
        self._pictures, self._side, self._room = pictures, side, cache_bytes
        self._cache: dict[int, np.ndarray] = {}
        self._lock = threading.Lock()
        self.failures: dict[str, str] = {}
        """What was wrong, by the image_id of a picture that could not be decoded."""

    def get(self, index: int) -> np.ndarray | None:
        """Return uint8 (H, W, 3), or None for a picture that cannot be decoded, which is then among the failures."""
        held = self._cache.get(index)
        if held is not None:
            return held
        try:
            pixels = decode_reduced(self._pictures.read(index), self._side)
        except UndecodableImageError as error:
            self.failures[self._pictures.image_ids[index]] = str(error)
            return None
        with self._lock:
            if index not in self._cache and pixels.nbytes <= self._room:
                self._room -= pixels.nbytes
                self._cache[index] = pixels
        return pixels


@dataclass(frozen=True)
class Batch:
    """This process's part of a step's batch; it may be all undecodable."""

    pixels_bSS3: np.ndarray
    """uint8; grey where the picture could not be decoded."""
    tokens_bL: np.ndarray
    """int64."""
    kept_b: np.ndarray
    """bool; the picture was decoded."""
    lang_b: np.ndarray
    """int64, index into the sorted languages."""


class Batches:
    """Batches of a run, for one process of `world`; with one process, the whole batches."""

    def __init__(
        self, captions: Captions, vocabulary: Vocabulary, section: TrainSection, rank: int, world: int
    ) -> None:
        if section.batch_size % world:
            raise ConfigError(
                f"train.batch_size is {section.batch_size}: it must be a multiple of {world} processes"
            )
        self.captions, self._vocabulary, self._section = captions, vocabulary, section
        self._rank, self._share = rank, section.batch_size // world
        self.order = Order(captions.pair_ids, section.train_seed, section.batch_size)
        side = stored_side(section.image_size, section.crop_min_scale)
        self.store = PictureStore(captions.pictures, side, section.cache_bytes)
        self.languages = sorted(set(captions.langs))
        self._lang_N = np.searchsorted(self.languages, captions.langs)
        self._pool = ThreadPoolExecutor(section.decode_threads, "decode")

    def get(self, step: int) -> Batch:
        """Return the batch of a step. Raises InputError where no picture of the whole batch can be decoded."""
        whole = self.order.rows(step)
        rows = whole[self._rank * self._share :][: self._share]
        pictures = list(self._pool.map(self.store.get, self.captions.picture_N[rows].tolist()))
        kept_b = np.array([pixels is not None for pixels in pictures])
        if not kept_b.any() and not self._any_decodes(whole):
            image_id, error = next(iter(self.store.failures.items()))
            raise InputError(f"step {step + 1}: no picture of its batch can be decoded; {image_id}: {error}")
        tokens_bL = self._vocabulary.encode(self.captions.text_of(rows), self._section.context_length)
        return Batch(self._crops(rows, pictures, step), tokens_bL, kept_b, self._lang_N[rows])

    def _any_decodes(self, rows: np.ndarray) -> bool:
        """Look at the other processes' pictures too: a process whose own are all undecodable goes on with the others."""
        return any(self.store.get(index) is not None for index in self.captions.picture_N[rows].tolist())

    def _crops(self, rows: np.ndarray, pictures: list[np.ndarray | None], step: int) -> np.ndarray:
        """Return random crops, uint8 (b, S, S, 3), drawn by the coins of pair and step."""
        size, seed = self._section.image_size, self._section.train_seed
        pixels_bSS3 = np.full((len(pictures), size, size, 3), 127, dtype=np.uint8)
        found = [(row, p) for row, p in enumerate(pictures) if p is not None]
        if not found:
            return pixels_bSS3
        keys = [f"{self.captions.pair_ids[rows[row]]}\0{step}" for row, _ in found]
        draws_N4 = np.stack([coins(keys, seed, f"crop-{draw}") for draw in CROP_DRAWS], axis=1)
        sizes_N2 = np.array([(p.shape[1], p.shape[0]) for _, p in found])
        boxes = crop_boxes(sizes_N2, draws_N4, self._section.crop_min_scale)
        for (row, picture), box in zip(found, boxes, strict=True):
            pixels_bSS3[row] = crop(picture, box, size)
        return pixels_bSS3

    def iterate(self, first: int, last: int) -> Iterator[Batch]:
        """Yield the batches of steps first .. last - 1, some prepared ahead."""
        return ahead(self.get, first, last)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def ahead(function: Callable[[int], Result], first: int, last: int) -> Iterator[Result]:
    """Yield function(first) .. function(last - 1) in order, computed one at a time in a thread, BATCHES_AHEAD in advance."""
    with ThreadPoolExecutor(1, "batches") as pool:
        waiting = [pool.submit(function, step) for step in range(first, min(first + BATCHES_AHEAD, last))]
        try:
            for step in range(first, last):
                result = waiting.pop(0).result()
                if step + BATCHES_AHEAD < last:
                    waiting.append(pool.submit(function, step + BATCHES_AHEAD))
                yield result
        finally:
            for future in waiting:
                future.cancel()


def every_picture(
    pictures: Pictures, side: int, threads: int
) -> Iterator[tuple[int, np.ndarray | None, str]]:
    """Yield (index, uint8 (H, W, 3) or None, error) of each picture in order, read and decoded in threads, a bounded number ahead."""

    def one(index: int) -> tuple[int, np.ndarray | None, str]:
        try:
            return index, decode_reduced(pictures.read(index), side), ""
        except UndecodableImageError as error:
            return index, None, str(error)

    block = 64 * threads
    with ThreadPoolExecutor(threads, "decode") as pool:
        for start in range(0, len(pictures), block):
            yield from pool.map(one, range(start, min(start + block, len(pictures))))
