"""What a run is and what limits its numbers: the first and the last part of the page. Reads records alone."""

from collections.abc import Mapping
from typing import Any

from curation.config import RunConfig
from curation.missed import missed_budgets
from curation.report.entries import EntryCounts
from curation.report.flow import ledger_of
from curation.report.training import mean_recall, spread
from curation.report.visible import visible
from curation.stage import Record
from metadata.entries import frozen_lists

LANGUAGES = {"en": "English", "ko": "Korean"}
RANK = "R@5"  # of the headline
Card = dict[str, str]
ONE_SEED = (
    "One run with one seed ({seed}): nothing here says how much another seed, or another crawl, would change. A difference "
    "between two runs is a finding only when it is larger than the difference between two seeds."
)
OTHER_QUESTIONS = (
    "The languages are asked about different captions and sometimes different pictures: the gap mixes how well the model "
    "knows a language with how hard its captions are."
)
KOREAN_SPACES = (
    "Korean is matched by MetaCLIP 2's rule, with a space on both sides: a noun with a particle attached is another word to "
    "it, so Korean counts are too low and many Korean texts match nothing."
)
SMALL_MARGIN = (
    "The margin on t was too small for {pairs:,} survivors: they would have deserved a larger chance than the one they were "
    "downloaded with. Raise balance.margin to lose fewer."
)
TOGETHER = (
    "Entries that occur together lift each other: a caption stays if any of its entries keeps it, so a head entry ends above "
    "t, and what the curves of min(count, t) show is the aim, not the outcome."
)

EARLIER = (
    "This run extends {runs}: the counts of the pool and of the survivors, and the shares of head and tail made of them, are sums "
    "over all these crawls, while matches, wanted, survivors and selected captions are this run's own."
)


def name_of(lang: str) -> str:
    """Return a language's English name, its code where we have none."""
    return LANGUAGES.get(lang, lang)


def percent(value: float | None, digits: int = 1) -> str:
    """Return a share as "12.3 %"; a dash for None."""
    return "-" if value is None else f"{100 * value:.{digits}f} %"


def number(value: float | None) -> str:
    """Return a number with separators, whole ones without a point; a dash for None."""
    if value is None:
        return "-"
    whole = isinstance(value, int) or float(value).is_integer()
    return f"{int(value):,}" if whole else f"{value:,.4g}" if value < 10_000 else f"{value:,.0f}"


def seconds(value: float | None) -> str:
    """Return a time in words: "8.0 s", "18 min 7 s", "2 h 5 min"; a dash for None."""
    if value is None:
        return "-"
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60} min"


def threshold(value: float | str | None) -> str:
    """Return a threshold in words: records hold infinity as a text."""
    return "-" if value is None else "infinite" if float(value) == float("inf") else number(float(value))


def headline(records: Mapping[str, Record], languages: tuple[str, ...]) -> list[Card]:
    """Return the cards at the top: what came in, what is left, and what the model retrieves."""
    cards = [
        _card("pairs read", ledger_of(records, "extract", "candidates"), "distinct address and text"),
        _card("name an entry", ledger_of(records, "match", "pairs"), "pairs"),
        _card("wanted", ledger_of(records, "balance", "pairs"), "pairs, to be downloaded"),
        _card("pictures fetched", ledger_of(records, "download", "urls"), "addresses that gave one"),
        _card("pictures survive", ledger_of(records, "dedup", "images"), "near-duplicates merged"),
    ]
    if "manifest" in records:
        captions = records["manifest"].notes["captions"]
        chosen = {lang: captions.get(f"train/{lang}/selected", 0) for lang in languages}
        note = ", ".join(f"{lang} {value:,}" for lang, value in chosen.items())
        cards.append({"value": f"{sum(chosen.values()):,}", "name": "captions selected", "note": note})
    if "evaluate" in records:
        found = records["evaluate"].notes
        for lang in languages:
            recall, chance = (mean_recall(found, lang, RANK, chance=flag) for flag in (False, True))
            if recall is not None:
                card = {
                    "value": percent(recall),
                    "name": f"{RANK} in {name_of(lang)}",
                    "note": f"chance {percent(chance)}",
                }
                cards.append(card)
    return [card for card in cards if card]


def _card(name: str, ledger: Mapping[str, Any] | None, note: str) -> Card:
    return {"value": f"{ledger['out']:,}", "name": name, "note": note} if ledger else {}


def thresholds(records: Mapping[str, Record], languages: tuple[str, ...]) -> list[dict[str, str]]:
    """Return a row a language: how its t came about, with the margin, and the t of the selection among survivors."""
    if "balance" not in records:
        return []
    notes = records["balance"].notes
    later = records["balance-survivors"].notes if "balance-survivors" in records else None
    rows = []
    for lang in (lang for lang in languages if lang in notes["t"]):
        t, given = notes["t"][lang], lang in notes["t_given"]
        budget = notes.get("budget", {}).get("languages", {}).get(lang)
        how = (
            "given in the configuration" if given else "derived: the count at which the tail has the share p"
        )
        if budget:
            how = f"found for a budget of {budget['wanted'] / notes['margin']:,.0f} of this run's own pairs"
        rows.append({
            "lang": name_of(lang), "t": threshold(t), "with_margin": threshold(float(t) * notes["margin"]), "how": how,
            "later": threshold(later["t"].get(lang)) if later else "-",
        })  # fmt: skip
    return rows


def missed(records: Mapping[str, Record]) -> list[dict[str, str]]:
    """Return a row a stage and language whose budget is not met, with what is said of it."""
    return [
        {"stage": name, "lang": lang, "said": said}
        for name in ("balance", "balance-survivors")
        if name in records
        for lang, said in missed_budgets(records[name].notes).items()
    ]


def lists(config: RunConfig, records: Mapping[str, Record]) -> list[dict[str, Any]]:
    """Return a row a frozen list: language, entries, matching mode, sha256."""
    if "metadata" not in records:
        return []
    return [
        {
            "lang": name_of(lang),
            "entries": item.size,
            "mode": config.match.mode_of(lang),
            "sha256": item.sha256,
        }
        for lang, item in frozen_lists(records["metadata"]).items()
    ]


def versions(records: Mapping[str, Record]) -> dict[str, str]:
    """Return the versions of what computed; where stages differ, all of them."""
    found: dict[str, list[str]] = {}
    for record in records.values():
        for name, version in record.data["versions"].items():
            if version not in found.setdefault(name, []):
                found[name].append(version)
    return {name: ", ".join(each) for name, each in sorted(found.items())}


def limits(config: RunConfig, records: Mapping[str, Record], counts: Mapping[str, EntryCounts]) -> list[str]:
    """Return, a sentence or two each, what to keep in mind when reading this run's numbers."""
    said = [ONE_SEED.format(seed=config.run.seed)]
    if "evaluate" in records:
        asked = "; ".join(
            f"{name_of(lang)}: {items:,} held-out captions, about {100 * half:.1f} points either way at a recall of 50 %"
            for lang, items, half in spread(records["evaluate"].notes)
        )
        said.append(f"The choice of questions alone moves a recall (95 % interval, {asked}).")
        said.append(OTHER_QUESTIONS)
    if "ko" in counts and config.match.mode_of("ko") == "metaclip2":
        said.append(KOREAN_SPACES)
    if "count" in records and (earlier := records["count"].notes.get("earlier")):
        said.append(EARLIER.format(runs=", ".join(visible(str(note["run"]), 60) for note in earlier)))
    small = (
        records["balance-survivors"].notes.get("margin_too_small_pairs")
        if "balance-survivors" in records
        else 0
    )
    if small:
        said.append(SMALL_MARGIN.format(pairs=small))
    return [*said, TOGETHER] if counts else said
