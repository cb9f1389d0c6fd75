"""What a budget of pairs did not get, in words: for the output of the stages, of `curate balance --manifest`, and for the page."""

from collections.abc import Mapping
from typing import Any

from curation.plan import LOWEST

NO_MORE = "there are no more, and all of them are kept"
NO_FEWER = (
    "next to nothing is kept for its own entries, and the rest are pairs of two languages that the other one's t keeps; "
    "lower the other's budget or t"
)
NO_NEARER = "the sizes jump over it, or the languages' budgets pull against each other"


def missed_budgets(notes: Mapping[str, Any]) -> dict[str, str]:
    """Return a sentence for each language whose budget no t meets. notes: of a record of the balance, or of any other."""
    found = {}
    margin = float(notes.get("margin", 1.0))
    for lang, item in notes.get("budget", {}).get("languages", {}).items():
        if item["how"] == "within":
            continue
        t, wanted, expected = float(item["t"]), float(item["wanted"]), float(item["expected"])
        why = NO_MORE if item["how"] == "largest" else NO_NEARER
        if t <= LOWEST and expected > wanted:
            why = NO_FEWER
        times = f" ({wanted / margin:,.0f} times the margin of {margin:g})" if margin != 1 else ""
        found[lang] = (
            f"the budget of {wanted:,.0f} pairs{times} is not met: {expected:,.0f} are expected at t = {t:g}; {why}"
        )
    return found
