"""Step "balance": cap the head, keep the tail. Tables in: matches, counts. Table out: wanted, later selection. `curate balance`.

Xu et al. 2023, section 3; the threshold of other languages by MetaCLIP 2 (2025). All on numpy; the jobs map
`miss_prob` over batches, so that a laptop and a cluster compute the same bits. `decide` is the whole of a selection in one
function: the oracle of `curation.spark.settle`.
"""

# E entries, N rows, M matches of all rows together

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curation.config_balance import BalanceSection
from curation.errors import ConfigError, Reason
from curation.ids import coins

Reals = npt.NDArray[np.float64]
Ids = npt.NDArray[np.integer]
Flags = npt.NDArray[np.bool_]
Texts = npt.NDArray[np.object_]
COIN = "balance"  # the purpose of the coin that decides
HELD_OUT = "heldout"  # the purpose of the coin, of an address alone, that holds pictures out
DRAW = "caption"  # the purpose of the coin that draws one caption of a picture
EXPECTED_UNIT = 2.0**-20  # expected sizes are summed as whole numbers of this
WEIGHT_UNIT = 2.0**-20  # weights are summed as integers of this unit, so that their order does not matter


def t_to_p(counts: npt.ArrayLike, t: float) -> float:
    """Return p, the tail's share of all matches at threshold t.

    counts: (E,), pairs that match each entry. Tail are the entries with fewer than t. MetaCLIP 2.
    Raises ConfigError where no entry has a match.
    """
    counts_E = np.asarray(counts, dtype=np.float64)
    total = counts_E.sum()
    if total <= 0:
        raise ConfigError("no entry has a match: the tail's share of nothing is not defined")
    return float(counts_E[counts_E < t].sum() / total)


def p_to_t(counts: npt.ArrayLike, p: float) -> float:
    """Return t, the count at which the cumulative share of sorted counts is nearest to p.

    counts: (E,), pairs that match each entry; those of zero have no say. The smaller t of two that are equally near.
    MetaCLIP 2. Raises ConfigError where p is not in (0, 1] or no entry has a match.
    """
    if not 0 < p <= 1:
        raise ConfigError(
            f"the tail's share p is {p}: it must lie in (0, 1]; p = 0 says that t cuts every entry"
        )
    counts_E = np.asarray(counts, dtype=np.float64)
    present = np.sort(counts_E[counts_E > 0])
    if present.size == 0:
        raise ConfigError("no entry has a match: no threshold can be found")
    share = np.cumsum(present) / present.sum()
    return float(max(present[np.abs(share - p).argmin()], 1.0))


def entry_prob(counts: npt.ArrayLike, t: float) -> Reals:
    """Return the chance of each entry, float64 (E,): 1 where its count is below t, else t / count."""
    counts_E = np.asarray(counts, dtype=np.float64)
    prob_E = np.ones_like(counts_E)
    head_E = counts_E >= t
    prob_E[head_E] = t / counts_E[head_E]
    return prob_E


def keep_prob(entry_prob: npt.ArrayLike, entry_ids: Sequence[int] | Ids) -> float:
    """Return the chance that a pair is kept: 1 minus the product over its entries of (1 - entry_prob).

    entry_prob: (E,). entry_ids: the pair's matches; a pair without any is never kept.
    """
    ids_M = np.asarray(entry_ids, dtype=np.int64)
    return float(
        1.0 - miss_prob(np.asarray(entry_prob, dtype=np.float64), ids_M, np.array([0, ids_M.size]))[0]
    )


def miss_prob(prob_E: Reals, ids_M: Ids, offsets: Ids) -> Reals:
    """Return for each row the chance that none of its entries keeps it, float64 (N,).

    ids_M: entry ids of all rows, one row after the other; offsets: int (N + 1,), where each row begins.
    The product runs over a row's ids from left to right whatever stands beside it: the bits do not depend on batches.
    """
    lengths = np.diff(offsets)
    miss_N = np.ones(lengths.size)
    order = np.argsort(-lengths, kind="stable")  # rows with a k-th id are then a prefix
    starts, ordered = np.asarray(offsets)[:-1][order], lengths[order]
    miss_ordered = np.ones(lengths.size)
    for k in range(int(ordered[0]) if ordered.size else 0):
        active = int(np.searchsorted(-ordered, -k, side="left"))
        miss_ordered[:active] *= 1.0 - prob_E[ids_M[starts[:active] + k]]
    miss_N[order] = miss_ordered
    return miss_N


@dataclass(frozen=True)
class Thresholds:
    """What decided a balance: the tail's share and each language's t."""

    p: float
    """Tail's share of the first language that has a t of its own."""
    t: dict[str, float]
    """Threshold a language."""
    given: tuple[str, ...]
    """Languages whose t was configured; the others' follow from p."""


def thresholds(
    counts: Mapping[str, npt.ArrayLike],
    given: Mapping[str, float],
    languages: Sequence[str],
    *,
    budgeted: Collection[str] = (),
) -> Thresholds:
    """Return each language's threshold: as configured, else the t that gives its tail the share p.

    counts: by language, (E,). given: t by language, one or more; p is the tail's share of the first of `languages` among
    them. budgeted: those of them whose t was found for a budget, for the error to name it.
    Raises ConfigError, naming the language, where p is 0 or a language has no match at all.
    """
    first = next(lang for lang in languages if lang in given)
    key = f"balance.{'budget' if first in budgeted else 't'}.{first}"
    at = f"{key}, whose t is {given[first]:g}" if first in budgeted else f"{key} = {given[first]:g}"
    p = t_to_p(counts[first], given[first])
    found = {}
    for lang in languages:
        try:
            found[lang] = float(given[lang]) if lang in given else p_to_t(counts[lang], p)
        except ConfigError as error:
            raise ConfigError(
                f"no threshold for {lang!r} from {at}: {error}; set balance.t.{lang} or raise {key}"
            ) from error
    return Thresholds(p, found, tuple(lang for lang in languages if lang in given))


def fixed_weight(keep_prob_N: Reals) -> npt.NDArray[np.int64]:
    """Return 1 / keep_prob as an integer number of `WEIGHT_UNIT`, int64 (N,): sums of these are exact in any order.

    A row that was drawn with chance q stands for 1 / q rows (Horvitz and Thompson 1952).
    """
    return np.rint(1.0 / (keep_prob_N * WEIGHT_UNIT)).astype(np.int64)


@dataclass(frozen=True)
class Survivors:
    """The pairs that a selection is made of, by columns; each array is (N,), in any order."""

    pair_id: Texts
    prob: Reals
    """Chance by this balance's thresholds, over the entries of all the pair's languages."""
    keep_prob_wanted: Reals
    """Chance with which the pair was drawn before: its coin is below."""
    coin: Reals
    train: Flags
    """Not held out."""
    image_id: Texts
    domain: Texts
    """Host of the pair's own address, see `curation.domains`."""


def decide(rows: Survivors, options: BalanceSection, *, seed: int) -> tuple[Reals, Texts]:
    """Return each pair's keep_prob, float64 (N,), and the `Reason` it is not selected for, object (N,), None where it is.

    In this order: what is held out stands aside; `one_caption` draws one of a picture's captions by a coin that no t moves;
    the toss, coin < keep_prob; `max_per_image`; `max_per_domain`. A cap keeps the rows of smallest coin / keep_prob, ties by
    pair_id: given that the toss is won, that number is uniform in [0, 1) whatever the row names, so a cap favours none.
    Without caps, a higher t keeps all that a lower one keeps. keep_prob is the toss's alone.
    """
    keep_prob = np.minimum(rows.keep_prob_wanted, rows.prob)
    reason: Texts = np.full(rows.pair_id.size, None, dtype=object)
    reason[~rows.train] = Reason.HELD_OUT
    if options.one_caption:
        draw = coins(rows.pair_id.tolist(), seed, DRAW)
        standing = reason == None  # noqa: E711
        reason[standing & ~first_of(rows.image_id, draw, rows.pair_id, standing, 1)] = Reason.NOT_CHOSEN
    reason[(reason == None) & (rows.coin >= keep_prob)] = Reason.BALANCED_OUT  # noqa: E711
    rank = np.divide(rows.coin, keep_prob, out=np.full(keep_prob.size, np.inf), where=keep_prob > 0)
    caps = (
        (options.max_per_image, rows.image_id, Reason.OVER_IMAGE_CAP),
        (options.max_per_domain, rows.domain, Reason.OVER_DOMAIN_CAP),
    )
    for cap, group, over in caps:
        if cap is not None:
            standing = reason == None  # noqa: E711
            reason[standing & ~first_of(group, rank, rows.pair_id, standing, cap)] = over
    return keep_prob, reason


def first_of(group: Texts, rank: Reals, pair_id: Texts, standing: Flags, number: int) -> Flags:
    """Return which standing rows are among the first `number` of their group, by rank, then pair_id; bool (N,)."""
    order = np.lexsort((pair_id.astype(str), rank, group.astype(str)))
    order = order[standing[order]]
    ordered = group[order]
    begins = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if order.size else order
    place = np.arange(order.size) - np.repeat(begins, np.diff(np.append(begins, order.size)))
    found = np.zeros(group.size, dtype=bool)
    found[order[place < number]] = True
    return found
