"""Made codes for tests: bits by hash, the same on any machine."""

import hashlib

import numpy as np


def clustered(num: int, views: int, dimension: int, spread: int, *, centres: int = 7) -> np.ndarray:
    """Return int8 codes (num, views, dimension) around a few centres, so that many pairs lie near a threshold.

    spread: how many codes of 256 the noise takes.
    """
    noise = _bytes("codes", num * views * dimension).reshape(num, views, dimension) // (256 // spread)
    middles = _bytes("centres", centres * dimension).reshape(centres, 1, dimension) // 2
    return (middles[np.arange(num) % centres] + noise).astype(np.int8)


def _bytes(what: str, num: int) -> np.ndarray:
    return np.frombuffer(hashlib.shake_128(what.encode()).digest(num), np.int8)
