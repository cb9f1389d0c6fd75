"""The thresholds that a budget of pairs asks for, part of step "balance": solved on all pairs, or on a sample of them and then corrected.

Where there are more than `SAMPLE_ROWS` rows a sample by coin is solved; what its thresholds keep is then summed over all rows, and the
sample is asked again for as much more or less, until each size is within `curation.plan.TOLERANCE`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from curation.balance import entry_prob
from curation.config_balance import BalanceSection
from curation.plan import PLAN, TOLERANCE, Solved, followed, pool_of, sizes, solve_budget
from curation.spark import columns
from curation.spark.chances import expected_sizes

Reals = npt.NDArray[np.float64]
SAMPLE_ROWS = 1_000_000  # rows in the driver; the sample's error is corrected over all rows
TINY = 2.0**-20  # pairs, where a sum over all rows is 0
_READ = ("pair_id", "lang", "lang_score", "mixed", "entry_ids")
CORRECTIONS = 4  # passes over all rows at the most


@dataclass(frozen=True)
class Budgeted:
    """What was asked for, and what the found thresholds give over all rows."""

    solved: dict[str, Solved]
    """By language; sizes are exact, summed over all rows."""
    rows: int
    sampled: float
    """Share of the rows that was solved on."""

    def as_json(self) -> dict[str, object]:
        """Return it as the record notes it; `how` as in `curation.plan.Solved`."""
        found = {
            lang: {
                "t": str(item.t) if math.isinf(item.t) else item.t, "wanted": item.wanted,
                "expected": round(item.size, 3), "how": item.how,
            }
            for lang, item in self.solved.items()
        }  # fmt: skip
        return {"languages": found, "rows": self.rows, "sampled": self.sampled}


def within_budget(
    rows: DataFrame,
    counts: Mapping[str, Reals],
    section: BalanceSection,
    languages: Sequence[str],
    *,
    seed: int,
    margin: float,
) -> Budgeted:
    """Return the t of each language of `section.budget` with which margin times its budget is expected at margin times t.

    rows: pair_id, lang, lang_score, mixed, entry_ids of pairs that are not held out and, of pairs that were drawn before,
    keep_prob_wanted. counts: by language, float64 (E,). seed: of the coin that draws the sample.
    """
    given = {lang: t for lang, t in section.t.items() if lang not in section.budget}
    wanted = {lang: margin * pairs for lang, pairs in section.budget.items()}
    rows = rows.select(*_READ, *(name for name in ("keep_prob_wanted",) if name in rows.columns))
    total = rows.count()
    share = min(1.0, SAMPLE_ROWS / max(total, 1))
    some = rows if share == 1 else rows.where(columns.coin(F.col("pair_id"), seed, PLAN) < F.lit(share))
    pool = pool_of(
        some.toArrow().to_batches(), languages, {lang: len(counts[lang]) for lang in languages}, share=share
    )
    solved = solve_budget(pool, counts, given, wanted, margin=margin)
    for turn in range(CORRECTIONS if share < 1 else 0):
        ts = followed(counts, given | {lang: item.t for lang, item in solved.items()}, languages)
        probs = {lang: entry_prob(counts[lang], margin * t) for lang, t in ts.items()}
        guessed, exact = sizes(pool, probs), expected_sizes(rows, probs)
        solved = {lang: _exactly(item, exact[lang], wanted[lang]) for lang, item in solved.items()}
        off = [lang for lang, item in solved.items() if item.how == "nearest"]
        if not off or turn == CORRECTIONS - 1:
            break
        asked = {lang: wanted[lang] * (guessed[lang] / max(exact[lang], TINY)) for lang in wanted}
        solved = solve_budget(pool, counts, given, asked, margin=margin)
    return Budgeted(solved, total, share)


def _exactly(found: Solved, size: float, wanted: float) -> Solved:
    """Return an answer with its size over all rows, and judged by that."""
    if abs(size - wanted) <= TOLERANCE * wanted:
        return Solved(found.t, size, wanted, "within")
    return Solved(found.t, size, wanted, "largest" if math.isinf(found.t) and size < wanted else "nearest")
