"""What a threshold will give in the end: pairs to download, and pairs that are left after dead links and duplicates.

Step "plan" on numpy: `curation.plan` counts and solves, this adds what is lost on the way and the shape of what is kept.
"""

# N pairs, M matches of all pairs, E entries of all languages, one language after the other

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from curation.balance import Reals, entry_prob, t_to_p
from curation.errors import ConfigError
from curation.plan import (
    LOWEST,
    Pool,
    Sizes,
    Solved,
    followed,
    highest_t,
    solve,
    solve_languages,
)


@dataclass(frozen=True)
class Outlook:
    """What one choice of t gives. Sizes are expected pairs by language."""

    p: float
    """Tail's share of all matches of the first language with a t."""
    t: dict[str, float]
    balanced: Sizes
    """Pairs of the pool that t keeps, if nothing is lost."""
    downloaded: Sizes
    """Pairs that t times the margin keeps: what is asked for."""
    left: Sizes
    """Pairs that are there in the end, after what is lost and the second balance."""
    errors: dict[str, float]
    """Standard error of the totals of balanced, downloaded and left; 0 where all pairs were read."""
    head: float
    """Share of the kept matches that head entries hold."""
    gini: float
    """Inequality of the kept matches of the entries that have any: 0 where all have as many, 1 where one has them all."""


@dataclass(frozen=True)
class World:
    """What a plan stands on: pairs, counts, and what is lost on the way."""

    pool: Pool
    counts: Mapping[str, Reals]
    """float64 (E of it,) by language."""
    margin: float = 1.0
    """Factor on t before the download."""
    survival: Mapping[str, float] | None = None
    """Share of the downloaded pairs that are left to train on, by language; None where nothing is lost."""

    @cached_property
    def _share(self) -> Reals:
        return np.array([self._share_of(lang) for lang in self.pool.languages])[self.pool.lang]

    def _share_of(self, lang: str) -> float:
        return 1.0 if self.survival is None else self.survival[lang]

    @cached_property
    def later_counts(self) -> Mapping[str, Reals]:
        """The counts that the second balance will see: by inverse chance they stand for the pool's, as far as it survives."""
        if self.survival is None:
            return self.counts
        return {lang: self.survival[lang] * counts_E for lang, counts_E in self.counts.items()}

    def _prob(self, counts: Mapping[str, Reals], t: Mapping[str, float], factor: float) -> Reals:
        return self.pool.prob({lang: entry_prob(counts[lang], factor * t[lang]) for lang in t})

    def _left(self, given: Mapping[str, float]) -> Reals:
        """Return each pair's chance to be there in the end, float64 (N,): to be downloaded, to survive and to be selected."""
        later = followed(self.later_counts, given, self.pool.languages)
        prob_N = self._prob(self.later_counts, later, 1.0)
        if self.survival is not None or self.margin < 1:
            first = followed(self.counts, given, self.pool.languages)
            prob_N = np.minimum(prob_N, self._prob(self.counts, first, self.margin))
        return prob_N * self._share

    def sizes(self, given: Mapping[str, float]) -> Sizes:
        """Return the pairs that are left, by language. given: t of one language or more; the others follow."""
        return self.pool.sum(self._left(given))

    def largest(self) -> Sizes:
        """Return the most that any t can give, by language: what is left of all pairs."""
        return self.pool.sum(self._share)

    def outlook(self, given: Mapping[str, float]) -> Outlook:
        """Return all that is said of a t. Raises ConfigError where the tail's share that a language must follow is 0."""
        t = followed(self.counts, given, self.pool.languages)
        first = next(lang for lang in self.pool.languages if lang in given)
        p = t_to_p(self.counts[first], t[first]) if self.counts[first].any() else math.nan
        refuse_no_tail(p, first, t, given)
        balanced_N, left_N = self._prob(self.counts, t, 1.0), self._left(given)
        downloaded_N = self._prob(self.counts, t, self.margin)
        values = {"balanced": balanced_N, "downloaded": downloaded_N, "left": left_N}
        sums = {name: self.pool.sum(value_N) for name, value_N in values.items()}
        errors = {name: self.pool.error(value_N) for name, value_N in values.items()}
        head, gini = self._shape(left_N, t)
        return Outlook(p, t, sums["balanced"], sums["downloaded"], sums["left"], errors, head, gini)

    def _shape(self, value_N: Reals, t: Mapping[str, float]) -> tuple[float, float]:
        """Return the head's share of the kept matches, and their gini: an entry's count times the mean chance of its pairs."""
        counts_E = np.concatenate([self.counts[lang] for lang in self.pool.languages])
        head_E = np.concatenate([self.counts[lang] >= t[lang] for lang in self.pool.languages])
        lengths = np.diff(self.pool.offsets)
        rows_E = np.bincount(self.pool.ids, minlength=counts_E.size)
        sum_E = np.bincount(self.pool.ids, weights=np.repeat(value_N, lengths), minlength=counts_E.size)
        rarely_E = counts_E * np.concatenate(  # of entries that no drawn pair names
            [entry_prob(self.counts[lang], t[lang]) * self._share_of(lang) for lang in self.pool.languages]
        )
        kept_E = np.where(rows_E > 0, counts_E * sum_E / np.maximum(rows_E, 1), rarely_E)
        total = kept_E.sum()
        share = float(kept_E[head_E].sum() / total) if total > 0 else 0.0
        return share, gini(kept_E[counts_E > 0])


def refuse_no_tail(p: float, first: str, t: Mapping[str, float], given: Mapping[str, float]) -> None:
    """Raise ConfigError where a language must follow a tail's share of 0, as the stage will."""
    followers = [lang for lang in t if lang not in given]
    if p == 0 and followers:
        raise ConfigError(
            f"t = {given[first]:g} leaves {first!r} no tail (p = 0), so that no t of {', '.join(followers)} follows from it; "
            f"give --t.{followers[0]} or a larger --t.{first}"
        )


def gini(values: npt.ArrayLike) -> float:
    """Return the Gini coefficient of values of 0 or more: 0 where all are equal, towards 1 where one holds all."""
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    total, number = ordered.sum(), ordered.size
    if total <= 0:
        return 0.0
    return float(2.0 * (np.arange(1, number + 1) * ordered).sum() / (number * total) - (number + 1) / number)


def solve_size(world: World, wanted: float, first: str, given: Mapping[str, float]) -> Solved:
    """Return the t of language `first` with which so many pairs are left in all languages; those not given follow."""
    return solve(
        lambda t: math.fsum(world.sizes({**given, first: t}).values()),
        wanted,
        low=LOWEST,
        high=highest_t(world.counts)[first],
    )


def solve_each(world: World, budget: Mapping[str, float], given: Mapping[str, float]) -> dict[str, Solved]:
    """Return the t of each language of the budget with which so many of its pairs are left; those not given follow."""
    return solve_languages(lambda ts: world.sizes({**given, **ts}), budget, highest_t(world.counts))


def t_of_share(counts: npt.ArrayLike, p: float) -> float:
    """Return the smallest whole t whose tail has, of all shares there are, the one nearest to p; inf where that is 1.

    counts: (E,). The inverse of `balance.t_to_p`, whose tail lies below t; `balance.p_to_t` gives the last count inside the
    tail, one entry short of it. Raises ConfigError where p is not in (0, 1] or no entry has a match.
    """
    if not 0 < p <= 1:
        raise ConfigError(
            f"the tail's share p is {p}: it must lie in (0, 1]; p = 0 says that t cuts every entry"
        )
    counts_E = np.asarray(counts, dtype=np.float64)
    present, times = np.unique(counts_E[counts_E > 0], return_counts=True)
    if present.size == 0:
        raise ConfigError("no entry has a match: no threshold can be found")
    share = np.cumsum(present * times) / (present * times).sum()
    place = int(np.abs(share - p).argmin())
    return math.inf if place == present.size - 1 else float(np.floor(present[place])) + 1.0


def ladder(counts: npt.ArrayLike, own: Sequence[float], *, steps: int = 9) -> list[float]:
    """Return about so many t for a table, ascending: 1, 2 and 5 times powers of ten below the largest count, `own`, and inf.

    Those that leave no tail are left out.
    """
    counts_E = np.asarray(counts, dtype=np.float64)
    top = float(counts_E.max(initial=1.0))
    round_ = [digit * 10.0**power for power in range(-1, 16) for digit in (1.0, 2.0, 5.0)]
    least = float(counts_E[counts_E > 0].min(initial=top))
    served = [t for t in round_ if least < t <= top]
    if len(served) > steps:
        served = [served[int(n)] for n in np.linspace(0, len(served) - 1, steps).round()]
    return sorted({*served, *own, math.inf})
