"""[balance] of the configuration: how often an entry may be named, and what else decides a selection.

Both balances, before the download and among the survivors, read it; those of `SELECTION_ONLY` decide the second alone.
"""

import math
from dataclasses import dataclass, field

from curation.canonical import later
from curation.errors import require

SELECTION_ONLY = (
    "one_caption",
    "max_per_image",
    "max_per_domain",
)  # keys that do not change what is downloaded


@dataclass(frozen=True, kw_only=True)
class BalanceSection:
    """Head and tail: how often an entry may be named. Xu et al. 2023, section 3; MetaCLIP 2 for other languages."""

    t: dict[str, float] = field(default_factory=lambda: {"en": 20_000.0})
    """Threshold a language: an entry with more matches is thinned to about t. `inf` keeps everything.

    A language that is not named gets the t that gives its tail the share p of the first language's tail.
    """
    margin: float = 1.5
    """Before the download, t is multiplied by this, and a budget too, for links that are dead and pictures that are copies."""
    budget: dict[str, float] = later(factory=dict)
    """Pairs wanted a language, instead of its t: t is solved so that the expected size is within 0.5 % of it, or is inf where
    the language has fewer. A text of two languages counts in the surer; caps take from it what they take. In both balances.
    Of this run's own pairs: where it extends earlier runs, the counts that t cuts are those of all, but what was selected of
    the earlier ones counts towards no budget. A budget that no t meets is warned of, and the nearest t is taken.
    Ko and Gu 2022 mixed by numbers: 708 million Korean pairs, 476 million English.
    """
    one_caption: bool = later(default=False)
    """Of each picture's captions one is drawn by a coin of its own, then tossed for, as MetaCLIP 2's code does; the draw is
    among the captions that survive. In the selection only: the manifest holds all of them.
    """
    max_per_image: int | None = later(default=None)
    """Most selected captions of one picture, no bound where it is not set; after the toss, those of the smallest
    coin / keep_prob. In the selection only, since before the download it is not known which addresses show one picture.
    """
    max_per_domain: int | None = later(default=None)
    """Most selected pairs of one host, no bound where it is not set; after max_per_image, by the same rule. A host is that of
    the picture's address, without port and leading "www.". In the selection only: a cap before the download would make
    the chance of a row depend on its neighbours, and the second count weighs rows by that chance.
    """

    def __post_init__(self) -> None:
        require(len(self.t) > 0, "balance.t", self.t, "name the threshold of one language or more")
        for lang, t in self.t.items():
            require(t > 0, f"balance.t.{lang}", t, "a number above 0, or inf")
        for lang, pairs in self.budget.items():
            held = pairs > 0 and math.isfinite(pairs)
            require(held, f"balance.budget.{lang}", pairs, "a number of pairs above 0")
        for name in ("max_per_image", "max_per_domain"):
            cap = getattr(self, name)
            require(cap is None or cap >= 1, f"balance.{name}", cap, "1 or more; leave it out for no bound")
        require(self.margin >= 1 and math.isfinite(self.margin), "balance.margin", self.margin, "1 or more")
