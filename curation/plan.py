"""Plan a balance before it runs: how many pairs a threshold keeps, and which threshold keeps so many.

The expected size is the sum of the pairs' keep probabilities. It needs their entry lists, or a sample of them by coin: the
counts alone do not determine it, since entries that occur together lift each other. Reads matches (or rows) by columns;
`curate plan` asks it, and the stages of the balance where a budget is set.
"""

# N pairs, R rows, M matches of all pairs, E entries of all languages, one language after the other

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curation.balance import Ids, Reals, entry_prob, miss_prob, t_to_p, thresholds
from curation.errors import InputError, require

Sizes = dict[str, float]
PLAN = "plan"  # the purpose of the coin that draws a sample of pairs
SIZE_UNIT = (
    2.0**-30
)  # probabilities are summed as whole numbers of this, so that the order of pairs does not matter
TOLERANCE = 0.005  # a solved size may differ from the wanted one by this share of it
LOWEST = 1e-6  # a t that keeps next to nothing
_AIM = TOLERANCE / 10  # of the bisection; what is left of the tolerance is for a t of few digits
_STEPS = 100  # halvings of the logarithm of t
_ROUNDS = 20  # over the languages
How = Literal["within", "largest", "nearest"]


@dataclass(frozen=True)
class Pool:
    """Matched pairs by columns: all there are, or a sample of them by coin. A mixed pair is one row, with the ids of both lists."""

    languages: tuple[str, ...]
    """In the order of their ids."""
    ids: Ids = field(repr=False)
    """int32 (M,), entry ids of all pairs, one pair after the other; a language's begin where the list before it ends."""
    offsets: Ids = field(repr=False)
    """int64 (N + 1,), where each pair begins."""
    lang: Ids = field(repr=False)
    """int8 (N,), position in `languages` of the language a pair counts for: of a mixed one that which it is surer of."""
    wanted_prob: Reals | None = field(default=None, repr=False)
    """float64 (N,), the chance with which the pair was drawn before: it stands for 1 / wanted_prob pairs. None for 1."""
    share: float = 1.0
    """Chance with which each pair came into the sample; 1 where all are here."""

    def prob(self, probs: Mapping[str, npt.ArrayLike]) -> Reals:
        """Return the chance that each pair is kept, float64 (N,). probs: entry probability by language, (E of it,)."""
        prob_E = np.concatenate([np.asarray(probs[lang], dtype=np.float64) for lang in self.languages])
        lengths = np.diff(self.offsets)
        filled = np.flatnonzero(lengths)
        certain = np.zeros(lengths.size, dtype=bool)
        if filled.size:  # with an entry that keeps for certain nothing is left to multiply
            certain[filled] = np.logical_or.reduceat(prob_E[self.ids] >= 1.0, self.offsets[filled])
        unsure = np.flatnonzero(~certain)
        prob_N = np.ones(lengths.size)
        ids_M, offsets = taken(self.ids, self.offsets, unsure)
        prob_N[unsure] -= miss_prob(prob_E, ids_M, offsets)
        return prob_N

    def sum(self, value_N: Reals) -> Sizes:
        """Return the sum of the pairs' values by language, scaled to all pairs: the same bits in any order of pairs."""
        whole_N = np.rint(value_N / SIZE_UNIT).astype(np.int64)
        return {
            lang: int(whole_N[self.lang == n].sum()) * SIZE_UNIT / self.share
            for n, lang in enumerate(self.languages)
        }

    def error(self, value_N: Reals) -> float:
        """Return the standard error of the total of `sum`: each pair was drawn alone (Horvitz and Thompson 1952)."""
        return float(np.sqrt((1.0 - self.share) * np.square(value_N).sum()) / self.share)


def taken(ids_M: Ids, offsets: Ids, rows: Ids) -> tuple[Ids, Ids]:
    """Return the ids and offsets of some of the rows, in the order of `rows`."""
    lengths = np.diff(offsets)[rows]
    ends = np.concatenate([[0], np.cumsum(lengths)])
    places = np.repeat(np.asarray(offsets)[:-1][rows] - ends[:-1], lengths) + np.arange(ends[-1])
    return ids_M[places], ends


def pool_of(
    batches: Iterable[pa.RecordBatch],
    languages: Sequence[str],
    num_entries: Mapping[str, int],
    *,
    share: float = 1.0,
) -> Pool:
    """Gather rows of the tables matches or rows into columns: 4 bytes a match and 9 a pair, 17 of rows.

    batches: pair_id, lang, lang_score, mixed, entry_ids and, of rows that were drawn before, keep_prob_wanted; nothing that is
    held out. A mixed pair's rows may lie anywhere; these alone are held with their ids until they meet.
    Raises InputError where a row's language or entry is in none of the lists.
    """
    starts = dict(zip(languages, np.cumsum([0, *(num_entries[lang] for lang in languages)]), strict=False))
    parts = [_part(pa.RecordBatch.from_pylist([], _WANTED), starts, num_entries)]
    met: list[pa.Table] = []
    for batch in batches:
        mixed = batch.column("mixed")
        parts.append(_part(batch.filter(pc.invert(mixed)), starts, num_entries))
        met.append(pa.Table.from_batches([batch.filter(mixed)]))
    if any(table.num_rows for table in met):
        parts.append(_met(pa.concat_tables(met), starts, num_entries))
    ids, lengths, lang, wanted = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    return Pool(tuple(languages), ids, offsets, lang, None if (wanted == 1.0).all() else wanted, share)


_WANTED = pa.schema([
    pa.field("pair_id", pa.string()), pa.field("lang", pa.string()), pa.field("lang_score", pa.float64()),
    pa.field("mixed", pa.bool_()), pa.field("entry_ids", pa.list_(pa.int32())),
])  # fmt: skip
Part = tuple[Ids, Ids, Ids, Reals]  # ids, lengths, position of the language, wanted_prob


def _part(rows: pa.RecordBatch, starts: Mapping[str, int], num_entries: Mapping[str, int]) -> Part:
    """Return rows as columns, their ids in the one space of all lists."""
    coded = rows.column("lang").dictionary_encode()
    names = [str(name) for name in coded.dictionary.to_pylist()]
    unknown = sorted(set(names) - set(starts))
    if unknown:
        raise InputError(f"a row is in language {unknown[0]!r}: there are lists of {', '.join(starts)}")
    lists = rows.column("entry_ids")
    lengths = pc.list_value_length(lists).to_numpy(zero_copy_only=False).astype(np.int32)
    ids = lists.flatten().to_numpy(zero_copy_only=False).astype(np.int32)
    codes = coded.indices.to_numpy(zero_copy_only=False)
    sizes_R = np.array([num_entries[name] for name in names], dtype=np.int32)[codes]
    starts_R = np.array([starts[name] for name in names], dtype=np.int32)[codes]
    wrong = np.flatnonzero((ids < 0) | (ids >= np.repeat(sizes_R, lengths)))
    if wrong.size:
        raise InputError(
            f"a row names entry {ids[wrong[0]]}, which its list has not: the matches and the counts are of different lists"
        )
    positions = np.array([list(starts).index(name) for name in names], dtype=np.int8)[codes]
    wanted = np.ones(rows.num_rows)
    if "keep_prob_wanted" in rows.schema.names:
        wanted = rows.column("keep_prob_wanted").to_numpy(zero_copy_only=False)
    return ids + np.repeat(starts_R, lengths), lengths, positions, wanted


def _met(rows: pa.Table, starts: Mapping[str, int], num_entries: Mapping[str, int]) -> Part:
    """Return mixed pairs as columns, a row a pair: its ids of both languages, the surer one (then the first by name) first."""
    order = [("pair_id", "ascending"), ("lang_score", "descending"), ("lang", "ascending")]
    ordered = rows.take(pc.sort_indices(rows, sort_keys=order)).combine_chunks()
    ids, lengths, lang, wanted = _part(ordered.to_batches()[0], starts, num_entries)
    keys = ordered["pair_id"].dictionary_encode().combine_chunks().indices.to_numpy()
    first = np.flatnonzero(np.diff(keys, prepend=-1))
    return ids, np.add.reduceat(lengths, first), lang[first], wanted[first]


def sizes(pool: Pool, probs: Mapping[str, npt.ArrayLike]) -> Sizes:
    """Return how many pairs a language are expected to be kept, by the language each pair counts for.

    probs: entry probability by language, (E of it,). A pair that was drawn with wanted_prob before stays with the smaller of
    the two chances, and stands for 1 / wanted_prob pairs: what is counted is pairs among those drawn.
    """
    return pool.sum(kept(pool.prob(probs), pool.wanted_prob))


def kept(prob_N: Reals, wanted_prob_N: Reals | None) -> Reals:
    """Return the chance of each pair to stay, given that it was drawn: min(prob, wanted_prob) / wanted_prob."""
    return prob_N if wanted_prob_N is None else np.minimum(prob_N, wanted_prob_N) / wanted_prob_N


@dataclass(frozen=True)
class Solved:
    """An answer: the threshold and what it gives."""

    t: float
    size: float
    """Expected pairs at t."""
    wanted: float
    how: How
    """within: `TOLERANCE` of the wanted size; largest: no t gives so many; nearest: the sizes jump over it."""

    @property
    def exact(self) -> bool:
        """Whether the size is within `TOLERANCE` of the wanted one."""
        return self.how == "within"


def solve(size_of: Callable[[float], float], wanted: float, *, low: float, high: float) -> Solved:
    """Return a t in [low, high] whose size is within `TOLERANCE` of the wanted one, or the nearest there is.

    size_of: never falls where t rises, and is as large at `high` as at infinity. Of the t that serve, one of few digits.
    Raises ConfigError unless wanted is a number above 0.
    """
    require(wanted > 0 and math.isfinite(wanted), "the wanted number of pairs", wanted, "a number above 0")
    below, above = (low, size_of(low)), (high, size_of(high))
    if above[1] < wanted * (1 - TOLERANCE):
        return Solved(math.inf, above[1], wanted, "largest")
    for _ in range(_STEPS):
        t = math.sqrt(below[0] * above[0])
        if below[1] >= wanted or not below[0] < t < above[0]:
            break
        middle = (t, size_of(t))
        below, above = (middle, above) if middle[1] < wanted else (below, middle)
        if abs(middle[1] - wanted) <= _AIM * wanted:
            below = above = middle
            break
    best = min(below, above, key=lambda found: (abs(found[1] - wanted), found[0]))
    for t in _plain(best[0]):
        size = size_of(t) if low <= t <= high else math.inf
        if abs(size - wanted) <= TOLERANCE / 2 * wanted:
            return _judged(t, size, wanted)
    return _judged(*best, wanted)


def _plain(t: float) -> Iterator[float]:
    """Yield numbers near t, those of the fewest digits first: the nearest, and the next above where sizes jump at t."""
    for digits in (2, 3, 4, 5):
        nearest = float(f"{t:.{digits - 1}e}")
        above = nearest + 10.0 ** (math.floor(math.log10(t)) - digits + 1)
        yield nearest
        yield float(f"{above:.{digits - 1}e}")


def _judged(t: float, size: float, wanted: float) -> Solved:
    if abs(size - wanted) <= TOLERANCE * wanted:
        return Solved(t, size, wanted, "within")
    return Solved(t, size, wanted, "largest" if math.isinf(t) and size < wanted else "nearest")


def solve_languages(
    size_of: Callable[[Mapping[str, float]], Sizes],
    wanted: Mapping[str, float],
    highest: Mapping[str, float],
) -> dict[str, Solved]:
    """Return each language's t for its wanted size, all at once.

    size_of: the sizes by language at these t; none falls where a t rises. highest: the t above which nothing changes.
    Mixed pairs tie the languages together: the rounds go on until each size is right beside the t of the others.
    """
    ts: dict[str, float] = dict.fromkeys(wanted, LOWEST)
    found: dict[str, Solved] = {}
    for _ in range(_ROUNDS):
        for lang, number in wanted.items():
            own = partial(_with_one, size_of, ts, lang)
            found[lang] = solve(own, number, low=LOWEST, high=highest[lang])
            ts[lang] = found[lang].t
        final = size_of(ts)
        found = {lang: _judged(found[lang].t, final[lang], number) for lang, number in wanted.items()}
        if len(wanted) == 1 or all(item.how != "nearest" for item in found.values()):
            break
    return found


def _with_one(
    size_of: Callable[[Mapping[str, float]], Sizes], ts: Mapping[str, float], lang: str, t: float
) -> float:
    return size_of({**ts, lang: t})[lang]


def followed(
    counts: Mapping[str, npt.ArrayLike], given: Mapping[str, float], languages: Sequence[str]
) -> dict[str, float]:
    """Return each language's t: as given, else as `balance.thresholds` says; `LOWEST` where the tail's share to follow is 0.

    Unlike `thresholds`, which refuses that share, this never falls where a given t rises, down to any t.
    """
    missing = [lang for lang in languages if lang not in given]
    if not missing:
        return {lang: float(given[lang]) for lang in languages}
    first = next(lang for lang in languages if lang in given)
    if t_to_p(counts[first], given[first]) == 0:
        return dict.fromkeys(missing, LOWEST) | {lang: float(t) for lang, t in given.items()}
    return thresholds(counts, given, languages).t


def highest_t(counts: Mapping[str, npt.ArrayLike]) -> dict[str, float]:
    """Return for each language a t above all its counts: everything stays, and the tail is all there is."""
    return {lang: float(np.floor(np.max(counts[lang], initial=0.0))) + 1.0 for lang in counts}


def solve_budget(
    pool: Pool,
    counts: Mapping[str, npt.ArrayLike],
    t: Mapping[str, float],
    budget: Mapping[str, float],
    *,
    margin: float = 1.0,
) -> dict[str, Solved]:
    """Return the t of each language of `budget` with which so many of its pairs are expected at t times `margin`.

    counts: by language, (E of it,). t: of languages without a budget; the rest follow, as in `balance.thresholds`, from the
    tail's share of the first language that has either.
    """

    def size_of(ts: Mapping[str, float]) -> Sizes:
        found = followed(counts, {**t, **ts}, pool.languages)
        return sizes(pool, {lang: entry_prob(counts[lang], margin * own) for lang, own in found.items()})

    return solve_languages(size_of, budget, highest_t(counts))
