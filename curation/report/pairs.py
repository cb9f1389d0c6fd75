"""How many entries a text names, and with what chance the balance kept it: the page's histograms over pairs.

Reads matches, wanted and the manifest, a column at a time.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curation.manifest import MANIFEST
from curation.report.scan import Ints, batches
from curation.stage import Record

MOST = 20  # matches a text; the last bar holds those with more
BINS = 20  # of the keep probability, from 0 to 1; those of exactly 1 stand in one of their own
Reals = npt.NDArray[np.float64]


@dataclass
class Matches:
    """How many entries the texts of one language name."""

    texts: Ints = field(default_factory=lambda: np.zeros(MOST + 1, dtype=np.int64))
    """int64 (MOST + 1,), texts by their number of matches; the last holds MOST and more."""
    total: int = 0
    """Matches of all texts."""

    def add(self, lengths: Ints) -> None:
        """Add texts by their numbers of matches, int64 (N,)."""
        self.texts += np.bincount(np.minimum(lengths, MOST), minlength=MOST + 1)
        self.total += int(lengths.sum())

    @property
    def mean(self) -> float:
        """Return the matches a text on average; 0 of none."""
        return self.total / max(1, int(self.texts.sum()))

    @property
    def one(self) -> float:
        """Return the share of texts that name one entry alone."""
        return float(self.texts[1] / max(1, self.texts.sum()))

    @property
    def median(self) -> str:
        """Return the number of matches that half of the texts do not exceed, in words; a dash of none."""
        if not self.texts.any():
            return "-"
        middle = int(np.searchsorted(np.cumsum(self.texts), self.texts.sum() / 2))
        return f"{MOST} or more" if middle == MOST else str(middle)


def matches_a_text(records: Mapping[str, Record], languages: Sequence[str]) -> dict[str, dict[str, Matches]]:
    """Return, under "pool" and "selected", each language's matches a text; a mixed text counts in both languages.

    A stage that is absent has no key.
    """
    found: dict[str, dict[str, Matches]] = {}
    if "match" in records:
        found["pool"] = {lang: Matches() for lang in languages}
        for batch in batches(records["match"].path / "matches", ["lang", "entry_ids"]):
            _add(found["pool"], batch, "lang", "entry_ids")
    if "manifest" in records:
        found["selected"] = {lang: Matches() for lang in languages}
        names = ["selected", "lang", "entry_ids", "mixed_lang", "mixed_entry_ids"]
        for batch in batches(records["manifest"].path / MANIFEST, names):
            chosen = batch.filter(batch.column("selected"))
            _add(found["selected"], chosen, "lang", "entry_ids")
            _add(found["selected"], chosen, "mixed_lang", "mixed_entry_ids")
    return found


def _add(found: Mapping[str, Matches], batch: pa.RecordBatch, name: str, ids: str) -> None:
    lengths = pc.fill_null(pc.list_value_length(batch.column(ids)), 0).to_numpy().astype(np.int64)
    for lang, matches in found.items():
        own = pc.fill_null(pc.equal(batch.column(name), lang), fill_value=False)
        matches.add(lengths[own.to_numpy(zero_copy_only=False)])


@dataclass
class Chances:
    """Pairs by the chance that a balance gave them. Bars: BINS of equal width in [0, 1), then those of exactly 1."""

    kept: Reals = field(default_factory=lambda: np.zeros(BINS + 1))
    """float64 (BINS + 1,), pairs that were kept."""
    lost: Reals = field(default_factory=lambda: np.zeros(BINS + 1))
    """float64 (BINS + 1,), pairs that were not; estimated where `estimated`."""
    variance: float = 0.0
    """Of the number kept, given the chances: the sum of q (1 - q)."""
    estimated: bool = False

    @property
    def certain(self) -> float:
        """Return the share of pairs that nothing could drop."""
        return float(self.kept[-1] / max(1.0, self.kept.sum() + self.lost.sum()))


def _bars(chances: Reals, weights: Reals | None = None) -> Reals:
    """Return the sums of weights (1 where not given) by bar, float64 (BINS + 1,)."""
    places = np.minimum((chances * BINS).astype(np.int64), BINS)
    return np.bincount(places, weights=weights, minlength=BINS + 1).astype(np.float64)


def wanted_chances(balance: Record) -> Chances:
    """Return the pairs by their chance before the download, those held out aside.

    What was not kept is in no table; a pair kept with chance q stands for 1/q pairs (Horvitz and Thompson 1952), so 1/q - 1 of
    them are estimated lost, and their variance q (1 - q) is estimated as 1 - q a kept pair.
    """
    found = Chances(estimated=True)
    for batch in batches(balance.path / "wanted", ["keep_prob", "held_out"]):
        out = batch.column("held_out").to_numpy(zero_copy_only=False)
        chances = batch.column("keep_prob").to_numpy()[~out]
        found.kept += _bars(chances)
        found.lost += _bars(chances, 1 / chances - 1)
        found.variance += float((1 - chances).sum())
    return found


def survivor_chances(manifest: Record) -> Chances:
    """Return the survivors to train on by the chance of the run's selection, given that they were wanted: exact."""
    found = Chances()
    names = ["keep_prob", "keep_prob_wanted", "selected", "split"]
    for batch in batches(manifest.path / MANIFEST, names):
        train = batch.filter(pc.equal(batch.column("split"), "train"))
        final, wanted = (train.column(name).to_numpy() for name in names[:2])
        selected = train.column("selected").to_numpy(zero_copy_only=False)
        given = np.minimum(1.0, final / wanted)
        found.kept += _bars(given[selected])
        found.lost += _bars(given[~selected])
        found.variance += float((given * (1 - given)).sum())
    return found


def expectation(chances: Chances, expected: float | None) -> dict[str, float] | None:
    """Return how far the number kept lies from its expectation, in standard errors; None where none was noted."""
    if expected is None:
        return None
    kept, error = float(chances.kept.sum()), math.sqrt(chances.variance)
    return {
        "expected": expected,
        "kept": kept,
        "errors": abs(kept - expected) / error if error > 0 else 0.0,
    }
