"""Chance for the demo's web: every choice is a coin of its own key, so that no choice depends on the order of the others."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import TypeVar

from curation.ids import coin

PURPOSE = "demo"

T = TypeVar("T")


@lru_cache(maxsize=256)
def zipf(n: int, exponent: float) -> tuple[float, ...]:
    """Return the cumulative shares of ranks 1..n under Zipf's law, n floats that end in 1."""
    weights = [1.0 / rank**exponent for rank in range(1, n + 1)]
    total = sum(weights)
    return (*[part / total for part in accumulate(weights)][:-1], 1.0)


@dataclass(frozen=True)
class Chance:
    """All chance of one demo web."""

    seed: int

    def at(self, key: str) -> float:
        """Return the coin of a key, in [0, 1)."""
        return coin(key, self.seed, PURPOSE)

    def happens(self, key: str, share: float) -> bool:
        """Return True for `share` of the keys."""
        return self.at(key) < share

    def between(self, key: str, low: float, high: float) -> float:
        """Return a number in [low, high)."""
        return low + (high - low) * self.at(key)

    def pick(self, key: str, options: Sequence[T]) -> T:
        """Return one of the options, all equally likely."""
        return options[int(self.at(key) * len(options))]

    def ranked(self, key: str, options: Sequence[T], exponent: float) -> T:
        """Return one of the options, by Zipf's law in their order."""
        return options[bisect_right(zipf(len(options), exponent), self.at(key))]

    def weighted(self, key: str, shares: Sequence[tuple[T, float]]) -> T:
        """Return one of the options by its share; the shares sum to 1."""
        value = self.at(key)
        for option, share in shares:
            value -= share
            if value < 0:
                return option
        return shares[-1][0]

    def shuffled(self, key: str, items: Sequence[T]) -> list[T]:
        """Return the items in an order of chance."""
        coins = [self.at(f"{key}/{place}") for place in range(len(items))]
        return [items[place] for place in sorted(range(len(items)), key=coins.__getitem__)]
